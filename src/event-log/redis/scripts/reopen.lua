#!lua
-- Adds batches to the own stream of one group, due at once, and counts them as reopened and waiting. Without the flag
-- allow-oom: Redis refuses the whole script when memory is full.
--
-- KEYS     books, the due set of the lane, again, again-tries, the bell's channel
-- ARGV     group, lane (1..3); then for each batch: count, attempt, received at, bytes, record; last, the caller's
--          known state (parts/checks.lua)
-- Returns  {the number of events, the ledger of the group}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books, due, again, tries = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local group, lane = ARGV[1], laneOf(ARGV[2])
local missing = lacks(books, group, {})
if missing then return missing end
redis.call('ZCARD', due)
redis.call('HLEN', again)
redis.call('HLEN', tries)
local fields = { 'lastAgain:' .. group, 'reopened:' .. group, 'waiting:' .. group, 'waitingBytes:' .. group }
local lastAgain, reopened, waiting, waitingBytes = unpack(numbers(books, fields))
local events, bytes = 0, 0
for at = 3, #ARGV, 5 do
  events = events + whole(ARGV[at])
  whole(ARGV[at + 1])
  whole(ARGV[at + 2])
  bytes = bytes + whole(ARGV[at + 3])
  if ARGV[at + 4] == nil then error('a record is missing') end
end

for at = 3, #ARGV, 5 do
  lastAgain = lastAgain + 1
  local member = string.format('%016.0f-%s-%d-%s', lastAgain, ARGV[at], lane, ARGV[at + 2])
  redis.call('HSET', again, member, ARGV[at + 4])
  redis.call('HSET', tries, member, ARGV[at + 1])
  redis.call('ZADD', due, dueAtOnce, member)
end
redis.call(
  'HSET', books, fields[1], text(lastAgain), fields[2], text(reopened + events), fields[3], text(waiting + events),
  fields[4], text(waitingBytes + bytes))
ring(books, KEYS[5])
return { text(events), ledgerOf(books, group) }
