-- Included in every script that reads or changes the `books` hash of a partition. A script that fails is not rolled
-- back, so it uses these functions to check before it writes.

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

-- Returns 'nogroup' when a stream lacks the group, the error when it cannot be read, else nil.
local function lacks(group, streams)
  for _, stream in ipairs(streams) do
    local pending = redis.pcall('XPENDING', stream, group, '-', '+', 1)
    if pending.err then return string.find(pending.err, '^NOGROUP') and 'nogroup' or pending end
  end
  return nil
end

-- Parses a non-negative integer. Fails before the script has written anything.
local function whole(text)
  local number = tonumber(text)
  if number == nil or number < 0 or number % 1 ~= 0 or number > 9007199254740991 then
    error('a whole number was expected, not ' .. tostring(text))
  end
  return number
end

local function laneOf(text)
  local lane = tonumber(text)
  if lane ~= 1 and lane ~= 2 and lane ~= 3 then error('there is no lane ' .. tostring(text)) end
  return lane
end

local function text(number) return string.format('%.0f', number) end

-- The numbers in these fields of `books`, 0 for a missing field.
local function numbers(books, fields)
  local found = redis.call('HMGET', books, unpack(fields))
  for index = 1, #fields do
    local number = tonumber(found[index] or '0')
    if number == nil then error('field ' .. fields[index] .. ' of books is "' .. found[index] .. '", not a number') end
    found[index] = number
  end
  return found
end

-- Counts waiting events as lost.
local function lose(books, group, events)
  redis.call('HINCRBY', books, 'lost:' .. group, events)
  local left = redis.call('HINCRBY', books, 'waiting:' .. group, -events)
  -- The size of lost events is unknown: waitingBytes is corrected when nothing waits any more.
  if left == 0 then redis.call('HSET', books, 'waitingBytes:' .. group, '0') end
end
