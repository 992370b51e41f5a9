#!lua
-- Makes what a partition lacks for its groups. A new group starts at the oldest kept entry of each lane.
--
-- KEYS     books, groups, the lanes' streams (high, normal, low)
-- ARGV     group and its number ...; one that was dropped is not made again
-- Answer   how many groups were new

local books, groups = KEYS[1], KEYS[2]
local lanes = { 'high', 'normal', 'low' }
local made = 0
for at = 1, #ARGV, 2 do
  local group, number = ARGV[at], ARGV[at + 1]
  local dropped = tonumber(redis.call('HGET', books, 'dropped:' .. group) or '0')
  if dropped < tonumber(number) and redis.call('SADD', groups, group) == 1 then
    made = made + 1
    redis.call('HSET', books, 'made:' .. group, number)
    for index, lane in ipairs(lanes) do
      redis.call('XGROUP', 'CREATE', KEYS[2 + index], group, '0', 'MKSTREAM')
      local facts = redis.call(
        'HMGET', books, 'next:' .. lane, 'nextByte:' .. lane, 'trimmed:' .. lane, 'trimmedByte:' .. lane)
      local trimmed = facts[3] or '0'
      redis.call('HSET', books, 'start:' .. lane .. ':' .. group, trimmed, 'handed:' .. lane .. ':' .. group, trimmed)
      redis.call('HINCRBY', books, 'waiting:' .. group, tonumber(facts[1] or '0') - tonumber(trimmed))
      redis.call(
        'HINCRBY', books, 'waitingBytes:' .. group, tonumber(facts[2] or '0') - tonumber(facts[4] or '0'))
    end
  end
end
return made
