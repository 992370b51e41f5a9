#!lua flags=allow-oom
-- Keeps what a process says of itself, and lists what all have said. What was not said again in time is removed.
--
-- KEYS[1]  processes: hash; field "<process>" is "<the server's time until which it is kept (ms)>:<text>"
-- ARGV     process, text ('' removes it), how long it is kept (ms)
-- Returns  {process, text, ...}

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f:', now + tonumber(ARGV[3])) .. ARGV[2])
end
local kept = redis.call('HGETALL', KEYS[1])
local answer = {}
for at = 1, #kept, 2 do
  local untilMs, text = string.match(kept[at + 1], '^(%d+):(.*)$')
  if untilMs and tonumber(untilMs) >= now then
    answer[#answer + 1] = kept[at]
    answer[#answer + 1] = text
  else
    redis.call('HDEL', KEYS[1], kept[at])
  end
end
return answer
