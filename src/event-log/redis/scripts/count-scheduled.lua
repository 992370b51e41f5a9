#!lua flags=no-writes
-- Counts one page of the entries of a lane of a group's own stream that are due later.
--
-- KEYS     books, the due set of the lane
-- ARGV     now (ms), how many of them to skip, max entries; last, the caller's known state (parts/checks.lua)
-- Returns  {events, entries}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local events, entries = laterIn(KEYS[2], ARGV[1], ARGV[2], ARGV[3])
return { text(events), entries }
