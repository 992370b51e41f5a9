#!lua
-- Appends to the lanes of one partition, in order; each append is stored whole or not at all. Also counts the stored
-- events as waiting for every group. Without the flag allow-oom: Redis refuses the whole script when memory is full.
--
-- KEYS     books, the lanes' streams (high, normal, low), producers, producer-last, producer (a prefix: the window of a
--          producer is a bitmap under "<prefix><lane>/<id>"), the bell's channel, request (a prefix: a request is a
--          hash under "<prefix><id>": fingerprint, offset, reply)
-- ARGV     max producers to remember, window size, 1 to get the ledgers; then for each append: lane (1..3, or 0: a request,
--          in lane 2), batches, events, bytes, max waiting events and bytes ('' without limit), producer id, epoch and
--          sequence ('' without), of a request its id, fingerprint and time to live (ms), and for each batch: count,
--          received at, checksum, bytes; last, the caller's known state (parts/checks.lua)
-- Returns  {the answers, the ledger of each group ...}; an answer: {'stored', first offset} | {'duplicate'} | {'other'}:
--          the request's id has another fingerprint | {'old'} | {'fenced', the producer's highest epoch} | {'backlogged',
--          group, waiting events, waiting bytes, settled events} | {'blocked', what Redis says, the commands that cure
--          the lane}
-- include checks
-- include blocked

local over = isOver(KEYS[1])
if over then return over end
local books, producers, lasts, windows, bell, requests = KEYS[1], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local maxProducers, window = whole(ARGV[1]), whole(ARGV[2])

-- Check everything before writing anything.
local isUsed, isNumbered = {}, false
local at = 4
while at <= #ARGV do
  local isRequest, first = ARGV[at] == '0', at + 9
  local lane, batches, sum, length = isRequest and 2 or laneOf(ARGV[at]), whole(ARGV[at + 1]), 0, 0
  if (ARGV[at + 4] == '') ~= (ARGV[at + 5] == '') then error('an append has only one of its two limits') end
  for place = 4, 5 do
    if ARGV[at + place] ~= '' then whole(ARGV[at + place]) end
  end
  if (ARGV[at + 7] == '') ~= (ARGV[at + 8] == '') then error('a producer has an epoch or a sequence only') end
  if ARGV[at + 7] ~= '' then
    isNumbered = true
    whole(ARGV[at + 7])
    whole(ARGV[at + 8])
    redis.call('GETBIT', windows .. lanes[lane] .. '/' .. ARGV[at + 6], 0)
  end
  if isRequest then
    if ARGV[at + 1] ~= '1' or ARGV[at + 2] ~= '1' then error('a request is one batch of one event') end
    whole(ARGV[at + 11])
    redis.call('HLEN', requests .. ARGV[at + 9])
    first = at + 12
  end
  for batch = 0, batches - 1 do
    local from = first + 4 * batch
    sum = sum + whole(ARGV[from])
    whole(ARGV[from + 1])
    if whole(ARGV[from]) == 0 or ARGV[from + 3] == nil then error('a batch is empty or missing') end
    length = length + #ARGV[from + 3]
  end
  if sum ~= whole(ARGV[at + 2]) or length ~= whole(ARGV[at + 3]) then error('the batches of an append do not add up') end
  isUsed[lane] = true
  at = first + 4 * batches
end
local answers = {}
-- The counters are read together here and written together at the end.
local names, fields, reply = groupsOf(books), {}, { answers }
for index, group in ipairs(names) do
  if ARGV[3] == '1' then reply[1 + index] = ledgerOf(books, group) end
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
  if reachedByte < 0 then return 'over different' end
  -- An entry beyond the lane's end was written by another program: a new epoch skips it, where its id leaves room.
  local beyond = beyondOf(KEYS[1 + lane], reached)
  if beyond and leavesRoom(beyond) then return 'over different' end
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
      local _, _, _, landed, dead = unpack(ledgerOf(books, group))
      return { 'backlogged', group, text(events), text(bytes), text(landed + dead) }
    end
  end
  return nil
end

local function used(member)
  redis.call('ZADD', producers, redis.call('HINCRBY', books, 'producerUses', 1), member)
end

