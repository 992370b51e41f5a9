#!lua flags=allow-oom
-- Applies a pause or a resume of a group to a partition, unless the partition has a later change.
--
-- KEYS     books, the bell's channel
-- ARGV     group, its number, the number of the change, '1' when it is paused, the reason
-- Returns  1; 0 when the partition has no group of this number

local books = KEYS[1]
local group, number = ARGV[1], tonumber(ARGV[3])
if redis.call('HGET', books, 'made:' .. group) ~= ARGV[2] then return 0 end
if tonumber(redis.call('HGET', books, 'pauseNumber:' .. group) or '0') >= number then return 1 end
redis.call('HSET', books, 'pauseNumber:' .. group, ARGV[3])
if ARGV[4] == '1' then
  redis.call('HSET', books, 'paused:' .. group, ARGV[5])
else
  redis.call('HDEL', books, 'paused:' .. group)
  redis.pcall('SPUBLISH', KEYS[2], '')
end
return 1
