#!lua flags=no-writes
-- Counts some of the entries of a lane that were handed out and not settled. A page of the audit.
--
-- KEYS     books, the lane's stream
-- ARGV     group, the id behind which to go on, the last id, how many entries at most; at the end what the caller knows
-- Answer   {events, those of them in consumers' hands, the id behind which to go on ('' at the end)}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local group, from, last, most = ARGV[1], ARGV[2], ARGV[3], whole(ARGV[4])
local missing = lacks(group, { KEYS[2] })
if missing then return missing end
local events, inFlight = 0, 0
local page = redis.call('XPENDING', KEYS[2], group, '(' .. from, last, most)
for _, pending in ipairs(page) do
  local count = tonumber(string.match(pending[1], '%-(%d+)$'))
  events = events + count
  if pending[2] ~= '-' then inFlight = inFlight + count end
end
return { text(events), text(inFlight), #page == most and page[#page][1] or '' }
