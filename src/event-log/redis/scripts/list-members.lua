#!lua flags=no-writes
-- Names some members of a group's own stream: a page of the audit. One may be named twice.
--
-- KEYS     books, a hash whose fields are members
-- ARGV     where to go on ('0' to begin), about how many; at the end what the caller knows
-- Answer   {where to go on ('0' at the end), member ...}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local page = redis.call('HSCAN', KEYS[2], ARGV[1], 'COUNT', ARGV[2])
local answer = { page[1] }
for at = 1, #page[2], 2 do answer[#answer + 1] = page[2][at] end
return answer
