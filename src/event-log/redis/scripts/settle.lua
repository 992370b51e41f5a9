#!lua flags=allow-oom
-- Settles deliveries of one partition: acknowledges each, counts its events and adds what must be redelivered to the
-- group's own stream; stores the reply of a request, unless it has one, is not known or has another event, and
-- announces it then. A delivery that the consumer does not hold with this attempt is refused and changes nothing.
--
-- KEYS     books, the lanes' streams (high, normal, low), their due sets, again, again-tries, again-held, the
--          bell's channel, again-keys, request (a prefix, as in append.lua), inbox (a prefix of channels)
-- ARGV     group, consumer; then for each delivery
--          lane (1..3), 'lane' or 'again', id or member, attempt, bytes, landed, dead, how many batches to redeliver, the
--          reply's number of words (0 or 5), its request's id and offset, bytes, time to live (ms) and inbox, and for each batch: count, attempt, due at (ms), received at, bytes, record, offset, its key with a '-'
--          before it ('' when it has none); last, the caller's known state (parts/checks.lua)
-- Returns  {for each delivery 1, or 0 when it was refused; the ledger of the group}
-- include checks
-- include keys

local over = isOver(KEYS[1])
if over then return over end
local books, again, tries, held, keys, requests = KEYS[1], KEYS[8], KEYS[9], KEYS[10], KEYS[12], KEYS[13]
local streams = { KEYS[2], KEYS[3], KEYS[4] }
local group, consumer = ARGV[1], ARGV[2]
local missing = lacks(books, group, streams)
if missing then return missing end

-- Read and check everything first.

