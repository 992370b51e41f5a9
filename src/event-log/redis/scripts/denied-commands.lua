#!lua flags=no-writes
-- Tells which commands the user may not run. Nothing is run: the server is asked what it would allow.
--
-- ARGV     a key under the prefix (which may live elsewhere: it is not touched); then the commands, words between spaces: a
--          command with its arguments, KEY where the key stands
-- Answer   those that are denied or not known, as they were given

local denied = {}
for at = 2, #ARGV do
  local line, words = ARGV[at], {}
  for word in string.gmatch(line, '%S+') do words[#words + 1] = word == 'KEY' and ARGV[1] or word end
  local isKnown, isAllowed = pcall(redis.acl_check_cmd, unpack(words))
  if not (isKnown and isAllowed) then denied[#denied + 1] = line end
end
return denied
