#!lua flags=allow-oom
-- Remembers a topic as a process knew it, when the registry may have been lost: what is there stays. The numbers of groups
-- are those that their partitions know.
--
-- KEYS[1]  topics (register-topic.lua)
-- ARGV     topic, partitions; then for each group: its name, its number, the number of its pause (0 when there was none),
--          its state ("+<reason>" or "-")
-- Answer   nothing

local topics = KEYS[1]
local topic, partitions = ARGV[1], tonumber(ARGV[2])
local last = tonumber(redis.call('HGET', topics, '\0\0last') or '0')
if tonumber(redis.call('HGET', topics, topic) or '0') < partitions then redis.call('HSET', topics, topic, ARGV[2]) end
for at = 3, #ARGV, 4 do
  local field = topic .. '\0' .. ARGV[at]
  local isThere = redis.call('HEXISTS', topics, field) == 1 or redis.call('HEXISTS', topics, field .. '\0drop') == 1
  if not isThere then
    redis.call('HSET', topics, field, ARGV[at + 1])
    if ARGV[at + 2] ~= '0' then redis.call('HSET', topics, field .. '\0pause', ARGV[at + 2] .. ' ' .. ARGV[at + 3]) end
  end
  last = math.max(last, tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]))
end
redis.call('HSET', topics, '\0\0last', string.format('%.0f', last))
