#!lua flags=allow-oom
-- Changes the state of a group in the registry; make-partition.lua then applies it to each partition.
--
-- KEYS[1]  topics (register-topic.lua)
-- ARGV     topic, group; its state without the "o": "-", "+<reason>", "~<rate>", "drop", or "gone" when it was dropped in all partitions
-- Returns  1; 0 when there is no such group

local topics, state = KEYS[1], ARGV[3]
local field = ARGV[1] .. '\0' .. ARGV[2]
local known = redis.call('HGET', topics, field)
if not known or (known == 'drop' and state ~= 'drop' and state ~= 'gone') then return 0 end
if state ~= 'drop' and state ~= 'gone' then state = string.match(known, '^o?') .. state end
if known == state then return 1 end
if state == 'gone' then
  if known ~= 'drop' then return 0 end
  redis.call('HDEL', topics, field)
else
  redis.call('HSET', topics, field, state)
end
redis.call('HINCRBY', topics, '\0\0version', 1)
return 1
