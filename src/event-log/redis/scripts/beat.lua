#!lua flags=allow-oom
-- Stores a consumer's heartbeat. Its value changes each time.
--
-- KEYS[1]  members: hash; field "<consumer>" is "<lease (ms)>:<the server's time (µs)>:<topic>\0<group>"
-- ARGV     consumer, lease, topic and group with a NUL between
-- Returns  nothing

local time = redis.call('TIME')
-- Concatenated: string.format would cut ARGV[3] at its NUL.
local micros = time[1] .. string.format('%06d', tonumber(time[2]))
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. micros .. ':' .. ARGV[3])
