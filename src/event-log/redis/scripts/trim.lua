#!lua flags=allow-oom
-- Deletes entries at the front of one lane that every group has settled and that the retention policy does not keep.
--
-- KEYS     books, the lane's stream
-- ARGV     lane, keep what was received at this time or later (µs), how many settled bytes to keep, max entries; last,
--          the caller's known state (parts/checks.lua)
-- Returns  {entries, events, bytes, 1 when there may be more, the receive time (µs) of the oldest settled entry that
--          was kept ('' when there is none)}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books, stream = KEYS[1], KEYS[2]
local lane, keepSince, maxBytes, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), whole(ARGV[4])
if keepSince == nil or maxBytes == nil then error('a bound is missing') end

-- Every group has settled everything below this offset.
local settled = numbers(books, { 'next:' .. lane })[1]
local isGroup, names = {}, groupsOf(books)
if #names == 0 then return { 0, 0, 0, 0, '' } end
for _, group in ipairs(names) do
  isGroup[group] = true
  -- If the slowest group were missing, unsettled entries would count as settled.
  local missing = lacks(books, group, { stream })
  if missing then return missing end
end
for _, facts in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  if isGroup[facts[2]] then
    local offset, count = placeOf(facts[8])
    local pending = redis.call('XPENDING', stream, facts[2], '-', '+', 1)[1]
    settled = math.min(settled, pending and placeOf(pending[1]) or offset + count)
  end
end

local follower = redis.call('XRANGE', stream, text(settled) .. '-0', '+', 'COUNT', 1)[1]
local endByte = follower and isOurs(follower[2]) and tonumber(follower[2][6]) or numbers(books, { 'nextByte:' .. lane })[1]
local entries, events, bytes, trimmed = 0, 0, 0, nil
local trimmedByte = numbers(books, { 'trimmedByte:' .. lane })[1]
local kept = ''
for _, entry in ipairs(redis.call('XRANGE', stream, '-', '+', 'COUNT', most)) do
  local offset, count = placeOf(entry[1])
  if offset >= settled then break end
  local received, startByte = tonumber(entry[2][2]), tonumber(entry[2][6])
  if isOurs(entry[2]) and received and startByte then
    if received >= keepSince and endByte - startByte <= maxBytes then
      kept = text(received)
      break
    end
    local length = #entry[2][8]
    events, bytes = events + count, bytes + length
    trimmedByte = startByte + length
  end
  entries = entries + 1
  trimmed = offset + count
end
if trimmed ~= nil then
  local holes, holesBelow = {}, numbers(books, { 'holesBelow:' .. lane })[1]
  for from, ending in string.gmatch(redis.call('HGET', books, 'holes:' .. lane) or '', '(%d+)%-(%d+)') do
    if tonumber(ending) > trimmed then holes[#holes + 1] = from .. '-' .. ending
    else holesBelow = math.max(holesBelow, tonumber(ending)) end
  end
  redis.call(
    'HSET', books, 'trimmed:' .. lane, text(trimmed), 'trimmedByte:' .. lane, text(trimmedByte), 'holes:' .. lane,
    table.concat(holes, ' '), 'holesBelow:' .. lane, text(holesBelow))
  redis.call('XTRIM', stream, 'MINID', '=', text(trimmed) .. '-1')
end
return { entries, events, bytes, entries == most and 1 or 0, kept }
