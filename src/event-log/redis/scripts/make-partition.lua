#!lua flags=allow-oom
-- Creates what is missing of a partition: its metadata, the new epoch, its groups. When several processes call it at
-- once, the first creates everything and the others change nothing.
--
-- A new group starts at the oldest kept entry of each lane. A group that a stream has lost restarts there at its floor:
-- settled entries above the floor are redelivered and counted as reopened.
--
-- KEYS     books, groups, the lanes' streams (high, normal, low), producers, producer-last, producer (a prefix), the
--          bell's channel, the common beginning of the partition's keys
-- ARGV     the epoch; 'new', 'made' when the partition is known to have existed, 'begin' when an epoch begins; then
--          group and its number ...; a dropped group is not recreated
-- Returns  {new groups, lost groups that were recreated, events redelivered, events lost, the highest number that this
--          partition has of the given groups; then for each group whose given number is too low: its name, "group" or
--          "dropped", the number that this partition has} | why the epoch is over

local books, groups, producers, lasts, windows, base = KEYS[1], KEYS[2], KEYS[6], KEYS[7], KEYS[8], KEYS[10]
local streams = { KEYS[3], KEYS[4], KEYS[5] }
local lanes = { 'high', 'normal', 'low' }
local epoch, how = tonumber(ARGV[1]), ARGV[2]
if epoch == nil then error('the epoch is missing') end

local function text(number) return string.format('%.0f', number) end
local function number(field)
  local value = tonumber(redis.call('HGET', books, field) or '0')
  if value == nil then error('field ' .. field .. ' of books is not a number') end
  return value
end
local function endOf(id)
  local offset, count = string.match(id, '^(%d+)%-(%d+)$')
  return tonumber(offset) + tonumber(count)
end
local function fieldOf(entry, name)
  for at = 1, #entry[2], 2 do
    if entry[2][at] == name then return entry[2][at + 1] end
  end
  return nil
