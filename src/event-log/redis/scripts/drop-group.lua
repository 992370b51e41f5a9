#!lua flags=allow-oom
-- Removes a group from a partition, in steps. The first removes the group from admission and trimming and deletes its
-- counters and its own stream; later ones acknowledge its pending entries, at most N per call. The number of the last
-- dropped group stays in `books`, so that a process that still knows the group cannot recreate it.
--
-- KEYS     books, the lanes' streams (high, normal, low), their due sets, again, again-tries, again-held, the
--          bell's channel, groups
-- ARGV     group, its number, max pending entries to acknowledge
-- Returns  {1 when another step is needed, how many events waited}

local books, groups = KEYS[1], KEYS[12]
local lanes = { 'high', 'normal', 'low' }
local group, number, most = ARGV[1], ARGV[2], tonumber(ARGV[3])
local dropping = 'dropping:' .. group

if tonumber(redis.call('HGET', books, 'dropped:' .. group) or '0') < tonumber(number) then
  redis.call('HSET', books, 'dropped:' .. group, number)
end
if redis.call('HGET', books, 'made:' .. group) == number then
  redis.call('HSET', books, dropping, redis.call('HGET', books, 'waiting:' .. group) or '0')
  redis.call('SREM', groups, group)
  local terms = { 'made', 'waiting', 'waitingBytes', 'landed', 'dead', 'lost', 'reopened', 'lastAgain', 'passed', 'paused', 'pauseNumber' }
  for _, term in ipairs(terms) do redis.call('HDEL', books, term .. ':' .. group) end
  for _, lane in ipairs(lanes) do
    for _, term in ipairs({ 'start:', 'handed:', 'floor:', 'pending:' }) do redis.call('HDEL', books, term .. lane .. ':' .. group) end
  end
  redis.call('UNLINK', KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10])
  -- Wake waiting consumers: they get NOGROUP.
  redis.pcall('SPUBLISH', KEYS[11], '')
end

local waiting = redis.call('HGET', books, dropping)
if not waiting then return { 0, 0 } end
for index = 1, 3 do
  local page = redis.pcall('XPENDING', KEYS[1 + index], group, '-', '+', most)
  -- An error means that the stream no longer has the group.
  if page.err == nil then
    local ids = {}
    for at, pending in ipairs(page) do ids[at] = pending[1] end
    if #ids > 0 then redis.call('XACK', KEYS[1 + index], group, unpack(ids)) end
    if #ids == most then return { 1, tonumber(waiting) } end
    redis.call('XGROUP', 'DESTROY', KEYS[1 + index], group)
  end
end
redis.call('HDEL', books, dropping)
return { 0, tonumber(waiting) }
