#!lua flags=no-writes
-- Counts one page of a lane's entries that were handed out and not settled.
--
-- KEYS     books, the lane's stream
-- ARGV     group, the id after which to continue ('' to begin), the last id, max entries, the consumer that holds them
--          ('' for all); last, the caller's known state (parts/checks.lua)
-- Returns  {events, entries, the id after which to continue ('' at the end)}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local group, from, last, most, consumer = ARGV[1], ARGV[2], ARGV[3], whole(ARGV[4]), ARGV[5]
local missing = lacks(KEYS[1], group, { KEYS[2] })
if missing then return missing end
local events = 0
local words = { KEYS[2], group, from == '' and '-' or '(' .. from, last, most, consumer ~= '' and consumer or nil }
local page = redis.call('XPENDING', unpack(words))
for _, pending in ipairs(page) do
  local _, count = placeOf(pending[1])
  events = events + count
end
return { text(events), #page, #page == most and page[#page][1] or '' }