end
-- The byte offset at which an entry starts, or ends.
local function byteOf(entry, isEnd)
  return (tonumber(fieldOf(entry, 's')) or 0) + (isEnd and #(fieldOf(entry, 'b') or '') or 0)
end

-- Read what exists. A key of the wrong type fails here, before anything is written.
local known = {}
for index, stream in ipairs(streams) do
  local last = redis.call('XREVRANGE', stream, '+', '-', 'COUNT', 1)[1]
  local first = last and redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  local names = {}
  if redis.call('EXISTS', stream) == 1 then
    for _, facts in ipairs(redis.call('XINFO', 'GROUPS', stream)) do names[facts[2]] = true end
  end
  known[index] = { first = first, last = last, groups = names }
end
redis.call('ZCARD', producers)
redis.call('HLEN', lasts)
local names = redis.call('SMEMBERS', groups)
local isMember = {}
for _, group in ipairs(names) do isMember[group] = true end
local numberOf = {}
for at = 3, #ARGV, 2 do
  if not isMember[ARGV[at]] then names[#names + 1] = ARGV[at] end
  isMember[ARGV[at]], numberOf[ARGV[at]] = true, tonumber(ARGV[at + 1])
  if numberOf[ARGV[at]] == nil then error('the number of a group is missing') end
end
local madeAs, droppedAs, highest, lower = {}, {}, 0, {}
for group, wanted in pairs(numberOf) do
  madeAs[group], droppedAs[group] = number('made:' .. group), number('dropped:' .. group)
  highest = math.max(highest, madeAs[group], droppedAs[group], number('pauseNumber:' .. group))
end
local stored = redis.call('HGET', books, 'epoch')
local hasEntries = known[1].last or known[2].last or known[3].last
if stored and tonumber(stored) > epoch then return 'over elsewhere ' .. stored end
if how ~= 'begin' and not stored and (how == 'made' or hasEntries) then return 'over gone' end

-- Enter the new epoch. Numbered appends may have been lost, so the producers' windows are deleted: a resend is stored.
if not stored or tonumber(stored) < epoch then
  local from = 0
  local some = redis.call('ZRANGEBYSCORE', producers, '-inf', '+inf', 'LIMIT', 0, 1000)
  while #some > 0 do
    for at, name in ipairs(some) do some[at] = windows .. name end
    redis.call('DEL', unpack(some))
    from = from + 1000
    some = redis.call('ZRANGEBYSCORE', producers, '-inf', '+inf', 'LIMIT', from, 1000)
  end
  redis.call('DEL', producers, lasts)
  for index, lane in ipairs(lanes) do
    local last, first = known[index].last, known[index].first
    local reached, reachedByte = number('next:' .. lane), number('nextByte:' .. lane)
    if last and endOf(last[1]) > reached then
      -- An entry that another program added may have no byte offset.
      local more, endByte = endOf(last[1]) - reached, math.max(reachedByte, byteOf(last, true))
      redis.call('HSET', books, 'next:' .. lane, text(reached + more), 'nextByte:' .. lane, text(endByte))
      for _, group in ipairs(names) do
        if redis.call('HEXISTS', books, 'made:' .. group) == 1 then
          redis.call('HINCRBY', books, 'waiting:' .. group, text(more))
          redis.call('HINCRBY', books, 'waitingBytes:' .. group, text(endByte - reachedByte))
        end
      end
    end
    if not stored and first then
      local offset = string.match(first[1], '^(%d+)')
      redis.call('HSET', books, 'trimmed:' .. lane, offset, 'trimmedByte:' .. lane, text(byteOf(first, false)))
    end
  end
  redis.call('HSET', books, 'epoch', text(epoch))
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

local made, recreated, reopened, lost = 0, 0, 0, 0
local function makeGroup(group)
  made = made + 1
  local events, bytes, lastAgain = countAgain(group)
  local words = { 'reopened:' .. group, text(events), 'lastAgain:' .. group, text(lastAgain) }
  redis.call('HSET', books, 'made:' .. group, text(numberOf[group]))
  for index, lane in ipairs(lanes) do
    if known[index].groups[group] then redis.call('XGROUP', 'DESTROY', streams[index], group) end
    redis.call('XGROUP', 'CREATE', streams[index], group, '0', 'MKSTREAM')
    local trimmed = number('trimmed:' .. lane)
    events = events + number('next:' .. lane) - trimmed
    bytes = bytes + number('nextByte:' .. lane) - number('trimmedByte:' .. lane)
    for _, field in ipairs({ 'start:', 'handed:', 'floor:' }) do
      words[#words + 1] = field .. lane .. ':' .. group
      words[#words + 1] = text(trimmed)
    end
    words[#words + 1] = 'pending:' .. lane .. ':' .. group
    words[#words + 1] = '0'
  end
  for _, field in ipairs({ 'landed:', 'dead:', 'lost:' }) do
    words[#words + 1] = field .. group
    words[#words + 1] = '0'
  end
  redis.call('HSET', books, 'waiting:' .. group, text(events), 'waitingBytes:' .. group, text(bytes), unpack(words))
end

local function makeAgain(group, index)
  recreated = recreated + 1
  local lane, stream = lanes[index], streams[index]
  local of = lane .. ':' .. group
  local reached, trimmed = number('next:' .. lane), number('trimmed:' .. lane)
  local handed, pending = number('handed:' .. of), number('pending:' .. of)
  local from = math.max(number('floor:' .. of), trimmed)
  local more, moreBytes = handed - from - pending, 0
  if known[index].last == nil then
    -- The entries are gone too: count the waiting ones as lost.
    from, more = reached, 0 - pending - (reached - handed)
    lost = lost - more
    redis.call('HSET', books, 'trimmed:' .. lane, text(reached), 'trimmedByte:' .. lane, text(number('nextByte:' .. lane)))
    redis.call('HINCRBY', books, 'lost:' .. group, text(0 - more))
  else
    local first = redis.call('XRANGE', stream, text(from) .. '-0', '+', 'COUNT', 1)[1]
    local next = redis.call('XRANGE', stream, text(handed) .. '-0', '+', 'COUNT', 1)[1]
    local ending = next and byteOf(next, false) or number('nextByte:' .. lane)
    if first and handed > from then
      moreBytes = math.floor((ending - byteOf(first, false)) * more / (handed - from))
    end
    reopened = reopened + more
    redis.call('HINCRBY', books, 'reopened:' .. group, text(more))
  end
  redis.call('XGROUP', 'CREATE', stream, group, text(from) .. '-0', 'MKSTREAM')
  redis.call('HSET', books, 'handed:' .. of, text(from), 'floor:' .. of, text(from), 'pending:' .. of, '0')
  redis.call('HINCRBY', books, 'waiting:' .. group, text(more))
  redis.call('HINCRBY', books, 'waitingBytes:' .. group, text(moreBytes))
end

for _, group in ipairs(names) do
  local isMade, wanted = redis.call('HGET', books, 'made:' .. group), numberOf[group]
  if not isMade then
    -- A dropped group has an equal or higher number here: do not recreate it.
    if wanted and wanted > droppedAs[group] then
      redis.call('SADD', groups, group)
      makeGroup(group)
    elseif wanted then
      lower[#lower + 1] = { group, 'dropped', text(droppedAs[group]) }
    end
  else
    redis.call('SADD', groups, group)
    -- The registry was lost and has assigned new numbers since.
    if wanted and wanted > madeAs[group] then redis.call('HSET', books, 'made:' .. group, text(wanted)) end
    if wanted and wanted < madeAs[group] then lower[#lower + 1] = { group, 'group', text(madeAs[group]) } end
    for index = 1, 3 do
      if not known[index].groups[group] then makeAgain(group, index) end
    end
  end
end
-- Wake idle consumers, as append.lua does.
if redis.call('HDEL', books, 'asleep') == 1 or recreated > 0 then redis.pcall('SPUBLISH', KEYS[9], '') end
local answer = { made, recreated, text(reopened), text(lost), text(highest) }
for _, facts in ipairs(lower) do
  for _, word in ipairs(facts) do answer[#answer + 1] = word end
end
return answer
