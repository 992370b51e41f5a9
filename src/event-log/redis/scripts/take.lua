#!lua flags=allow-oom
-- Hands out entries of one partition to a consumer: in each lane first what is due in the group's own stream, then
-- entries that were given back, then unread entries; nothing while the group is paused, or has a rate in which the caller has
-- not counted them (flow.lua). Stores the attempt.
--
-- KEYS     books, the lanes' streams (high, normal, low), their due sets, again, again-tries, again-held, the
--          bell's channel, again-keys
-- ARGV     group, consumer, now (ms), max bytes, '1' when the consumer has got nothing yet; then for each lane max
--          events and how many of them were taken in other partitions; how many redeliveries in a lane keep an ordered
--          group from its entries; '1' when the caller has asked flow.lua, else '0'; last, the caller's known state
--          (parts/checks.lua)
-- Returns  {deliveries, for each lane 1 when its next entry did not fit or the script reached its limit of entries, the
--          next due time in the lanes that have room (ms, '' when there is none)}, then 1 when the group has a rate
--          and flow.lua must be asked first; when nothing was handed out, `asleep` is set
--          delivery: {lane, 'lane', id, attempt, fields, first} | {lane, 'again', member, attempt, record, first}; first
--          is 1 when the consumer of an ordered group held nothing of the lane before, else 0
-- include checks
-- include keys

local over = isOver(KEYS[1])
if over then return over end
local books, again, tries, held, keys = KEYS[1], KEYS[8], KEYS[9], KEYS[10], KEYS[12]
local group, consumer, now = ARGV[1], ARGV[2], ARGV[3]
local roomBytes, isFirst = whole(ARGV[4]), ARGV[5] == '1'
local nobody = '-'
local deliveries = {}
local full = { 0, 0, 0 }
local pageSize = 64
-- Limits how long the script blocks the server.
local roomEntries = 1000

local waiting = redis.call(
  'HMGET', books, 'asleep', 'waiting:' .. group, 'next:high', 'handed:high:' .. group, 'next:normal',
  'handed:normal:' .. group, 'next:low', 'handed:low:' .. group, 'paused:' .. group, 'ordered:' .. group,
  'rate:' .. group)
if not waiting[2] then return redis.error_reply('NOGROUP there is no group ' .. group) end
-- `asleep` stays unset: an append need not wake anyone, and resuming the group rings the bell.
if waiting[9] then return { {}, full, '' } end
if waiting[11] and ARGV[13] ~= '1' then return { {}, full, '', 1 } end
local function sleep()
  if not waiting[1] then redis.call('HSET', books, 'asleep', '1') end
end
-- Most calls end here. Entries given back and redeliveries count as waiting too.
if waiting[2] == '0' then
  local isRead = true
  for at = 3, 7, 2 do isRead = isRead and tonumber(waiting[at + 1] or '0') >= tonumber(waiting[at] or '0') end
  if isRead then
    sleep()
    return { {}, full, '' }
  end
end

local missing = lacks(books, group, { KEYS[2], KEYS[3], KEYS[4] })
if missing then return missing end
for at = 5, 7 do redis.call('ZCARD', KEYS[at]) end
for at = 8, 10 do redis.call('HLEN', KEYS[at]) end
redis.call('ZCARD', keys)
for at = 6, 12 do whole(ARGV[at]) end
if tonumber(now) == nil then error('the time is missing') end
local counters = { 'lost:' .. group, 'waiting:' .. group }
for _, lane in ipairs(lanes) do
  counters[#counters + 1] = 'handed:' .. lane .. ':' .. group
  counters[#counters + 1] = 'pending:' .. lane .. ':' .. group
end
numbers(books, counters)

-- For an ordered group: whether another consumer holds something of each lane, or this one, and how many redeliveries are
-- held.
local isTaken, isMine, inHand = {}, {}, { 0, 0, 0 }
if waiting[10] then
  local all = redis.call('HGETALL', held)
  for at = 1, #all, 2 do
    local lane = tonumber(string.match(all[at], '^%d+%-%d+%-([123])%-'))
    if lane then
      inHand[lane] = inHand[lane] + 1
      local holders = string.match(all[at + 1], ' (.*)$') == consumer and isMine or isTaken
      holders[lane] = true
    end
  end
  for index = 1, 3 do
    for _, facts in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1 + index], group)) do
      local holders = facts[2] == consumer and isMine or isTaken
      if facts[4] > 0 and facts[2] ~= nobody then holders[index] = true end
    end
  end
end

