#!lua flags=no-writes
-- Counts the events of one page of entries that follow an id, up to an offset, for the audit.
--
-- KEYS     books, the lane's stream
-- ARGV     lane, the id, the offset, max entries; last, the caller's known state (parts/checks.lua)
-- Returns  {events, the last counted id ('' at the end), the offset below which the stream was trimmed, entries}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local found = redis.call('XRANGE', KEYS[2], '(' .. ARGV[2], '+', 'COUNT', ARGV[4])
local events, last = 0, ''
for _, entry in ipairs(found) do
  local offset, count = placeOf(entry[1])
  if offset >= tonumber(ARGV[3]) then
    last = ''
    break
  end
  if isOurs(entry[2]) then events = events + count end
  last = entry[1]
end
return { text(events), last, redis.call('HGET', KEYS[1], 'trimmed:' .. ARGV[1]) or '0', #found }
