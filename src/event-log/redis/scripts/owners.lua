#!lua flags=allow-oom
-- Lists the consumers that hold entries of one partition, and deletes consumers that hold nothing and have been idle
-- for long: their next `take` recreates them.
--
-- KEYS     books, the lanes' streams (high, normal, low), their due sets, again, again-tries, again-held, the
--          bell's channel, again-keys
-- ARGV     group, idle time after which a consumer is deleted (ms), cursor in again-held ('0' to begin), about how many
--          members of again-held to read; last, the caller's known state (parts/checks.lua)
-- Returns  {next cursor ('' at the end), name ...}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local group, idleMs, cursor, most = ARGV[1], whole(ARGV[2]), ARGV[3], whole(ARGV[4])
local missing = lacks(KEYS[1], group, { KEYS[2], KEYS[3], KEYS[4] })
if missing then return missing end
local page = redis.call('HSCAN', KEYS[10], cursor, 'COUNT', most)
local found, answer = {}, { page[1] == '0' and '' or page[1] }
local function add(name)
  if name and name ~= '-' and not found[name] then
    found[name] = true
    answer[#answer + 1] = name
  end
end
for at = 2, #page[2], 2 do add(string.match(page[2][at], ' (.*)$')) end
if cursor ~= '0' then return answer end
for index = 1, 3 do
  local stream = KEYS[1 + index]
  for _, facts in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    local name, pending, idle = facts[2], facts[4], facts[6]
    if pending > 0 then
      add(name)
    elseif idle >= idleMs and name ~= '-' then
      redis.call('XGROUP', 'DELCONSUMER', stream, group, name)
    end
  end
end
return answer
