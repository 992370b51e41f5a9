#!lua flags=allow-oom
-- Reads the entries of one partition behind a cursor, whether groups have settled them or not. Each lane that has some gets
-- an equal share; it begins with the entry that holds the cursor's offset or follows it.
--
-- KEYS     books, the lanes' streams (high, normal, low)
-- ARGV     about how many bytes, how many entries to examine in each lane, '1' when the caller is to be woken: `asleep` is
--          set when there is nothing; the cursor's offset in each lane; last, the caller's known state (parts/checks.lua)
-- Returns  for each lane {the offset behind what was read, how many events between the cursor and there are gone (-1:
--          unknown, or the lane ends before the cursor), {id, fields} ...}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books, maxBytes, most = KEYS[1], whole(ARGV[1]), whole(ARGV[2])
local pageSize = 16

-- Reads a lane up to its end, or until the answer has its share.
local function read(stream, from, ending, share, answer)
  local at, through, covered, bytes, examined = text(from) .. '-0', from, 0, 0, 0
  local holder = redis.call('XREVRANGE', stream, text(from), '-', 'COUNT', 1)[1]
  if holder then
    local first, count = placeOf(holder[1])
    if first + count > from then at = holder[1] end
  end
  while through < ending do
    local page = redis.call('XRANGE', stream, at, text(ending - 1), 'COUNT', pageSize)
    if #page == 0 then return ending, covered end
    for _, entry in ipairs(page) do
      if examined > 0 and (bytes >= share or examined >= most) then return through, covered end
      local first, count = placeOf(entry[1])
      local last = math.min(first + count, ending)
      examined = examined + 1
      if isOurs(entry[2]) then
        answer[#answer + 1] = entry
        bytes = bytes + #entry[2][8]
        covered = covered + last - math.max(first, from)
      end
      through = math.max(through, last)
      at = '(' .. entry[1]
    end
  end
  return through, covered
end

local fields, froms, behind = {}, {}, 0
for index, lane in ipairs(lanes) do
  froms[index] = whole(ARGV[3 + index])
  fields[2 * index - 1], fields[2 * index] = 'next:' .. lane, 'holesBelow:' .. lane
end
local facts = numbers(books, fields)
for index = 1, 3 do
  if froms[index] < facts[2 * index - 1] then behind = behind + 1 end
end
local answers, isEmpty = {}, true
for index, lane in ipairs(lanes) do
  local from, ending = froms[index], facts[2 * index - 1]
  local answer = { text(ending), from > ending and '-1' or '0' }
  if from < ending then
    local through, covered = read(KEYS[1 + index], from, ending, maxBytes / behind, answer)
    local gone = through - from - covered - holesIn(redis.call('HGET', books, 'holes:' .. lane), from, through)
    answer[1], answer[2] = text(through), gone > 0 and from < facts[2 * index] and '-1' or text(math.max(0, gone))
  end
  isEmpty = isEmpty and #answer == 2 and answer[2] == '0'
  answers[index] = answer
end
if isEmpty and ARGV[3] == '1' then redis.call('HSET', books, 'asleep', '1') end
return answers
