#!lua
-- Appends to the lanes of one partition, in order; each append is stored whole or not at all. Also counts the stored
-- events as waiting for every group. Without the flag allow-oom: Redis refuses the whole script when memory is full.
--
-- KEYS     books, groups, the lanes' streams (high, normal, low), producers, producer-last, producer (a prefix: the
--          window of a producer is a bitmap under "<prefix><lane>/<id>"), the bell's channel
-- ARGV     max producers to remember, window size; then for each append: lane (1..3), batches, events, bytes, max
--          waiting events and bytes ('' without limit), producer id, epoch and sequence ('' without), and for each batch:
--          count, received at, checksum, bytes; last, the caller's known state (parts/checks.lua)
-- Returns  for each append: {'stored', first offset} | {'duplicate'} | {'old'} | {'fenced', highest epoch}
--          | {'backlogged', group, waiting events, waiting bytes, settled events}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books, groups, producers, lasts, windows = KEYS[1], KEYS[2], KEYS[6], KEYS[7], KEYS[8]
local lanes = { 'high', 'normal', 'low' }
local maxProducers, window = whole(ARGV[1]), whole(ARGV[2])

-- Check everything before writing anything.
local isUsed, isNumbered = {}, false
local at = 3
while at <= #ARGV do
  local lane, batches, sum, length = laneOf(ARGV[at]), whole(ARGV[at + 1]), 0, 0
  if (ARGV[at + 4] == '') ~= (ARGV[at + 5] == '') then error('an append has only one of its two limits') end
  if (ARGV[at + 7] == '') ~= (ARGV[at + 8] == '') then error('a message has only one of its two numbers') end
  for _, place in ipairs({ 4, 5, 7, 8 }) do
    if ARGV[at + place] ~= '' then whole(ARGV[at + place]) end
  end
  if ARGV[at + 8] ~= '' then
    isNumbered = true
    redis.call('GETBIT', windows .. lanes[lane] .. '/' .. ARGV[at + 6], 0)
  end
  for batch = 0, batches - 1 do
    local from = at + 9 + 4 * batch
    sum = sum + whole(ARGV[from])
    whole(ARGV[from + 1])
    if whole(ARGV[from]) == 0 or ARGV[from + 3] == nil then error('a batch is empty or missing') end
    length = length + #ARGV[from + 3]
  end
  if sum ~= whole(ARGV[at + 2]) or length ~= whole(ARGV[at + 3]) then error('the batches of an append do not add up') end
  isUsed[lane] = true
  at = at + 9 + 4 * batches
