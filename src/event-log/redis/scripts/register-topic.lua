#!lua flags=allow-oom
-- Stores a topic, its partition count and its groups in the registry. Never removes partitions. Stores nothing while
-- one of the groups is still being dropped.
--
-- KEYS[1]  topics: hash; field "<topic>" is the partition count, "<topic>\0<group>" the group's number, "\0\0last" the
--          last assigned number, "\0\0epoch" the epoch; see also pause-group.lua and unregister-group.lua
-- ARGV     topic, partitions, group ...
-- Returns  0 when stored; the stored partition count when it exceeds the given one; -1 when a group is being dropped

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
