#!lua flags=no-writes
-- Finds a request.
--
-- KEYS     books, the stream of the lane normal, the request (append.lua)
-- ARGV     group; last, the caller's known state (parts/checks.lua)
-- Returns  nil | {'accepted'}: never handed out to the group | {'started'} | {'replied', the reply}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books, stream, request, group = KEYS[1], KEYS[2], KEYS[3], ARGV[1]
local missing = lacks(books, group, { stream })
if missing then return missing end
local fingerprint, offset, reply = unpack(redis.call('HMGET', request, 'fingerprint', 'offset', 'reply'))
if not fingerprint then return nil end
if reply then return { 'replied', reply } end
if whole(offset) >= numbers(books, { 'handed:normal:' .. group })[1] then return { 'accepted' } end
-- One that was given back, or had no room in a call, is pending with no attempt.
local id = offset .. '-1'
local pending = redis.call('XPENDING', stream, group, id, id, 1)[1]
return { pending and pending[4] == 0 and 'accepted' or 'started' }
