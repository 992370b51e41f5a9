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
local missing = lacks(ARGV[1], { stream })
if missing then return missing end
local group, offset, maxBytes, most = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local pageSize = 16

local function offsetOf(id) return tonumber(string.match(id, '^(%d+)')) end
local function lengthOf(fields)
  for at = 1, #fields, 2 do
    if fields[at] == 'b' then return #fields[at + 1] end
  end
  return 0
end

local read
for _, facts in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  if facts[2] == group then read = facts[8] end
end
if read == nil then return redis.error_reply('NOGROUP there is no group ' .. group) end
local from = offset .. '-0'
local holder = redis.call('XREVRANGE', stream, offset, '-', 'COUNT', 1)[1]
if holder ~= nil then
  local first, count = string.match(holder[1], '^(%d+)%-(%d+)$')
  if tonumber(first) + tonumber(count) > tonumber(offset) then from = holder[1] end
end

local answer = { '-1' }
local bytes, examined = 0, 0
while true do
  local page = redis.call('XRANGE', stream, from, read, 'COUNT', pageSize)
  if #page == 0 then return answer end
  for _, entry in ipairs(page) do
    local id = entry[1]
    if examined >= most then
      answer[1] = string.format('%.0f', offsetOf(id))
      return answer
    end
    examined = examined + 1
    -- An entry of no events was added by another program.
    if not string.find(id, '%-0$') and redis.call('XPENDING', stream, group, id, id, 1)[1] == nil then
      if bytes >= maxBytes and #answer > 1 then
        answer[1] = string.format('%.0f', offsetOf(id))
        return answer
      end
      answer[#answer + 1] = entry
      bytes = bytes + lengthOf(entry[2])
    end
    from = '(' .. id
  end
end
