#!lua flags=allow-oom
-- Makes a partition what the registry says: it enters the epoch, makes its groups, pauses, limits and resumes them. Several
-- processes may call it at once and in any order: what is there already is not changed, and an older version of the
-- registry is refused.
--
-- A new group starts at the oldest kept entry of each lane. A group that a stream has lost restarts there at its floor:
-- settled entries above the floor are redelivered and counted as reopened.
--
-- KEYS     books, the lanes' streams (high, normal, low), producers, producer-last, producer (a prefix), the bell's
--          channel, the common beginning of the partition's keys
-- ARGV     the epoch; 'begin' when it begins, else ''; 'made' when the partition is known to have existed, else ''; the
--          version of the registry; then for each group its name and its state (register-topic.lua)
-- Returns  {streams whose group was recreated, events redelivered, events lost, {name and state of each group that the
--          registry lacks or knows without its pause or rate}, {for each lane the commands that cure it, '' when it takes
--          appends}, the ledger of each group ...} | 'stale' when the partition has a later version of the registry | why the epoch is over
-- include checks
-- include blocked

local books, producers, lasts, windows, bell, base = KEYS[1], KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]
local streams = { KEYS[2], KEYS[3], KEYS[4] }
local epoch, isBeginning, isMade, version = whole(ARGV[1]), ARGV[2] == 'begin', ARGV[3] == 'made', whole(ARGV[4])

local function number(field) return numbers(books, { field })[1] end
local function add(field, more) redis.call('HSET', books, field, text(number(field) + more)) end
local function endOf(entry)
  local offset, count = placeOf(entry[1])
  return offset + count
