#!lua flags=no-writes
-- Counts the processes whose heartbeat is younger than their lease.
--
-- KEYS[1]  members (beat.lua)
-- Returns  the count

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
local living = 0
for _, beat in ipairs(redis.call('HVALS', KEYS[1])) do
  local lease, micros = string.match(beat, '^(%d+):(%d+):')
  if lease and now - tonumber(micros) / 1000 < tonumber(lease) then living = living + 1 end
end
return living
