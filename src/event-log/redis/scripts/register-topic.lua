#!lua flags=allow-oom
-- Remembers a topic, how many partitions it has, and its groups. Partitions are never taken away. Nothing is remembered while
-- one of the groups is still being dropped.
--
-- KEYS[1]  topics: hash; field "<topic>" is the number of partitions, field "<topic>\0<group>" the number of the group, field
--          "\0\0last" the last number that was given, "\0\0epoch" the epoch; see also pause-group.lua and unregister-group.lua
-- ARGV     topic, partitions, group ...
-- Answer   0 when it is remembered; the number of partitions it has when that is more than were asked for; -1 when a group
--          is being dropped

local topics = KEYS[1]
local topic, partitions = ARGV[1], tonumber(ARGV[2])
local known = tonumber(redis.call('HGET', topics, topic) or '0')
if partitions < known then return known end
for at = 3, #ARGV do
  if redis.call('HEXISTS', topics, topic .. '\0' .. ARGV[at] .. '\0drop') == 1 then return -1 end
end
redis.call('HSET', topics, topic, ARGV[2])
for at = 3, #ARGV do
  local field = topic .. '\0' .. ARGV[at]
  if redis.call('HEXISTS', topics, field) == 0 then
    redis.call('HSET', topics, field, redis.call('HINCRBY', topics, '\0\0last', 1))
  end
end
return 0
