#!lua flags=allow-oom
-- Deletes entries at the front of one lane that every group has settled and that the retention policy does not keep.
--
-- KEYS     books, groups, the lane's stream
-- ARGV     lane, keep what was received at this time or later (µs), how many settled bytes to keep, max entries; last,
--          the caller's known state (parts/checks.lua)
-- Returns  {entries, events, bytes, 1 when there may be more, the receive time (µs) of the oldest settled entry that
--          was kept ('' when there is none)}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books, groups, stream = KEYS[1], KEYS[2], KEYS[3]
local lane, keepSince, maxBytes, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), whole(ARGV[4])
if keepSince == nil or maxBytes == nil then error('a bound is missing') end

local function fieldOf(entry, name)
  for at = 1, #entry[2], 2 do
    if entry[2][at] == name then return entry[2][at + 1] end
  end
  return nil
end

-- Every group has settled everything below this offset.
local settled
local isGroup = {}
local names = redis.call('SMEMBERS', groups)
if #names == 0 then return { 0, 0, 0, 0, '' } end
for _, group in ipairs(names) do
  isGroup[group] = true
  -- If the slowest group were missing, unsettled entries would count as settled.
  local missing = lacks(group, { stream })
  if missing then return missing end
end
for _, facts in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  if isGroup[facts[2]] then
    local offset, count = string.match(facts[8], '^(%d+)%-(%d+)$')
    local below = tonumber(offset) + tonumber(count)
    local pending = redis.call('XPENDING', stream, facts[2], '-', '+', 1)[1]
    if pending ~= nil then below = tonumber(string.match(pending[1], '^(%d+)')) end
    if settled == nil or below < settled then settled = below end
  end
end
if settled == nil then return { 0, 0, 0, 0, '' } end

local follower = redis.call('XRANGE', stream, text(settled) .. '-0', '+', 'COUNT', 1)[1]
local endByte = tonumber(follower and fieldOf(follower, 's') or redis.call('HGET', books, 'nextByte:' .. lane) or '0')
local entries, events, bytes, trimmed = 0, 0, 0, nil
local trimmedByte = numbers(books, { 'trimmedByte:' .. lane })[1]
local kept = ''
for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', most)) do
  local offset, count = string.match(entry[1], '^(%d+)%-(%d+)$')
  if tonumber(offset) >= settled then break end
  local received, startByte = tonumber(fieldOf(entry, 'r')), tonumber(fieldOf(entry, 's'))
  -- An entry that another program added has neither.
  if received and startByte and received >= keepSince and endByte - startByte <= maxBytes then
    kept = text(received)
    break
  end
  local length = #(fieldOf(entry, 'b') or '')
  entries, events, bytes = entries + 1, events + tonumber(count), bytes + length
  trimmed = tonumber(offset) + tonumber(count)
  trimmedByte = (startByte or trimmedByte) + length
end
if trimmed ~= nil then
  redis.call('HSET', books, 'trimmed:' .. lane, text(trimmed), 'trimmedByte:' .. lane, text(trimmedByte))
  redis.call('XTRIM', stream, 'MINID', '=', text(trimmed) .. '-1')
end
return { entries, events, bytes, entries == most and 1 or 0, kept }
