#!lua flags=allow-oom
-- Takes from a consumer what it holds in one partition, so that others get it.
--
-- KEYS     books, the lanes' streams (high, normal, low), their due sets, again, again-tries, again-held, the
--          bell's channel
-- ARGV     group, consumer, '1' when its attempts do not count, how many at most; then the ids and members to keep
-- Answer   1 when there may be more, else 0; the consumer is forgotten where it holds nothing any more

local books, tries, held = KEYS[1], KEYS[9], KEYS[10]
local group, consumer, isGivenBack, most = ARGV[1], ARGV[2], ARGV[3] == '1', tonumber(ARGV[4])
local nobody = '-'
local keep = {}
for at = 5, #ARGV do keep[ARGV[at]] = true end
local released = 0
local isFreed = false
if redis.call('HEXISTS', KEYS[1], 'made:' .. group) == 0 then return redis.error_reply('NOGROUP there is no group ' .. group) end

for index = 1, 3 do
  local stream = KEYS[1 + index]
  local from, kept = '-', 0
  while released < most do
    local page = redis.call('XPENDING', stream, group, from, '+', 100, consumer)
    if #page == 0 then break end
    for _, pending in ipairs(page) do
      local id, count = pending[1], pending[4]
      from = '(' .. id
      -- An entry's id names its lane only together with the stream.
      if keep[index .. ':' .. id] then
        kept = kept + 1
      else
        if isGivenBack then count = math.max(0, count - 1) end
        redis.call('XCLAIM', stream, group, nobody, 0, id, 'RETRYCOUNT', count, 'JUSTID')
        released = released + 1
        isFreed = true
      end
    end
  end
  if released < most and kept == 0 then redis.call('XGROUP', 'DELCONSUMER', stream, group, consumer) end
end

local all = released < most and redis.call('HGETALL', held) or {}
for at = 1, #all, 2 do
  local member = all[at]
  local due, holder = string.match(all[at + 1], '^(%S+) (.*)$')
  if holder == consumer and not keep[member] then
    redis.call('HDEL', held, member)
    if isGivenBack then redis.call('HINCRBY', tries, member, -1) end
    local lane = tonumber(string.match(member, '^%d+%-%d+%-(%d)'))
    redis.call('ZADD', KEYS[4 + lane], due, member)
    isFreed = true
  end
end
-- As append.lua.
if isFreed and redis.call('HDEL', books, 'asleep') == 1 then redis.pcall('SPUBLISH', KEYS[11], '') end
return released < most and 0 or 1
