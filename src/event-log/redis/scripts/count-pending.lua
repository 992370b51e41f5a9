#!lua flags=no-writes
-- Counts one page of a lane's entries that were handed out and not settled, for the audit.
--
-- KEYS     books, the lane's stream
-- ARGV     group, the id after which to continue, the last id, max entries; last, the caller's known state
--          (parts/checks.lua)
-- Returns  {events, those of them that a consumer holds, the id after which to continue ('' at the end)}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local group, from, last, most = ARGV[1], ARGV[2], ARGV[3], whole(ARGV[4])
local missing = lacks(KEYS[1], group, { KEYS[2] })
if missing then return missing end
local events, inFlight = 0, 0
local page = redis.call('XPENDING', KEYS[2], group, '(' .. from, last, most)
for _, pending in ipairs(page) do
  local count = tonumber(string.match(pending[1], '%-(%d+)$'))
  events = events + count
  if pending[2] ~= '-' then inFlight = inFlight + count end
end
return { text(events), text(inFlight), #page == most and page[#page][1] or '' }
