#!lua
-- Puts batches into the own stream of one group, due at once, and counts them as reopened and waiting. Without the flag
-- allow-oom: refused whole when memory is full.
--
-- KEYS     books, the due set of the lane, again, again-tries, the bell's channel
-- ARGV     group, lane (1..3); then for each batch: count, attempt, received at, bytes, record
-- Answer   how many events

local books, due, again, tries = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, lane = ARGV[1], tonumber(ARGV[2])
local events, bytes = 0, 0
if redis.call('HEXISTS', books, 'made:' .. group) == 0 then return redis.error_reply('NOGROUP there is no group ' .. group) end
for at = 3, #ARGV, 5 do
  local place = redis.call('HINCRBY', books, 'lastAgain:' .. group, 1)
  local member = string.format('%016.0f-%s-%d-%s', place, ARGV[at], lane, ARGV[at + 2])
  redis.call('HSET', again, member, ARGV[at + 4])
  redis.call('HSET', tries, member, ARGV[at + 1])
  redis.call('ZADD', due, 0, member)
  events = events + tonumber(ARGV[at])
  bytes = bytes + tonumber(ARGV[at + 3])
end
redis.call('HINCRBY', books, 'reopened:' .. group, events)
redis.call('HINCRBY', books, 'waiting:' .. group, events)
redis.call('HINCRBY', books, 'waitingBytes:' .. group, bytes)
-- As append.lua.
if redis.call('HDEL', books, 'asleep') == 1 then redis.pcall('SPUBLISH', KEYS[5], '') end
return events