for at = 5, 7 do redis.call('ZCARD', KEYS[at]) end
for at = 8, 10 do redis.call('HLEN', KEYS[at]) end
redis.call('ZCARD', keys)
local isOrdered = redis.call('HEXISTS', books, 'ordered:' .. group) == 1
local fields = { 'landed:', 'dead:', 'waiting:', 'waitingBytes:', 'lastAgain:', 'passed:' }
for index, field in ipairs(fields) do fields[index] = field .. group end
for _, lane in ipairs(lanes) do fields[#fields + 1] = 'pending:' .. lane .. ':' .. group end
for _, lane in ipairs(lanes) do fields[#fields + 1] = 'handed:' .. lane .. ':' .. group end
local facts = numbers(books, fields)
local landed, dead, waiting, waitingBytes, lastAgain, passed = unpack(facts, 1, 6)
local pendings, handed = { unpack(facts, 7, 9) }, { unpack(facts, 10, 12) }

local function isHeld(delivery)
  if delivery.kind == 'lane' then
    local pending = redis.call('XPENDING', streams[delivery.lane], group, delivery.id, delivery.id, 1)[1]
    return pending ~= nil and pending[2] == consumer and pending[4] == delivery.attempt
  end
  local holder = redis.call('HGET', held, delivery.id)
  if not holder or string.match(holder, ' (.*)$') ~= consumer then return false end
  return tonumber(redis.call('HGET', tries, delivery.id) or '') == delivery.attempt
end

local answers, finished, seen = {}, {}, {}
local at = 3
while at <= #ARGV do
  local delivery = { lane = laneOf(ARGV[at]), kind = ARGV[at + 1], id = ARGV[at + 2], attempt = whole(ARGV[at + 3]) }
  local pattern = delivery.kind == 'lane' and '^%d+%-(%d+)$' or '^%d+%-(%d+)%-[123]%-%d+'
  delivery.count = whole(string.match(delivery.id, pattern))
  delivery.bytes, delivery.landed, delivery.dead = whole(ARGV[at + 4]), whole(ARGV[at + 5]), whole(ARGV[at + 6])
  delivery.from, delivery.again = at + 9, whole(ARGV[at + 7])
  if ARGV[at + 8] == '5' then
    delivery.request, delivery.offset, delivery.reply, delivery.ttl, delivery.inbox = unpack(ARGV, at + 9, at + 13)
    whole(delivery.offset)
    whole(delivery.ttl)
    if delivery.inbox == nil then error('a reply has no inbox') end
    redis.call('HLEN', requests .. delivery.request)
    delivery.from = at + 14
  elseif ARGV[at + 8] ~= '0' then
    error('a reply has 5 words')
  end
  local sum = delivery.landed + delivery.dead
  for number = 0, delivery.again - 1 do
    local from = delivery.from + 8 * number
    sum = sum + whole(ARGV[from])
    for _, place in ipairs({ 1, 3, 4, 6 }) do whole(ARGV[from + place]) end
    if tonumber(ARGV[from + 2]) == nil then error('a due time is missing') end
    if ARGV[from + 5] == nil or ARGV[from + 7] == nil then error('a record is missing') end
  end
  if sum ~= delivery.count then error('an outcome does not add up to the events of ' .. delivery.id) end
  local name = delivery.lane .. ':' .. delivery.id
  local isFinished = not seen[name] and isHeld(delivery)
  seen[name] = true
  if isFinished then finished[#finished + 1] = delivery end
  answers[#answers + 1] = isFinished and 1 or 0
  at = delivery.from + 8 * delivery.again
end

-- Then write.

local function answer(delivery)
  local request = requests .. delivery.request
  if redis.call('HGET', request, 'offset') ~= delivery.offset then return end
  if redis.call('HSETNX', request, 'reply', delivery.reply) == 0 then return end
  redis.call('PEXPIRE', request, delivery.ttl)
  -- pcall: without the right to publish, those who wait find the reply when they look.
  redis.pcall('SPUBLISH', KEYS[14] .. delivery.inbox, #delivery.request .. ' ' .. delivery.request .. delivery.reply)
end

local acknowledged = {}
-- Another consumer may wait for the lane of an ordered group.
local isMore = isOrdered
for _, delivery in ipairs(finished) do
  local lane = delivery.lane
  if delivery.kind == 'lane' then
    redis.call('XACK', streams[lane], group, delivery.id)
    pendings[lane] = pendings[lane] - delivery.count
    acknowledged[lane] = true
  else
    redis.call('HDEL', held, delivery.id)
    redis.call('HDEL', tries, delivery.id)
    redis.call('HDEL', again, delivery.id)
    endHold(keys, KEYS[4 + lane], delivery.id)
  end
  if delivery.request then answer(delivery) end
  passed = passed + delivery.count
  landed, dead = landed + delivery.landed, dead + delivery.dead
  waiting = waiting - delivery.landed - delivery.dead
  waitingBytes = waitingBytes - delivery.bytes
  for number = 0, delivery.again - 1 do
    local from = delivery.from + 8 * number
    lastAgain = lastAgain + 1
    local member = string.format('%016.0f-%s-%d-%s', lastAgain, ARGV[from], lane, ARGV[from + 3])
    if ARGV[from + 7] ~= '' then
      member = string.format('%s-%016.0f', member, ARGV[from + 6]) .. ARGV[from + 7]
    end
    redis.call('HSET', again, member, ARGV[from + 5])
    redis.call('HSET', tries, member, ARGV[from + 1])
    hold(keys, KEYS[4 + lane], held, member, ARGV[from + 2])
    waitingBytes = waitingBytes + tonumber(ARGV[from + 4])
    isMore = true
  end
end
if #finished > 0 then
  if waiting == 0 then waitingBytes = 0 end
  local values = { landed, dead, waiting, waitingBytes, lastAgain, passed }
  local words = {}
  for index, value in ipairs(values) do
    words[#words + 1] = fields[index]
    words[#words + 1] = text(value)
  end
  for lane in pairs(acknowledged) do
    -- The group has settled everything below its floor. If Redis loses the group, it restarts there.
    local oldest = redis.call('XPENDING', streams[lane], group, '-', '+', 1)[1]
    local floor = oldest and string.match(oldest[1], '^(%d+)') or text(handed[lane])
    words[#words + 1] = 'floor:' .. lanes[lane] .. ':' .. group
    words[#words + 1] = floor
    words[#words + 1] = fields[6 + lane]
    words[#words + 1] = text(pendings[lane])
  end
  setFields(books, words)
end
-- A new due time can shorten the sleep of idle consumers.
if isMore then ring(books, KEYS[11]) end
return { answers, ledgerOf(books, group) }
