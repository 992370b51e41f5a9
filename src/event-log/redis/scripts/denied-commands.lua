#!lua flags=no-writes
-- Lists the commands that the user may not run. Checks the ACL only; runs none of them.
--
-- ARGV     a key under the prefix (not accessed, so it may be in another slot); then the commands: each a command with
--          its arguments, separated by spaces, with KEY in place of the key
-- Returns  the commands that are denied or unknown, as given

local denied = {}
for at = 2, #ARGV do
  local line, words = ARGV[at], {}
  for word in string.gmatch(line, '%S+') do words[#words + 1] = word == 'KEY' and ARGV[1] or word end
  local isKnown, isAllowed = pcall(redis.acl_check_cmd, unpack(words))
  if not (isKnown and isAllowed) then denied[#denied + 1] = line end
end
return denied
