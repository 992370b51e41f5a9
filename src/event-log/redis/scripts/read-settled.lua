#!lua flags=no-writes
-- Reads kept entries of one lane that a group has settled, beginning with the one that holds or follows an offset.
--
-- KEYS     books, the lane's stream
-- ARGV     group, the offset, about how many bytes, how many entries to examine; last, the caller's known state
--          (parts/checks.lua)
-- Returns  {next offset (-1 at the end), {id, fields} ...}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local stream = KEYS[2]
local missing = lacks(KEYS[1], ARGV[1], { stream })
if missing then return missing end
local group, offset, maxBytes, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local pageSize = 16


local read
for _, facts in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  if facts[2] == group then read = facts[8] end
end
local from = offset .. '-0'
local holder = redis.call('XREVRANGE', stream, offset, '-', 'COUNT', 1)[1]
if holder ~= nil then
  local first, count = placeOf(holder[1])
  if first + count > tonumber(offset) then from = holder[1] end
end

local answer = { '-1' }
local bytes, examined = 0, 0
while true do
  local page = redis.call('XRANGE', stream, from, read, 'COUNT', pageSize)
  if #page == 0 then return answer end
  for _, entry in ipairs(page) do
    local id = entry[1]
    if examined >= most then
      answer[1] = text(placeOf(id))
      return answer
    end
    examined = examined + 1
    if isOurs(entry[2]) and redis.call('XPENDING', stream, group, id, id, 1)[1] == nil then
      if bytes >= maxBytes and #answer > 1 then
        answer[1] = text(placeOf(id))
        return answer
      end
      answer[#answer + 1] = entry
      bytes = bytes + #entry[2][8]
    end
    from = '(' .. id
  end
end
