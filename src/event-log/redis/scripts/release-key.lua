#!lua flags=allow-oom
-- Makes the first member of a key due at once.
--
-- KEYS     books, again-tries, again-held, again-keys, the lane's due set, the bell's channel
-- ARGV     group, lane (1..3), key, its new number of attempts ('' to keep it); last, the caller's known state
--          (parts/checks.lua)
-- Returns  1; 0 when the key has no member, or a consumer holds it
-- include checks
-- include keys

local over = isOver(KEYS[1])
if over then return over end
local books, tries, held, keys, due = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local missing = lacks(books, ARGV[1], {})
if missing then return missing end
redis.call('ZCARD', due)
redis.call('HLEN', tries)
if ARGV[4] ~= '' then whole(ARGV[4]) end
local first = firstOf(keys, laneOf(ARGV[2]) .. string.format('%05d', #ARGV[3]) .. ARGV[3])
if not first or redis.call('HEXISTS', held, first) == 1 then return 0 end
if ARGV[4] ~= '' then redis.call('HSET', tries, first, ARGV[4]) end
redis.call('ZADD', due, dueAtOnce, first)
ring(books, KEYS[6])
return 1
