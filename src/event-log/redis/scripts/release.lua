#!lua flags=allow-oom
-- Releases entries that a consumer holds in one partition, so that other consumers get them; at most N per call.
--
-- KEYS     books, the lanes' streams (high, normal, low), their due sets, again, again-tries, again-held, the
--          bell's channel, again-keys
-- ARGV     group, consumer, '1' when its attempts do not count, max entries, cursor in again-held ('0' to begin); then
--          the ids and members to keep; last, the caller's known state (parts/checks.lua)
-- Returns  the next cursor, '' at the end; the consumer is deleted from each stream in which it holds nothing any more
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books, tries, held = KEYS[1], KEYS[9], KEYS[10]
local group, consumer, isGivenBack, most, cursor = ARGV[1], ARGV[2], ARGV[3] == '1', whole(ARGV[4]), ARGV[5]
local missing = lacks(books, group, { KEYS[2], KEYS[3], KEYS[4] })
if missing then return missing end
whole(cursor)
for at = 5, 7 do redis.call('ZCARD', KEYS[at]) end
redis.call('HLEN', tries)
redis.call('HLEN', held)
local nobody = '-'
local counters = { 'lost:' .. group, 'waiting:' .. group }
for _, lane in ipairs(lanes) do counters[#counters + 1] = 'pending:' .. lane .. ':' .. group end
numbers(books, counters)
local keep = {}
for at = 6, #ARGV do keep[ARGV[at]] = true end
local released = 0
local isFreed = false

for index = 1, 3 do
  local stream = KEYS[1 + index]
  local from, kept = '-', 0
  while released < most do
    local page = redis.call('XPENDING', stream, group, from, '+', 100, consumer)
    if #page == 0 then break end
    for _, pending in ipairs(page) do
      local id, count = pending[1], pending[4]
      from = '(' .. id
      -- An entry's id names its lane only together with the stream.
      if keep[index .. ':' .. id] then
        kept = kept + 1
      else
        if isGivenBack then count = math.max(0, count - 1) end
        local claimed = redis.call('XCLAIM', stream, group, nobody, 0, id, 'RETRYCOUNT', count, 'JUSTID')
        if #claimed == 0 then
          -- The entry was removed while it was held: XCLAIM has removed it from the pending entries.
          local events = tonumber(string.match(id, '%-(%d+)$'))
          redis.call('HINCRBY', books, 'pending:' .. lanes[index] .. ':' .. group, -events)
          lose(books, group, events)
        end
        released = released + 1
        isFreed = true
      end
    end
  end
  if released < most and kept == 0 then redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer) end
end
if released >= most then
  if isFreed then ring(books, KEYS[11]) end
  return cursor
end

local page = redis.call('HSCAN', held, cursor, 'COUNT', most)
local all = page[2]
for at = 1, #all, 2 do
  local member = all[at]
  local due, holder = string.match(all[at + 1], '^(%S+) (.*)$')
  local lane = string.match(member, '^%d+%-%d+%-([123])%-')
  if holder == consumer and lane and tonumber(due) and not keep[member] then
    redis.call('HDEL', held, member)
    if isGivenBack then redis.call('HINCRBY', tries, member, -1) end
    redis.call('ZADD', KEYS[4 + tonumber(lane)], due, member)
    isFreed = true
  end
end
if isFreed then ring(books, KEYS[11]) end
return page[1] == '0' and '' or page[1]
