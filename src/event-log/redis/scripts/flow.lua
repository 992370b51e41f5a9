#!lua flags=allow-oom
-- Counts the events that a group with a rate is handed out, of all partitions (EventLog.setFlow). By the server's clock.
--
-- KEYS[1]  books, of the topic's first partition; "limitedUntil:<group>" is when the next ones may be handed out (ms)
-- ARGV     group; '1' when the events are refused while others must wait, '0' when they are handed out already; how many, how
--          many of those that were counted do not count after all, how much may be saved up (ms); last, the caller's
--          known state (parts/checks.lua)
-- Returns  0; when they are refused, how long they must wait (ms); -1 when the group has no rate
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books, group = KEYS[1], ARGV[1]
local isAsking, events, fewer, savedMs = whole(ARGV[2]) == 1, whole(ARGV[3]), whole(ARGV[4]), whole(ARGV[5])
local field = 'limitedUntil:' .. group
local rate, ends = unpack(numbers(books, { 'rate:' .. group, field }))
if rate == 0 then return -1 end
if isAsking then
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
  if ends > now then return math.ceil(ends - now) end
  ends = math.max(ends, now - savedMs)
end
redis.call('HSET', books, field, string.format('%.3f', ends + (events - fewer) * 1000 / rate))
return 0