-- The bitmap has room for two windows: that of the highest sequence, and the one before. Each is emptied when the first
-- sequence of it is stored, so that skipped sequences cost nothing.
local function remember(member, epoch, sequence, last)
  local bitmap, current = windows .. member, math.floor(sequence / window)
  local before = last and math.floor(last / window)
  if last == nil or current > before + 1 then
    redis.call('DEL', bitmap)
  elseif current > before then
    redis.call('SETRANGE', bitmap, current % 2 * window / 8, string.rep('\0', window / 8))
  end
  redis.call('SETBIT', bitmap, sequence % (2 * window), 1)
  if last == nil or sequence > last then redis.call('HSET', lasts, member, text(epoch) .. ' ' .. text(sequence)) end
  used(member)
  while redis.call('ZCARD', producers) > maxProducers do
    local oldest = redis.call('ZPOPMIN', producers)[1]
    redis.call('HDEL', lasts, oldest)
    redis.call('DEL', windows .. oldest)
  end
end

local refused = {}
local isStored = false
at = 4

local function append()
  local index, batches = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  local lane = lanes[index]
  local moreEvents, moreBytes = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local maxEvents, maxBytes = tonumber(ARGV[at + 4]), tonumber(ARGV[at + 5])
  local producer, epoch, sequence = ARGV[at + 6], tonumber(ARGV[at + 7]), tonumber(ARGV[at + 8])
  local first, request, fingerprint, ttl = at + 9, nil, nil, nil
  if index == 0 then
    index, lane, first = 2, lanes[2], at + 12
    request, fingerprint, ttl = requests .. ARGV[at + 9], ARGV[at + 10], ARGV[at + 11]
  end
  at = first + 4 * batches

  local member, last
  if sequence ~= nil then
    member = lane .. '/' .. producer
    local highest, latest = string.match(redis.call('HGET', lasts, member) or '', '^(%d+) (%d+)$')
    if highest and epoch < tonumber(highest) then return { 'fenced', highest } end
    if highest and epoch == tonumber(highest) then
      last = tonumber(latest)
      if sequence <= last - window then return { 'old' } end
      if sequence <= last and redis.call('GETBIT', windows .. member, sequence % (2 * window)) == 1 then
        used(member)
        return { 'duplicate' }
      end
    end
  end
  if request then
    local registered = redis.call('HGET', request, 'fingerprint')
    if registered then return { registered == fingerprint and 'duplicate' or 'other' } end
  end
  if maxEvents ~= nil then
    refused[lane] = refused[lane] or overLimit(moreEvents, moreBytes, maxEvents, maxBytes)
    if refused[lane] ~= nil then return refused[lane] end
  end

  local offset, startByte = known['next:' .. lane], known['nextByte:' .. lane]
  local firstOffset = text(offset)
  for batch = 0, batches - 1 do
    local from = first + 4 * batch
    local added = redis.pcall(
      'XADD', KEYS[1 + index], text(offset) .. '-' .. ARGV[from],
      'r', ARGV[from + 1], 'c', ARGV[from + 2], 's', text(startByte), 'b', ARGV[from + 3])
    if added.err then
      -- Only the first can be refused: the ids of the others follow it.
      if batch > 0 then error(added.err) end
      refused[lane] = { 'blocked', added.err, cureOf(books, KEYS[1 + index], lane) }
      return refused[lane]
    end
    offset = offset + tonumber(ARGV[from])
    startByte = startByte + #ARGV[from + 3]
  end
  known['next:' .. lane], known['nextByte:' .. lane] = offset, startByte
  isStored = true
  for _, group in ipairs(names) do
    known['waiting:' .. group] = known['waiting:' .. group] + moreEvents
    known['waitingBytes:' .. group] = known['waitingBytes:' .. group] + moreBytes
  end
  if sequence ~= nil then remember(member, epoch, sequence, last) end
  if request then
    redis.call('HSET', request, 'fingerprint', fingerprint, 'offset', firstOffset)
    redis.call('PEXPIRE', request, ttl)
  end
  return { 'stored', firstOffset }
end

while at <= #ARGV do answers[#answers + 1] = append() end

if isStored then
  local changed = {}
  for field, number in pairs(known) do
    changed[#changed + 1] = field
    changed[#changed + 1] = text(number)
  end
  setFields(books, changed)
  ring(books, bell)
end
return reply
