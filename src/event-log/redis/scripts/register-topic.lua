#!lua flags=allow-oom
-- Stores a topic, its partition count and the groups that it lacks in the registry. Never removes partitions. Stores
-- nothing while one of the groups is still being dropped.
--
-- KEYS[1]  topics: hash; field "<topic>" is the partition count, "\0<topic>" how many of them have been made,
--          "<topic>\0<group>" the state of the group: "-", "+<reason>" when it is paused, "~<events a second>" when it is limited
--          to a rate, "drop" while it is being dropped, with an "o" before it when it is ordered; "\0\0epoch" the epoch, "\0\0layout" the layout of the keys, "\0\0version" counts the changes
-- ARGV     topic, partitions; then for each group its name and "-", or "o-" when it is ordered
-- Returns  0 when stored; the stored partition count when it exceeds the given one; -1 when a group is being dropped

local topics = KEYS[1]
local topic, partitions = ARGV[1], tonumber(ARGV[2])
local known = tonumber(redis.call('HGET', topics, topic) or '0')
if partitions < known then return known end
for at = 3, #ARGV, 2 do
  if redis.call('HGET', topics, topic .. '\0' .. ARGV[at]) == 'drop' then return -1 end
end
local isChanged = partitions > known
if isChanged then redis.call('HSET', topics, topic, ARGV[2]) end
for at = 3, #ARGV, 2 do
  if redis.call('HSETNX', topics, topic .. '\0' .. ARGV[at], ARGV[at + 1]) == 1 then isChanged = true end
end
if isChanged then redis.call('HINCRBY', topics, '\0\0version', 1) end
return 0
