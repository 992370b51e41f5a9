-- Included in every script that reads or changes the `books` hash of a partition. A script that fails is not rolled
-- back, so it uses these functions to check before it writes.

local lanes = { 'high', 'normal', 'low' }
-- The largest whole number that a Lua number holds exactly.
local maxWhole = 9007199254740991

-- How many words one command gets: Lua cannot unpack 8,000.
local maxWords = 1000

local function text(number) return string.format('%.0f', number) end

-- Parses a non-negative integer. Fails before the script has written anything.
local function whole(text)
  local number = tonumber(text)
  if number == nil or number < 0 or number % 1 ~= 0 or number > maxWhole then
    error('a whole number was expected, not ' .. tostring(text))
  end
  return number
end

local function laneOf(text)
  local lane = tonumber(text)
  if lane ~= 1 and lane ~= 2 and lane ~= 3 then error('there is no lane ' .. tostring(text)) end
  return lane
end

-- Whether the partition has lost data that the caller knows of. The caller's last argument is its known state: the
-- epoch and the offset that each lane has reached at least. Returns nil, or why a new epoch must begin ('over ...').
local function isOver(books)
  local epoch, high, normal, low = string.match(table.remove(ARGV), '^(%d+) (%d+) (%d+) (%d+)$')
  local facts = redis.call('HMGET', books, 'epoch', 'next:high', 'next:normal', 'next:low')
  if not facts[1] then return 'over gone' end
  if facts[1] ~= epoch then return 'over elsewhere ' .. facts[1] end
  for index, reached in ipairs({ high, normal, low }) do
    if tonumber(facts[1 + index] or '0') < tonumber(reached) then return 'over behind' end
  end
  return nil
end

-- Returns NOGROUP when the partition has no such group, 'nogroup' when only a stream has lost it, the error when a
-- stream cannot be read, else nil.
local function lacks(books, group, streams)
  if redis.call('HEXISTS', books, 'waiting:' .. group) == 0 then
    return redis.error_reply('NOGROUP there is no group ' .. group)
  end
  for _, stream in ipairs(streams) do
    local pending = redis.pcall('XPENDING', stream, group, '-', '+', 1)
    if pending.err then return string.find(pending.err, '^NOGROUP') and 'nogroup' or pending end
  end
  return nil
end

-- The numbers in these fields of `books`, 0 for a missing field.
local function numbers(books, fields)
  local all = {}
  for from = 0, #fields - 1, maxWords do
    local found = redis.call('HMGET', books, unpack(fields, from + 1, math.min(from + maxWords, #fields)))
    for index, text in ipairs(found) do
      local number = tonumber(text or '0')
      if number == nil then error('field ' .. fields[from + index] .. ' of books is "' .. text .. '", not a number') end
      all[from + index] = number
    end
  end
  return all
end

-- Sets fields of `books`: {field, value, ...}.
local function setFields(books, words)
  for from = 1, #words, maxWords do
    redis.call('HSET', books, unpack(words, from, math.min(from + maxWords - 1, #words)))
  end
end

local function groupsOf(books)
  local names = {}
  for name in string.gmatch(redis.call('HGET', books, 'groups') or '', '%Z+') do names[#names + 1] = name end
  return names
end

-- What a process remembers of a group, for a partition that Redis may lose: the sum of the offsets at which it began, its
-- reopened, landed, dead and lost events (lost: '?' while it is unknown how many); and how far each lane has reached,
-- without which a loss cannot be counted.
local ledgerFields = { 'start:', 'reopened:', 'landed:', 'dead:', 'lost:' }
local function ledgerOf(books, group)
  local fields = {}
  for index, field in ipairs(ledgerFields) do fields[index] = field .. group end
  for _, lane in ipairs(lanes) do fields[#fields + 1] = 'next:' .. lane end
  local ledger = numbers(books, fields)
  for index, number in ipairs(ledger) do ledger[index] = text(number) end
  if string.find(redis.call('HGET', books, 'before:group:' .. group) or '', '?', 1, true) then ledger[5] = '?' end
  return { group, unpack(ledger) }
end

-- The first offset and the number of events of an entry. Its id has both.
local function placeOf(id)
  local offset, count = string.match(id, '^(%d+)%-(%d+)$')
  return tonumber(offset), tonumber(count)
end

-- Whether an entry has the fields that append.lua writes; another program has added one that does not.
local function isOurs(fields)
  return #fields == 8 and fields[1] == 'r' and fields[3] == 'c' and fields[5] == 's' and fields[7] == 'b'
end

-- How many offsets of a range never hold an event: another program has used them, or their loss was counted when a new
-- epoch began. `holes` is "<from>-<end> ...".
local function holesIn(holes, from, ending)
  local sum = 0
  for first, last in string.gmatch(holes or '', '(%d+)%-(%d+)') do
    sum = sum + math.max(0, math.min(tonumber(last), ending) - math.max(tonumber(first), from))
  end
  return sum
end

-- When what is held is due: never. The latest time that JavaScript knows.
local heldDue = '8640000000000000'
-- When what is to be redelivered at once is due: what a consumer has returned as due at 0 goes before it.
local dueAtOnce = '1'

-- The events and the entries of one page of those in a due set that are due later.
local function laterIn(due, now, skip, most)
  local page = redis.call('ZRANGEBYSCORE', due, '(' .. now, '(' .. heldDue, 'LIMIT', skip, most)
  local events = 0
  for _, member in ipairs(page) do events = events + (tonumber(string.match(member, '^%d+%-(%d+)')) or 0) end
  return events, #page
end

-- Counts waiting events as lost.
local function lose(books, group, events)
  if events <= 0 then return end
  redis.call('HINCRBY', books, 'lost:' .. group, text(events))
  local left = redis.call('HINCRBY', books, 'waiting:' .. group, text(-events))
  -- The size of lost events is unknown: waitingBytes is corrected when nothing waits any more.
  if left == 0 then redis.call('HSET', books, 'waitingBytes:' .. group, '0') end
end

-- Wakes idle consumers and readers, which have set `asleep`. pcall: without the right to publish they find the entries by
-- polling.
local function ring(books, bell)
  if redis.call('HDEL', books, 'asleep') == 1 then redis.pcall('SPUBLISH', bell, '') end
end
