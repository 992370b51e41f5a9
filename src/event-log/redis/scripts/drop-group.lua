#!lua flags=allow-oom
-- Removes a group from a partition, in steps. The first removes it from admission and trimming and deletes its counters
-- and its own stream; later ones acknowledge its pending entries, at most N in each lane.
--
-- KEYS     books, the lanes' streams (high, normal, low), their due sets, again, again-tries, again-held, the
--          bell's channel, again-keys, permits
-- ARGV     group, version of the registry, N; last, the caller's known state (parts/checks.lua)
-- Returns  {1 when another step is needed, how many events waited} | 'stale' when the partition has a later version of
--          the registry
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books = KEYS[1]
local group, most = ARGV[1], whole(ARGV[3])
local dropping = 'dropping:' .. group
if numbers(books, { 'version' })[1] > whole(ARGV[2]) then return 'stale' end

local left, isThere = {}, false
for _, name in ipairs(groupsOf(books)) do
  if name == group then isThere = true else left[#left + 1] = name end
end
if isThere then
  redis.call('HSET', books, dropping, redis.call('HGET', books, 'waiting:' .. group) or '0', 'groups', table.concat(left, '\0'))
  local terms = {
    'waiting', 'waitingBytes', 'landed', 'dead', 'lost', 'reopened', 'start', 'lastAgain', 'passed', 'paused',
    'rate', 'limitedUntil', 'ordered', 'before:group' }
  for _, term in ipairs(terms) do redis.call('HDEL', books, term .. ':' .. group) end
  for _, lane in ipairs(lanes) do
    for _, term in ipairs({ 'handed:', 'floor:', 'pending:' }) do redis.call('HDEL', books, term .. lane .. ':' .. group) end
  end
  redis.call('UNLINK', KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10], KEYS[12], KEYS[13])
  -- Wake waiting consumers: they get NOGROUP.
  redis.pcall('SPUBLISH', KEYS[11], '')
end

local waiting = redis.call('HGET', books, dropping)
if not waiting then return { 0, '0' } end
for index = 1, 3 do
  local page = redis.pcall('XPENDING', KEYS[1 + index], group, '-', '+', most)
  -- An error means that the stream no longer has the group.
  if page.err == nil then
    local ids = {}
    for at, pending in ipairs(page) do ids[at] = pending[1] end
    if #ids > 0 then redis.call('XACK', KEYS[1 + index], group, unpack(ids)) end
    if #ids == most then return { 1, waiting } end
    redis.call('XGROUP', 'DESTROY', KEYS[1 + index], group)
  end
end
redis.call('HDEL', books, dropping)
return { 0, waiting }