end
-- The byte offset at which an entry starts, or ends.
local function byteOf(entry, isEnd)
  if not isOurs(entry[2]) then return 0 end
  return (tonumber(entry[2][6]) or 0) + (isEnd and #entry[2][8] or 0)
end

-- Counts the own stream of a group that has no counters.
local function countAgain(group)
  local events, bytes, last = 0, 0, 0
  local again = base .. 'again:' .. group
  for _, member in ipairs(redis.call('HKEYS', base .. 'again-tries:' .. group)) do
    local place, count = string.match(member, '^(%d+)%-(%d+)%-')
    if place ~= nil then
      events, last = events + tonumber(count), math.max(last, tonumber(place))
      bytes = bytes + redis.call('HSTRLEN', again, member)
    end
  end
  return events, bytes, last
end

-- Read what exists. A wrong argument, or a key of the wrong type, fails here, before anything is written.
local states, names = {}, {}
for at = 5, #ARGV, 2 do
  local group, state = ARGV[at], ARGV[at + 1]
  if group == '' or not (string.find(state or '', '^o?[-+~]')) then error('a state is missing') end
  states[group], names[#names + 1] = state, group
end
local known, hasEntries = {}, false
for index, stream in ipairs(streams) do
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  local first = last and redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  local found = {}
  if redis.call('EXISTS', stream) == 1 then
    for _, facts in ipairs(redis.call('XINFO', 'GROUPS', stream)) do found[facts[2]] = true end
  end
  known[index] = { first = first, last = last, groups = found }
  hasEntries = hasEntries or last ~= nil
end
redis.call('ZCARD', producers)
redis.call('HLEN', lasts)
local fields = { 'version' }
for _, lane in ipairs(lanes) do
  for _, field in ipairs({ 'next:', 'nextByte:', 'trimmed:', 'trimmedByte:' }) do
    fields[#fields + 1] = field .. lane
  end
end
numbers(books, fields)
local isThere, unnamed = {}, {}
for _, group in ipairs(groupsOf(books)) do
  isThere[group] = true
  ledgerOf(books, group)
  fields = { 'waiting:' .. group, 'waitingBytes:' .. group }
  for _, lane in ipairs(lanes) do
    for _, field in ipairs({ 'handed:', 'floor:', 'pending:' }) do fields[#fields + 1] = field .. lane .. ':' .. group end
  end
  numbers(books, fields)
  if not states[group] then names[#names + 1], unnamed[#unnamed + 1] = group, group end
end
-- What the own stream of each new group has.
local ownStreams = {}
for _, group in ipairs(names) do
  if not isThere[group] then ownStreams[group] = { countAgain(group) } end
end
local stored = redis.call('HGET', books, 'epoch')
if stored and whole(stored) > epoch then return 'over elsewhere ' .. stored end
if not isBeginning and not stored and (isMade or hasEntries) then return 'over gone' end
local isEntering = not stored or tonumber(stored) < epoch
if not isEntering and number('version') > version then return 'stale' end

local function holesOf(lane, from, ending) return holesIn(redis.call('HGET', books, 'holes:' .. lane), from, ending) end

-- Finds the offsets that entries of another program have used: from the end of the entry before each to its own end. It
-- compares neighbours, in halves of what is left, so that in a lane with too many to compare all the largest are found.
local function findHoles(stream, from, last)
  local holes, skipped = {}, 0
  local ranges = { { low = { text(from) .. '-0' }, high = last } }
  for at = 1, 1000 do
    local range = ranges[at]
    if not range then break end
    local low, high = range.low, range.high
    local middle = math.floor((placeOf(low[1]) + placeOf(high[1])) / 2) + 1
    local next = redis.call('XRANGE', stream, text(middle) .. '-0', high[1], 'COUNT', 1)[1] or high
    local before = redis.call('XREVRANGE', stream, '(' .. next[1], '(' .. low[1], 'COUNT', 1)[1] or low
    local ending = endOf(before)
    if not isOurs(next[2]) and endOf(next) > ending then
      holes[#holes + 1] = text(ending) .. '-' .. text(endOf(next))
      skipped = skipped + endOf(next) - ending
    end
    if before ~= low then ranges[#ranges + 1] = { low = low, high = before } end
    if next[1] ~= high[1] then ranges[#ranges + 1] = { low = next, high = high } end
  end
  return table.concat(holes, ' '), skipped
end

-- Takes in what a lane has beyond its known end: entries of ours, and offsets that another program has used.
local function takeIn(index, lane)
  local first, last, reached = known[index].first, known[index].last, number('next:' .. lane)
  if not last or endOf(last) <= reached or not leavesRoom(last) then return end
  local ending, endByte = endOf(last), number('nextByte:' .. lane)
  local most = isOurs(last[2]) and 1 or 1000
  for _, entry in ipairs(redis.call('XREVRANGE', streams[index], '+', text(reached) .. '-1', 'COUNT', most)) do
    endByte = math.max(endByte, byteOf(entry, true))
    if isOurs(entry[2]) then break end
  end
  local found, skipped = findHoles(streams[index], stored and reached or placeOf(first[1]), last)
  local holes = redis.call('HGET', books, 'holes:' .. lane) or ''
  for group in pairs(isThere) do
    add('waiting:' .. group, ending - reached - skipped)
    add('waitingBytes:' .. group, endByte - number('nextByte:' .. lane))
    add('start:' .. group, skipped)
  end
  redis.call(
    'HSET', books, 'next:' .. lane, text(ending), 'nextByte:' .. lane, text(endByte), 'holes:' .. lane,
    holes .. (holes == '' and '' or ' ') .. found)
end

-- Numbered appends may have been lost, so the producers' windows are deleted: a resend is stored.
local function enterEpoch()
  for from = 0, redis.call('ZCARD', producers), 1000 do
    local some = redis.call('ZRANGEBYSCORE', producers, '-inf', '+inf', 'LIMIT', from, 1000)
    for at, name in ipairs(some) do some[at] = windows .. name end
    if #some > 0 then redis.call('DEL', unpack(some)) end
  end
  redis.call('DEL', producers, lasts)
  for index, lane in ipairs(lanes) do
    takeIn(index, lane)
    local first = known[index].first
    if not stored and first then
      redis.call('HSET', books, 'trimmed:' .. lane, text(placeOf(first[1])), 'trimmedByte:' .. lane, text(byteOf(first, false)))
    end
    redis.call('HSET', books, 'before:lane:' .. lane, string.rep(text(number('next:' .. lane)) .. ' ', 2))
  end
end

local function makeGroup(group)
  local events, bytes, lastAgain = unpack(ownStreams[group])
  local start, words = 0, { 'reopened:' .. group, text(events), 'lastAgain:' .. group, text(lastAgain) }
  for index, lane in ipairs(lanes) do
    if known[index].groups[group] then redis.call('XGROUP', 'DESTROY', streams[index], group) end
    redis.call('XGROUP', 'CREATE', streams[index], group, '0', 'MKSTREAM')
    known[index].groups[group] = true
    local trimmed, reached = number('trimmed:' .. lane), number('next:' .. lane)
    local skipped = trimmed + holesOf(lane, trimmed, reached)
    start = start + skipped
    events = events + reached - skipped
    bytes = bytes + number('nextByte:' .. lane) - number('trimmedByte:' .. lane)
    for field, value in pairs({ ['handed:'] = trimmed, ['floor:'] = trimmed, ['pending:'] = 0 }) do
      words[#words + 1] = field .. lane .. ':' .. group
      words[#words + 1] = text(value)
    end
  end
  for field, value in pairs({ landed = 0, dead = 0, lost = 0, start = start, waiting = events, waitingBytes = bytes }) do
    words[#words + 1] = field .. ':' .. group
    words[#words + 1] = text(value)
  end
  setFields(books, words)
end

local recreated, reopened, lost = 0, 0, 0
local function makeAgain(group, index)
  recreated = recreated + 1
  local lane, stream = lanes[index], streams[index]
  local of = lane .. ':' .. group
  local reached, trimmed = number('next:' .. lane), number('trimmed:' .. lane)
  local handed, pending = number('handed:' .. of), number('pending:' .. of)
  local from = math.max(number('floor:' .. of), trimmed)
  -- Another group may have found the lane deleted, so that it is trimmed beyond what this one was handed.
  local skipped = holesOf(lane, from, handed) - holesOf(lane, handed, from)
  local more, moreBytes = handed - from - skipped - pending, 0
  if known[index].last == nil then
    -- The entries are gone too: count the waiting ones as lost.
    from, more = reached, 0 - pending - (reached - handed - holesOf(lane, handed, reached))
    lost = lost - more
    redis.call('HSET', books, 'trimmed:' .. lane, text(reached), 'trimmedByte:' .. lane, text(number('nextByte:' .. lane)))
    add('lost:' .. group, 0 - more)
  else
    local first = redis.call('XRANGE', stream, text(from) .. '-0', '+', 'COUNT', 1)[1]
    local next = redis.call('XRANGE', stream, text(handed) .. '-0', '+', 'COUNT', 1)[1]
    local ending = next and byteOf(next, false) or number('nextByte:' .. lane)
    if first and handed > from then
      moreBytes = math.floor((ending - byteOf(first, false)) * more / (handed - from))
    end
    reopened = reopened + more
    add('reopened:' .. group, more)
  end
  redis.call('XGROUP', 'CREATE', stream, group, text(from) .. '-0', 'MKSTREAM')
  redis.call('HSET', books, 'handed:' .. of, text(from), 'floor:' .. of, text(from), 'pending:' .. of, '0')
  add('waiting:' .. group, more)
  add('waitingBytes:' .. group, moreBytes)
end

-- The state of a group in the partition, as the registry has it, without the "o".
local function flowOf(group)
  local flow = redis.call('HMGET', books, 'paused:' .. group, 'rate:' .. group)
  return flow[1] and '+' .. flow[1] or flow[2] and '~' .. flow[2] or '-'
end

-- Whether a group is ordered never changes.
local function setState(group, state)
  if string.sub(state, 1, 1) == 'o' then
    redis.call('HSET', books, 'ordered:' .. group, '1')
    state = string.sub(state, 2)
  end
  if state == flowOf(group) then return end
  -- What was handed out at another rate does not count in this one (flow.lua).
  redis.call('HDEL', books, 'paused:' .. group, 'rate:' .. group, 'limitedUntil:' .. group)
  local kind, value = string.sub(state, 1, 1), string.sub(state, 2)
  if kind == '+' then redis.call('HSET', books, 'paused:' .. group, value)
  else
    if kind == '~' then redis.call('HSET', books, 'rate:' .. group, value) end
    redis.pcall('SPUBLISH', bell, '')
  end
end

-- What was found when the epoch began, for count-loss.lua.
local function noteBefore(group, isNew)
  local isUnknown = isNew and not stored and (isMade or hasEntries) or ledgerOf(books, group)[6] == '?'
  local facts = {}
  for _, field in ipairs({ 'reopened:', 'landed:', 'dead:', 'lost:', 'waiting:' }) do
    facts[#facts + 1] = text(number(field .. group))
  end
  facts[6] = isUnknown and '?' or isNew and '-' or '0'
  redis.call('HSET', books, 'before:group:' .. group, table.concat(facts, ' '))
end

if isEntering then enterEpoch() end
for _, group in ipairs(names) do
  local isNew = not isThere[group]
  if isNew then makeGroup(group) end
  isThere[group] = true
  for index = 1, 3 do
    if not known[index].groups[group] then makeAgain(group, index) end
  end
  if isEntering then noteBefore(group, isNew) end
  local state = states[group]
  -- A registry that does not know the partition was lost, and the pause or rate with it: the partition keeps it.
  if (state == '-' or state == 'o-') and isEntering and not isMade and flowOf(group) ~= '-' then
    unnamed[#unnamed + 1] = group
  elseif state then
    setState(group, state)
  end
end
names = {}
for group in pairs(isThere) do names[#names + 1] = group end
table.sort(names)
-- The epoch is written last: if anything failed before, the next call enters it from the beginning.
redis.call('HSET', books, 'groups', table.concat(names, '\0'), 'version', text(version), 'epoch', text(epoch))
if isEntering or recreated > 0 then redis.pcall('SPUBLISH', bell, '') end
ring(books, bell)

local others, blocked = {}, {}
local reply = { recreated, text(reopened), text(lost), others, blocked }
for _, group in ipairs(unnamed) do
  others[#others + 1] = group
  local mark = redis.call('HEXISTS', books, 'ordered:' .. group) == 1 and 'o' or ''
  others[#others + 1] = mark .. flowOf(group)
end
for index, lane in ipairs(lanes) do blocked[index] = blockOf(books, streams[index], lane) end
for _, group in ipairs(names) do reply[#reply + 1] = ledgerOf(books, group) end
return reply
