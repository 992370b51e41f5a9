#!lua flags=allow-oom
-- Stores the heartbeat of a process. Its value changes each time.
--
-- KEYS[1]  members: hash; field "<process>" is "<the shortest lease of its consumers (ms)>:<the server's time (µs)>:<the
--          groups that they have joined>"
-- ARGV     process, lease, groups
-- Returns  nothing

local time = redis.call('TIME')
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. time[1] .. string.format('%06d', tonumber(time[2])) .. ':' .. ARGV[3])