for index, lane in ipairs(lanes) do
  local stream, due = KEYS[1 + index], KEYS[4 + index]
  local most, taken = tonumber(ARGV[4 + 2 * index]), tonumber(ARGV[5 + 2 * index])
  local open = taken < most and roomEntries > 0 and not isTaken[index]
  local isFull = waiting[10] and redis.call('ZCARD', due) + inHand[index] >= tonumber(ARGV[12])

  local function fits(count, length)
    if taken > 0 and taken + count > most then return false end
    return isFirst or length <= roomBytes
  end
  local function put(kind, id, count, attempt, value, length)
    deliveries[#deliveries + 1] = { index, kind, id, attempt, value, waiting[10] and not isMine[index] and 1 or 0 }
    isMine[index] = true
    taken = taken + count
    roomBytes = roomBytes - length
    isFirst = false
    roomEntries = roomEntries - 1
    open = taken < most and roomEntries > 0
  end
  local function stop()
    open = false
    full[index] = 1
  end
  -- Entries that are skipped count towards the limit too.
  local function pass()
    roomEntries = roomEntries - 1
    if roomEntries <= 0 then stop() end
  end

  while open do
    local page = redis.call('ZRANGEBYSCORE', due, '-inf', now, 'WITHSCORES', 'LIMIT', 0, pageSize)
    if #page == 0 then break end
    for at = 1, #page, 2 do
      if not open then break end
      local member = page[at]
      local count = tonumber(string.match(member, '^%d+%-(%d+)'))
      local record = redis.call('HGET', again, member)
      if count == nil then
        -- Added by another program.
        redis.call('ZREM', due, member)
        pass()
      elseif not record then
        redis.call('ZREM', due, member)
        redis.call('HDEL', tries, member)
        endHold(keys, due, member)
        lose(books, group, count)
        pass()
      elseif fits(count, #record) then
        redis.call('ZREM', due, member)
        redis.call('HSET', held, member, page[at + 1] .. ' ' .. consumer)
        put('again', member, count, redis.call('HINCRBY', tries, member, 1), record, #record)
      else
        stop()
      end
    end
  end

  open = open and not isFull
  while open do
    local page = redis.call('XPENDING', stream, group, '-', '+', pageSize, nobody)
    if #page == 0 then break end
    for _, pending in ipairs(page) do
      if not open then break end
      local id = pending[1]
      local _, count = placeOf(id)
      local found = redis.call('XRANGE', stream, id, id)[1]
      local fields = found and found[2]
      if found == nil then
        redis.call('XACK', stream, group, id)
        redis.call('HINCRBY', books, 'pending:' .. lane .. ':' .. group, -count)
        lose(books, group, count)
        pass()
      elseif fits(count, #(fields[8] or '')) then
        redis.call('XCLAIM', stream, group, consumer, 0, id, 'RETRYCOUNT', pending[4] + 1, 'JUSTID')
        put('lane', id, count, pending[4] + 1, fields, #(fields[8] or ''))
      else
        stop()
      end
    end
  end

  local handed = 'handed:' .. lane .. ':' .. group
  local before = tonumber(open and redis.call('HGET', books, handed) or '0')
  local holes = open and redis.call('HGET', books, 'holes:' .. lane)
  local reached, read = before, 0
  while open do
    local page = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, '>')
    if not page then
      -- What follows up to the end holds no events: polls need not look for it again.
      local ending = tonumber(waiting[1 + 2 * index] or '0')
      if holesIn(holes, reached, ending) == ending - reached then reached = ending end
      break
    end
    local id, fields = page[1][2][1][1], page[1][2][1][2]
    if not isOurs(fields) then
      -- Added by another program.
      redis.call('XACK', stream, group, id)
      pass()
    else
      local offset, count = placeOf(id)
      lose(books, group, offset - reached - holesIn(holes, reached, offset))
      reached = offset + count
      read = read + count
      if fits(count, #fields[8]) then
        put('lane', id, count, 1, fields, #fields[8])
      else
        -- Leave it as unread, for the next call.
        redis.call('XCLAIM', stream, group, nobody, 0, id, 'RETRYCOUNT', 0, 'JUSTID')
        stop()
      end
    end
  end
  if reached ~= before then
    redis.call('HSET', books, handed, text(reached))
    redis.call('HINCRBY', books, 'pending:' .. lane .. ':' .. group, read)
  end
end

local nextDue = ''
if #deliveries == 0 then
  for index = 1, 3 do
    if tonumber(ARGV[4 + 2 * index]) > 0 then
      local later = redis.call('ZRANGEBYSCORE', KEYS[4 + index], '(' .. now, '(' .. heldDue, 'WITHSCORES', 'LIMIT', 0, 1)[2]
      if later and (nextDue == '' or tonumber(later) < tonumber(nextDue)) then nextDue = later end
    end
  end
  sleep()
end
return { deliveries, full, nextDue }
