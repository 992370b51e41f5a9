#!lua flags=allow-oom
-- Counts the events that a group with a rate is handed out, of all partitions (EventLog.setFlow). By the server's clock.
--
-- KEYS[1]  books, of the topic's first partition; "limitedUntil:<group>" is when the next ones may be handed out (ms)
-- ARGV     group; how many events more than were counted have been handed out, how many fewer; with both 0 a step is asked
--          for, which counts as handed out; ms: of a step, which is also what may be saved up; last, the caller's known
--          state (parts/checks.lua)
-- Returns  {the events of the step, 0 while others must wait, -1 when the group has no rate; how long they must wait (ms)}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books, group = KEYS[1], ARGV[1]
local events, stepMs = whole(ARGV[2]) - whole(ARGV[3]), whole(ARGV[4])
local field = 'limitedUntil:' .. group
local rate, ends = unpack(numbers(books, { 'rate:' .. group, field }))
if rate == 0 then return { -1, 0 } end
local step = 0
if events == 0 then
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
  if ends > now then return { 0, math.ceil(ends - now) } end
  ends = math.max(ends, now - stepMs)
  step = math.max(1, math.floor(rate * stepMs / 1000))
end
redis.call('HSET', books, field, string.format('%.3f', ends + (events + step) * 1000 / rate))
return { step, 0 }
