#!lua flags=allow-oom
-- Begins or ends the drop of a group. The beginning removes the group from the registry, so that no process creates it,
-- and its name cannot be declared until the end. In between, drop-group.lua removes it from the partitions. Its number
-- stays, so that a process that still knows the group cannot restore it (restore-topic.lua).
--
-- KEYS[1]  topics: hash; field "<topic>\0<group>\0drop" is the number of a group that is being dropped,
--          "<topic>\0<group>\0dropped" the number of the last dropped group of this name
-- ARGV     topic, group; then '' to begin, or the number of the group that was removed from all partitions
-- Returns  the number of the group, also when another process has begun; 0 when there is no such group

local topics = KEYS[1]
local field = ARGV[1] .. '\0' .. ARGV[2]
local drop = field .. '\0drop'
if ARGV[3] ~= '' then
  if redis.call('HGET', topics, drop) == ARGV[3] then
    redis.call('HSET', topics, field .. '\0dropped', ARGV[3])
    redis.call('HDEL', topics, drop)
  end
  return tonumber(ARGV[3])
end
local number = redis.call('HGET', topics, field)
if number then
  redis.call('HSET', topics, drop, number)
  redis.call('HDEL', topics, field, field .. '\0pause')
end
return tonumber(redis.call('HGET', topics, drop) or '0')
