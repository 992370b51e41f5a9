#!lua flags=allow-oom
-- Restores a topic in the registry from a process's memory, when the registry may have been lost. Overwrites only what
-- has a lower number: each number is assigned once, and later ones are greater. So a dropped group is not recreated.
--
-- KEYS[1]  topics (register-topic.lua)
-- ARGV     topic, partitions, an assigned number; then for each group: its name, "group", "drop" (being dropped) or
--          "dropped", its number, the number of its last pause change (0 when there was none), its state ("+<reason>"
--          or "-")
-- Returns  nothing

local topics = KEYS[1]
local topic, partitions, last = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if partitions == nil or last == nil then error('a number is missing') end
for at = 4, #ARGV, 5 do
  if tonumber(ARGV[at + 2]) == nil or tonumber(ARGV[at + 3]) == nil then error('a number of a group is missing') end
end
local function stored(field) return tonumber(redis.call('HGET', topics, field) or '0') or 0 end

if stored(topic) < partitions then redis.call('HSET', topics, topic, ARGV[2]) end
last = math.max(last, stored('\0\0last'))
for at = 4, #ARGV, 5 do
  local field = topic .. '\0' .. ARGV[at]
  local state, number, pauseNumber = ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local known, drop, dropped = stored(field), stored(field .. '\0drop'), stored(field .. '\0dropped')
  if state == 'group' then
    if number > math.max(known, drop, dropped) then
      redis.call('HSET', topics, field, ARGV[at + 2])
      known = number
    end
    -- Another process may have restored the group without its pause. A pause of an earlier group of this name has a
    -- lower number than the group.
    local pause = tonumber(string.match(redis.call('HGET', topics, field .. '\0pause') or '', '^%d+') or '0')
    if known > 0 and pauseNumber > math.max(known, pause) then
      redis.call('HSET', topics, field .. '\0pause', ARGV[at + 3] .. ' ' .. ARGV[at + 4])
    end
  elseif known > 0 and known <= number then
    -- A process that did not know of the drop has restored the group, so partitions may have it again: drop it again.
    redis.call('HDEL', topics, field, field .. '\0pause')
    redis.call('HSET', topics, field .. '\0drop', ARGV[at + 2])
  elseif number > dropped then
    if state == 'dropped' or number > drop then redis.call('HSET', topics, field .. '\0' .. state, ARGV[at + 2]) end
  end
  last = math.max(last, number, pauseNumber)
end
redis.call('HSET', topics, '\0\0last', string.format('%.0f', last))
