#!lua flags=no-writes
-- Finds where the cursor of a reader may begin in one partition.
--
-- KEYS     books, the lanes' streams (high, normal, low), again and again-tries of the group
-- ARGV     the group ('' without one), a time of receipt (µs, '' without one), how many redeliveries to look at; last, the
--          caller's known state (parts/checks.lua)
-- Returns  for each lane {where it ends, its oldest kept entry, the first event that the group has not settled or the first
--          entry that was received at the time or later, 1 when such entries may have been removed}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books, group, since, most = KEYS[1], ARGV[1], tonumber(ARGV[2]), whole(ARGV[3])
local maxBytes = 4 * 1024 * 1024

-- The lowest offset among the redeliveries of each lane, 0 when there are too many to look at.
local lowest = {}
if group ~= '' then
  local missing = lacks(books, group, {})
  if missing then return missing end
  local bytes, isMuch = 0, redis.call('HLEN', KEYS[6]) > most
  for _, member in ipairs(isMuch and {} or redis.call('HKEYS', KEYS[6])) do
    local record = not isMuch and redis.call('HGET', KEYS[5], member) or ''
    local lane, offset = tonumber(string.match(member, '^%d+%-%d+%-([123])%-')), tonumber(string.match(record, '^(%d+) '))
    if lane and offset then lowest[lane] = math.min(lowest[lane] or offset, offset) end
    bytes = bytes + #record
    isMuch = bytes > maxBytes
  end
  if isMuch then lowest = { 0, 0, 0 } end
end

local function firstFrom(stream, from, ending)
  return from < ending and redis.call('XRANGE', stream, text(from), text(ending - 1), 'COUNT', 1)[1] or nil
end

local places = {}
for index, lane in ipairs(lanes) do
  local ending, trimmed = unpack(numbers(books, { 'next:' .. lane, 'trimmed:' .. lane }))
  local oldest = firstFrom(KEYS[1 + index], 0, ending)
  local kept = oldest and placeOf(oldest[1]) or ending
  local place, isCut = ending, 0
  if group ~= '' then
    local floor = numbers(books, { 'floor:' .. lane .. ':' .. group })[1]
    place = math.min(floor, ending, lowest[index] == 0 and kept or lowest[index] or ending)
  elseif since then
    -- By halves: entries are in the order of receipt. An entry of another program counts as one to be read.
    local low, high = kept, ending
    while low < high do
      local middle = math.floor((low + high) / 2)
      local entry = firstFrom(KEYS[1 + index], middle, high)
      local first, count = placeOf(entry and entry[1] or '')
      if entry and (tonumber(entry[2][2]) or since) < since then
        low = math.max(first + count, middle + 1)
      else
        place, high = first or place, middle
      end
    end
    isCut = low == kept and trimmed > 0 and 1 or 0
  end
  places[index] = { text(ending), text(kept), text(place), isCut }
end
return places
