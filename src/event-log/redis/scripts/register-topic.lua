#!lua
-- Remembers a topic, how many partitions it has, and its groups. Nothing is ever taken away.
--
-- KEYS[1]  topics: hash; field "<topic>" is the number of partitions, field "<topic>\0<group>" is there for each group
-- ARGV     topic, partitions, group ...
-- Answer   0 when it is remembered; the number of partitions it has when that is more than were asked for

local topics = KEYS[1]
local topic, partitions = ARGV[1], tonumber(ARGV[2])
local known = tonumber(redis.call('HGET', topics, topic) or '0')
if partitions < known then return known end
redis.call('HSET', topics, topic, ARGV[2])
for at = 3, #ARGV do redis.call('HSET', topics, topic .. '\0' .. ARGV[at], '1') end
return 0
