#!lua flags=allow-oom
-- Finishes deliveries of one partition: acknowledges each, counts its events and puts what must come again into the
-- group's own stream. A delivery that the consumer does not hold with this attempt is refused and changes nothing.
--
-- KEYS     books, the lanes' streams (high, normal, low), their due sets, again, again-tries, again-held, the
--          bell's channel
-- ARGV     group, consumer; then for each delivery
--          lane (1..3), 'lane' or 'again', id or member, attempt, bytes, landed, dead, how many come again, and for each
--          of those: count, attempt, due at (ms), received at, bytes, record
-- Answer   for each delivery 1, or 0 when it was refused

local books, again, tries, held = KEYS[1], KEYS[8], KEYS[9], KEYS[10]
local group, consumer = ARGV[1], ARGV[2]
local answers = {}
local landed, dead, waitingBytes = 0, 0, 0
local isMore = false
local at = 3
if redis.call('HEXISTS', books, 'made:' .. group) == 0 then return redis.error_reply('NOGROUP there is no group ' .. group) end

local function finish(lane, kind, id, attempt)
  if kind == 'lane' then
    local pending = redis.call('XPENDING', KEYS[1 + lane], group, id, id, 1)[1]
    if pending == nil or pending[2] ~= consumer or pending[4] ~= tonumber(attempt) then return false end
    return redis.call('XACK', KEYS[1 + lane], group, id) == 1
  end
  local holder = redis.call('HGET', held, id)
  if not holder or string.match(holder, ' (.*)$') ~= consumer then return false end
  if redis.call('HGET', tries, id) ~= attempt then return false end
  redis.call('HDEL', held, id)
  redis.call('HDEL', tries, id)
  redis.call('HDEL', again, id)
  return true
end

while at <= #ARGV do
  local lane, count = tonumber(ARGV[at]), tonumber(ARGV[at + 7])
  local isHeld = finish(lane, ARGV[at + 1], ARGV[at + 2], ARGV[at + 3])
  if isHeld then
    waitingBytes = waitingBytes - tonumber(ARGV[at + 4])
    landed = landed + tonumber(ARGV[at + 5])
    dead = dead + tonumber(ARGV[at + 6])
    for number = 0, count - 1 do
      local from = at + 8 + 6 * number
      local place = redis.call('HINCRBY', books, 'lastAgain:' .. group, 1)
      local member = string.format('%016.0f-%s-%d-%s', place, ARGV[from], lane, ARGV[from + 3])
      redis.call('HSET', again, member, ARGV[from + 5])
      redis.call('HSET', tries, member, ARGV[from + 1])
      redis.call('ZADD', KEYS[4 + lane], ARGV[from + 2], member)
      waitingBytes = waitingBytes + tonumber(ARGV[from + 4])
      isMore = true
    end
  end
  answers[#answers + 1] = isHeld and 1 or 0
  at = at + 8 + 6 * count
end
redis.call('HINCRBY', books, 'landed:' .. group, landed)
redis.call('HINCRBY', books, 'dead:' .. group, dead)
local left = redis.call('HINCRBY', books, 'waiting:' .. group, 0 - landed - dead)
if left == 0 then
  redis.call('HSET', books, 'waitingBytes:' .. group, '0')
else
  redis.call('HINCRBY', books, 'waitingBytes:' .. group, waitingBytes)
end
-- As append.lua; what is due later changes how long others may sleep.
if isMore and redis.call('HDEL', books, 'asleep') == 1 then redis.pcall('SPUBLISH', KEYS[11], '') end
return answers
