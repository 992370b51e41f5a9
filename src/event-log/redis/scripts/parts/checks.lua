-- A part of every script that relies on the books of a partition. What a script has written is not undone when it fails,
-- so it checks first, with these.

-- Whether the partition has forgotten what the caller knows of it: its epoch, and how far each lane reached. The caller's
-- last argument says that. Answers nil, or why a new epoch has to begin.
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

-- Whether a stream lacks the group: then 'nogroup', or what else is wrong with it.
local function lacks(group, streams)
  for _, stream in ipairs(streams) do
    local pending = redis.pcall('XPENDING', stream, group, '-', '+', 1)
    if pending.err then return string.find(pending.err, '^NOGROUP') and 'nogroup' or pending end
  end
  return nil
end

-- A whole number that is not negative; what fails here has written nothing.
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

-- The numbers in some fields of the books, 0 where there is none.
local function numbers(books, fields)
  local found = redis.call('HMGET', books, unpack(fields))
  for index = 1, #fields do
    local number = tonumber(found[index] or '0')
    if number == nil then error('the books have "' .. found[index] .. '" as ' .. fields[index]) end
    found[index] = number
  end
  return found
end

-- Counts events that waited as lost.
local function lose(books, group, events)
  redis.call('HINCRBY', books, 'lost:' .. group, events)
  local left = redis.call('HINCRBY', books, 'waiting:' .. group, -events)
  -- Nobody knows how many bytes went with them: the count is right again when nothing waits.
  if left == 0 then redis.call('HSET', books, 'waitingBytes:' .. group, '0') end
end
