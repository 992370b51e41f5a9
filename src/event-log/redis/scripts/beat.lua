#!lua flags=allow-oom
-- Shows that a consumer lives: what it leaves is another each time.
--
-- KEYS[1]  members: hash; field "<consumer>" is "<lease (ms)>:<the server's time (µs)>:<topic>\0<group>"
-- ARGV     consumer, lease, topic and group with a NUL between
-- Answer   nothing

local time = redis.call('TIME')
-- A NUL would end what string.format gets.
local micros = time[1] .. string.format('%06d', tonumber(time[2]))
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. micros .. ':' .. ARGV[3])
