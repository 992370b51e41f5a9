#!lua flags=allow-oom
-- Begins or ends the dropping of a group: it is not among the topic's groups any more, so nobody makes it, and until the end
-- its name cannot be declared again. Between, its partitions are freed of it (drop-group.lua). Its number stays, so that no
-- process that still knows it brings it back (restore-topic.lua).
--
-- KEYS[1]  topics: hash; field "<topic>\0<group>\0drop" is the number of a group that is being dropped,
--          "<topic>\0<group>\0dropped" that of the last of this name that was
-- ARGV     topic, group; then '' to begin, or the number of the group of which nothing is left
-- Answer   the number of the group, also when another has begun; 0 when there is no such group

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
