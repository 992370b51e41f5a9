#!lua flags=no-writes
-- Lists one page of what a lane has in again-keys.
--
-- KEYS     books, again-tries, again-held, again-keys, the lane's due set
-- ARGV     group, lane (1..3), after which entry to continue ('' to begin), how many; last, the caller's known state
--          (parts/checks.lua)
-- Returns  {the entry after which to continue ('' at the end), for each one its key and for the first of each key its
--          attempts and due time ('' for the others) ...}
-- include checks
-- include keys

local over = isOver(KEYS[1])
if over then return over end
local tries, held, keys, due = KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local lane, from, most = laneOf(ARGV[2]), ARGV[3], whole(ARGV[4])
local missing = lacks(KEYS[1], ARGV[1], {})
if missing then return missing end

local function keyOf(entry) return string.sub(entry, 7, 6 + tonumber(string.sub(entry, 2, 6))) end
local last = from ~= '' and keyOf(from) or nil
local start = from == '' and '[' .. lane or '(' .. from
local page = redis.call('ZRANGEBYLEX', keys, start, '(' .. (lane + 1), 'LIMIT', 0, most)
local answer = { #page == most and page[#page] or '' }
for _, entry in ipairs(page) do
  local key, attempt, dueAt = keyOf(entry), '', ''
  if key ~= last then
    local member = string.sub(entry, 6 + #key + 17)
    attempt = redis.call('HGET', tries, member) or '0'
    dueAt = redis.call('ZSCORE', due, member) or string.match(redis.call('HGET', held, member) or '', '^%S+') or '0'
  end
  last = key
  for _, word in ipairs({ key, attempt, dueAt }) do answer[#answer + 1] = word end
end
return answer
