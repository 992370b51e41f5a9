#!lua flags=allow-oom
-- Remembers a topic as a process knew it, when the registry may have been lost. What is there stays, but for what is older:
-- numbers tell, for each is given once and a later one is greater. So nobody brings a group back that was dropped.
--
-- KEYS[1]  topics (register-topic.lua)
-- ARGV     topic, partitions, a number that was given; then for each group: its name, "group", "drop" when it is being dropped
--          or "dropped", its number, the number of its pause (0 when there was none), its state ("+<reason>" or "-")
-- Answer   nothing

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
    -- Another may have brought the group back without it. One of an earlier group of this name has a lower number.
    local pause = tonumber(string.match(redis.call('HGET', topics, field .. '\0pause') or '', '^%d+') or '0')
    if known > 0 and pauseNumber > math.max(known, pause) then
      redis.call('HSET', topics, field .. '\0pause', ARGV[at + 3] .. ' ' .. ARGV[at + 4])
    end
  elseif known > 0 and known <= number then
    -- Somebody who did not know of it has brought it back: partitions may have it again.
    redis.call('HDEL', topics, field, field .. '\0pause')
    redis.call('HSET', topics, field .. '\0drop', ARGV[at + 2])
  elseif number > dropped then
    if state == 'dropped' or number > drop then redis.call('HSET', topics, field .. '\0' .. state, ARGV[at + 2]) end
  end
  last = math.max(last, number, pauseNumber)
end
redis.call('HSET', topics, '\0\0last', string.format('%.0f', last))
