#!lua flags=allow-oom
-- Stores in the registry that a group is paused or resumed; set-paused.lua then applies it to each partition.
--
-- KEYS[1]  topics: hash; field "<topic>\0<group>\0pause" is the number of the change and "+<reason>" or "-"
-- ARGV     topic, group, '1' to pause, the reason
-- Returns  1; 0 when there is no such group

local topics = KEYS[1]
local field = ARGV[1] .. '\0' .. ARGV[2]
if redis.call('HEXISTS', topics, field) == 0 then return 0 end
local number = redis.call('HINCRBY', topics, '\0\0last', 1)
local state = ARGV[3] == '1' and '+' .. ARGV[4] or '-'
redis.call('HSET', topics, field .. '\0pause', number .. ' ' .. state)
return 1
