#!lua flags=no-writes
-- Lists one page of the members of a group's own stream, for the audit. A member may be listed twice.
--
-- KEYS     books, a hash whose fields are members
-- ARGV     cursor ('0' to begin), about how many; last, the caller's known state (parts/checks.lua)
-- Returns  {next cursor ('0' at the end), member ...}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local page = redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
local answer = { page[1] }
for at = 1, #page[2], 2 do answer[#answer + 1] = page[2][at] end
return answer