end
-- The counters are read with one command here and written with one at the end.
local names = redis.call('SMEMBERS', groups)
table.sort(names)
local fields = {}
for _, group in ipairs(names) do
  fields[#fields + 1] = 'waiting:' .. group
  fields[#fields + 1] = 'waitingBytes:' .. group
end
for lane in pairs(isUsed) do
  fields[#fields + 1] = 'next:' .. lanes[lane]
  fields[#fields + 1] = 'nextByte:' .. lanes[lane]
end
local found, known = numbers(books, fields), {}
for index, field in ipairs(fields) do known[field] = found[index] end
for lane in pairs(isUsed) do
  local reached, reachedByte = known['next:' .. lanes[lane]], known['nextByte:' .. lanes[lane]]
  -- An entry beyond the lane's end was written by another program: XADD would refuse an id after others had been
  -- stored. An entry of no events takes no offset.
  local beyond = redis.call('XRANGE', KEYS[2 + lane], text(reached) .. '-1', '+', 'COUNT', 1)[1]
  if beyond or reachedByte < 0 then return 'over different' end
end
if isNumbered then
  redis.call('ZCARD', producers)
  redis.call('HLEN', lasts)
  numbers(books, { 'producerUses' })
end

local function overLimit(moreEvents, moreBytes, maxEvents, maxBytes)
  for _, group in ipairs(names) do
    local events, bytes = known['waiting:' .. group], known['waitingBytes:' .. group]
    if events > 0 and (events + moreEvents > maxEvents or bytes + moreBytes > maxBytes) then
      local settled = redis.call('HMGET', books, 'landed:' .. group, 'dead:' .. group)
      local sum = tonumber(settled[1] or '0') + tonumber(settled[2] or '0')
      return { 'backlogged', group, text(events), text(bytes), text(sum) }
    end
  end
  return nil
end

local function used(member)
  redis.call('ZADD', producers, redis.call('HINCRBY', books, 'producerUses', 1), member)
end

local function remember(member, epoch, sequence, last)
  local bitmap = windows .. member
  if last == nil then
    redis.call('DEL', bitmap)
  elseif sequence - last >= window then
    redis.call('DEL', bitmap)
  else
    for passed = last + 1, sequence - 1 do redis.call('SETBIT', bitmap, passed % window, 0) end
  end
  redis.call('SETBIT', bitmap, sequence % window, 1)
  if last == nil or sequence > last then redis.call('HSET', lasts, member, text(epoch) .. '/' .. text(sequence)) end
  used(member)
  while redis.call('ZCARD', producers) > maxProducers do
    local oldest = redis.call('ZPOPMIN', producers)[1]
    redis.call('HDEL', lasts, oldest)
    redis.call('DEL', windows .. oldest)
  end
end

local refused = {}
local answers = {}
local isStored = false
at = 3

local function append()
  local index, batches = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local lane = lanes[index]
  local moreEvents, moreBytes = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local maxEvents, maxBytes = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local producer, epoch, sequence = ARGV[at + 6], tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8])
  local first = at + 9
  at = first + 4 * batches

  local member, last
  if sequence ~= nil then
    member = lane .. '/' .. producer
    local highest, lastOfHighest = (redis.call('HGET', lasts, member) or ''):match('^(%d+)/(%d+)$')
    if highest ~= nil and tonumber(highest) > epoch then return { 'fenced', highest } end
    if highest ~= nil and tonumber(highest) == epoch then
      last = tonumber(lastOfHighest)
      if sequence <= last - window then return { 'old' } end
      if sequence <= last and redis.call('GETBIT', windows .. member, sequence % window) == 1 then
        used(member)
        return { 'duplicate' }
      end
    end
  end
  if refused[lane] ~= nil then return refused[lane] end
  if maxEvents ~= nil then
    refused[lane] = overLimit(moreEvents, moreBytes, maxEvents, maxBytes)
    if refused[lane] ~= nil then return refused[lane] end
  end

  local offset, startByte = known['next:' .. lane], known['nextByte:' .. lane]
  local firstOffset = text(offset)
  for batch = 0, batches - 1 do
    local from = first + 4 * batch
    redis.call(
      'XADD', KEYS[2 + index], text(offset) .. '-' .. ARGV[from],
      'r', ARGV[from + 1], 'c', ARGV[from + 2], 's', text(startByte), 'b', ARGV[from + 3])
    offset = offset + tonumber(ARGV[from])
    startByte = startByte + #ARGV[from + 3]
  end
  known['next:' .. lane], known['nextByte:' .. lane] = offset, startByte
  isStored = true
  for _, group in ipairs(names) do
    known['waiting:' .. group] = known['waiting:' .. group] + moreEvents
    known['waitingBytes:' .. group] = known['waitingBytes:' .. group] + moreBytes
  end
  if sequence ~= nil then
    if last ~= nil and sequence < last then
      redis.call('SETBIT', windows .. member, sequence % window, 1)
      used(member)
    else
      remember(member, epoch, sequence, last)
    end
  end
  return { 'stored', firstOffset }
end

while at <= #ARGV do answers[#answers + 1] = append() end

if not isStored then return answers end
local changed = {}
for field, number in pairs(known) do
  changed[#changed + 1] = field
  changed[#changed + 1] = text(number)
end
redis.call('HSET', books, unpack(changed))
-- Wake idle consumers, which have set `asleep`. pcall: without the right to publish they find the entries by polling.
if redis.call('HDEL', books, 'asleep') == 1 then redis.pcall('SPUBLISH', KEYS[9], '') end
return answers
