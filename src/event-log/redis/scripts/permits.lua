#!lua flags=allow-oom
-- Tells what a process has of a group's permits, and takes others for it (Permits in event-log.ts). All times are those of
-- the server.
--
-- KEYS     books, of the topic's first partition; permits: hash; field "limits" is "<concurrency> <rate> <limit per key>" (0: none);
--          "begun" is "<slot>:<events> ...", how many events have begun in each slot of time; "h:<process>" is "<at work>
--          <in hand> <end of its lease (ms)> <since when it waits (ms), 0> <when it asked (ms)> <least>"
-- ARGV     group, process, lease (ms), concurrency, rate, limit per key, how many events are at work, how many have begun, most, least,
--          '1' when nothing follows; ms: of a slot, of the rate's window, until a wait is unfair, until it is over, until
--          others' permits are asked for again; last, the caller's known state (parts/checks.lua)
-- Returns  {taken, 0 or which limit is reached (1: concurrency, 2: rate), how much of it is used, when to ask again (ms)}
--          | {-1, concurrency, rate, limit per key} when other processes have joined with these
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local missing = lacks(KEYS[1], ARGV[1], {})
if missing then return missing end
local permits, own = KEYS[2], 'h:' .. ARGV[2]
local words = {}
for at = 3, 16 do words[at - 2] = whole(ARGV[at]) end
local lease, concurrency, rate, perKey, atWork, begun, most, least, isLast = unpack(words)
local slotMs, windowMs, maxUnfair, maxSilent, pollMs = unpack(words, 10)
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)

local limits, slots, since, others, dead = nil, '', now, {}, {}
local all = redis.call('HGETALL', permits)
for at = 1, #all, 2 do
  local field, value = all[at], all[at + 1]
  if field == 'limits' then limits = value
  elseif field == 'begun' then slots = value
  else
    local held, inHand, ends, waits, asked, needs = string.match(value, '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
    local isWaiting = tonumber(waits) > 0 and now - asked < maxSilent
    if field == own then
      if isWaiting then since = tonumber(waits) end
    elseif ends + windowMs <= now then dead[#dead + 1] = field
    else
      -- What has begun shortly before the lease ended still counts in the rate.
      local count = tonumber(ends) > now and held + inHand or 0
      local waitsSince = isWaiting and tonumber(waits) or nil
      others[#others + 1] = { count = count, inHand = tonumber(inHand), waits = waitsSince, needs = tonumber(needs) }
    end
  end
end
local stated = text(concurrency) .. ' ' .. text(rate) .. ' ' .. text(perKey)
if #others > 0 and limits and limits ~= stated then
  local theirs = { -1 }
  for limit in string.gmatch(limits, '%d+') do theirs[#theirs + 1] = tonumber(limit) end
  return theirs
end

local taken, full, used, retry = most, 0, 0, 0
if concurrency > 0 then
  local count, sharers = atWork, 1
  for _, other in ipairs(others) do
    count = count + other.count
    if other.count > 0 or other.waits then sharers = sharers + 1 end
  end
  local share, reserved = math.floor(concurrency / sharers), 0
  for _, other in ipairs(others) do
    if other.waits and now - other.waits >= maxUnfair then
      reserved = reserved + math.max(0, math.max(other.needs, share) - other.count)
    end
  end
  local room = concurrency - count
  local free = math.max(0, math.min(room, math.max(room - reserved, share - atWork)))
  if free < taken then taken, full, used, retry = free, 1, count, pollMs end
end

local slot, kept, count, first = math.floor(now / slotMs), {}, begun, nil
for _, other in ipairs(others) do count = count + other.inHand end
for at, events in string.gmatch(slots, '(%d+):(%d+)') do
  local ends = (at + 1) * slotMs + windowMs
  if tonumber(at) >= slot then begun = begun + events
  elseif ends > now then
    kept[#kept + 1] = at .. ':' .. events
    first = first or ends
  end
  if ends > now then count = count + events end
end
if begun > 0 then
  kept[#kept + 1] = text(slot) .. ':' .. text(begun)
  first = first or (slot + 1) * slotMs + windowMs
end
if rate > 0 then
  local free = math.max(0, rate - count)
  if free < taken then taken, full, used, retry = free, 2, count, first and first - now or pollMs end
end
if taken < least then taken = 0 end

for _, field in ipairs(dead) do redis.call('HDEL', permits, field) end
if isLast == 1 then redis.call('HDEL', permits, own)
else
  local held = { atWork, taken, now + lease, taken == most and 0 or since, now, least }
  for at, number in ipairs(held) do held[at] = text(number) end
  redis.call('HSET', permits, own, table.concat(held, ' '))
end
redis.call('HSET', permits, 'limits', stated, 'begun', table.concat(kept, ' '))
return { taken, full, used, retry }
