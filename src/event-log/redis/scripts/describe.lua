#!lua flags=no-writes
-- Reads the counters of one group in one partition, and counts the unsettled events that were handed out at least once.
-- Where there are more than one script counts, it returns where to continue.
--
-- KEYS     books, the lanes' streams (high, normal, low), their due sets, again, again-tries, again-held, the
--          bell's channel, again-keys
-- ARGV     group, how many to count in each key, now (ms); last, the caller's known state (parts/checks.lua)
-- Returns  {accepted, waiting, in flight, counted, the events of all settled deliveries (`passed`), oldest received at
--          ('' when none waits), how many entries are unsettled at least, the ledger of the group, for each lane {last
--          delivered id, the lane's end offset, the id after which to continue ('' at the end), the consumers whose
--          deliveries are still to be counted, the entries that are due later, as far as they were counted}, 1 when
--          again-tries is still to be counted, 1 when again-held is, the events that are due later}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books, tries, held = KEYS[1], KEYS[9], KEYS[10]
local group, most, now = ARGV[1], whole(ARGV[2]), ARGV[3]
local missing = lacks(books, group, { KEYS[2], KEYS[3], KEYS[4] })
if missing then return missing end
local ledger = ledgerOf(books, group)
local accepted, counted, inFlight, scheduled, entries = 0 - ledger[2], 0, 0, 0, redis.call('HLEN', tries)
local oldest
local unread = {}

local function see(received)
  local micros = tonumber(received)
  if micros ~= nil and (oldest == nil or micros < oldest) then oldest = micros end
end
local function seeFirst(found)
  for _, entry in ipairs(found) do
    if isOurs(entry[2]) then return see(entry[2][2]) end
  end
end

-- Counts what consumers hold in a lane. Returns the consumers when they hold more than this script counts.
local function countHeld(stream)
  local holders, room = {}, most
  for _, facts in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group)) do
    if facts[2] ~= '-' and facts[4] > 0 then holders[#holders + 1], room = facts[2], room - facts[4] end
  end
  if room < 0 then return holders end
  for _, name in ipairs(holders) do
    for _, pending in ipairs(redis.call('XPENDING', stream, group, '-', '+', most, name)) do
      local _, count = placeOf(pending[1])
      inFlight = inFlight + count
    end
  end
  return {}
end

for index, lane in ipairs(lanes) do
  local stream = KEYS[1 + index]
  local nextOffset = numbers(books, { 'next:' .. lane })[1]
  accepted = accepted + nextOffset
  local page = redis.call('XPENDING', stream, group, '-', '+', math.max(1, most))
  local first = page[1] and page[1][1]
  for _, pending in ipairs(page) do
    local _, count = placeOf(pending[1])
    counted = counted + count
  end
  local holders = countHeld(stream)
  local later, laterEntries = laterIn(KEYS[4 + index], now, 0, most)
  scheduled = scheduled + later
  local read = '0-0'
  for _, facts in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    -- The last is how many entries are unread; Redis does not know it after some deletions.
    if facts[2] == group then read, entries = facts[8], entries + facts[6] + (tonumber(facts[12] or '') or 0) end
  end
  if first ~= nil then
    seeFirst(redis.call('XRANGE', stream, first, first))
  else
    seeFirst(redis.call('XRANGE', stream, '(' .. read, '+', 'COUNT', 4))
  end
  local from = #page >= most and #page > 0 and page[#page][1] or ''
  unread[index] = { read, text(nextOffset), from, holders, laterEntries }
end

local isMuchAgain, isMuchHeld = redis.call('HLEN', tries) > most, redis.call('HLEN', held) > most
local function factsOf(member) return string.match(member, '^%d+%-(%d+)%-%d%-(%d+)') end
if isMuchAgain then
  -- The audit sees all of them, where there is one; without it those that are due first stand for the others.
  for at = 5, 7 do
    for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[at], '-inf', '+inf', 'LIMIT', 0, 100)) do
      local _, received = factsOf(member)
      see(received)
    end
  end
else
  for _, member in ipairs(redis.call('HKEYS', tries)) do
    local count, received = factsOf(member)
    counted = counted + tonumber(count)
    see(received)
  end
end
if not isMuchHeld then
  for _, member in ipairs(redis.call('HKEYS', held)) do
    inFlight = inFlight + tonumber(string.match(member, '^%d+%-(%d+)'))
  end
end

local counters = numbers(books, { 'waiting:' .. group, 'passed:' .. group })
return {
  text(accepted), text(counters[1]), text(inFlight), text(counted), text(counters[2]), oldest and text(oldest) or '',
  text(entries), ledger, unread, isMuchAgain and 1 or 0, isMuchHeld and 1 or 0, text(scheduled),
}
