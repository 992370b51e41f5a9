#!lua flags=no-writes
-- Tells which commands the user may not run. Nothing is run: the server is asked what it would allow.
--
-- KEYS     a key under the prefix
-- ARGV     the commands, words between spaces: a command with its arguments, KEY where the key stands
-- Answer   those that are denied or not known, as they were given

local denied = {}
for _, line in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(line, '%S+') do words[#words + 1] = word == 'KEY' and KEYS[1] or word end
  local isKnown, isAllowed = pcall(redis.acl_check_cmd, unpack(words))
  if not (isKnown and isAllowed) then denied[#denied + 1] = line end
end
return denied
