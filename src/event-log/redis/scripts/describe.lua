#!lua flags=no-writes
-- Reads the counters of one group in one partition, and counts the unsettled events that were handed out at least once.
-- Where there are more than one script counts, it returns where to continue.
--
-- KEYS     books, the lanes' streams (high, normal, low), their due sets, again, again-tries, again-held, the
--          bell's channel
-- ARGV     group, how many to count in each key; last, the caller's known state (parts/checks.lua)
-- Returns  {accepted, reopened, waiting, landed, dead, lost, in flight, counted, oldest received at ('' when none
--          waits), for each lane {last delivered id, the lane's end offset, the id after which to continue ('' at the
--          end)}, 1 when again-tries is still to be counted, 1 when again-held is, the events of all settled deliveries
--          (`passed`)}
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books, tries, held = KEYS[1], KEYS[9], KEYS[10]
local lanes = { 'high', 'normal', 'low' }
local group, most = ARGV[1], whole(ARGV[2])
local missing = lacks(group, { KEYS[2], KEYS[3], KEYS[4] })
if missing then return missing end
local accepted, counted, inFlight = 0, 0, 0
local oldest
local unread = {}
if redis.call('HEXISTS', books, 'made:' .. group) == 0 then return redis.error_reply('NOGROUP there is no group ' .. group) end

local function number(field) return numbers(books, { field })[1] end
local function see(received)
  local micros = tonumber(received)
  if micros ~= nil and (oldest == nil or micros < oldest) then oldest = micros end
end
local function seeEntry(entry)
  if entry == nil then return end
  for at = 1, #entry[2], 2 do
    if entry[2][at] == 'r' then see(entry[2][at + 1]) end
  end
end

for index, lane in ipairs(lanes) do
  local stream = KEYS[1 + index]
  local nextOffset = number('next:' .. lane)
  accepted = accepted + nextOffset - number('start:' .. lane .. ':' .. group)
  local page = redis.call('XPENDING', stream, group, '-', '+', math.max(1, most))
  local first = page[1] and page[1][1]
  for _, pending in ipairs(page) do
    local count = tonumber(string.match(pending[1], '%-(%d+)$'))
    counted = counted + count
    if pending[2] ~= '-' then inFlight = inFlight + count end
  end
  local read = '0-0'
  for _, facts in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    if facts[2] == group then read = facts[8] end
  end
  if first ~= nil then
    seeEntry(redis.call('XRANGE', stream, first, first)[1])
  else
    seeEntry(redis.call('XRANGE', stream, '(' .. read, '+', 'COUNT', 1)[1])
  end
  unread[index] = { read, text(nextOffset), #page >= most and #page > 0 and page[#page][1] or '' }
end

local isMuchAgain, isMuchHeld = redis.call('HLEN', tries) > most, redis.call('HLEN', held) > most
if not isMuchAgain then
  for _, member in ipairs(redis.call('HKEYS', tries)) do
    local count, received = string.match(member, '^%d+%-(%d+)%-%d%-(.*)$')
    counted = counted + tonumber(count)
    see(received)
  end
end
if not isMuchHeld then
  for _, member in ipairs(redis.call('HKEYS', held)) do
    inFlight = inFlight + tonumber(string.match(member, '^%d+%-(%d+)'))
  end
end

return {
  text(accepted), text(number('reopened:' .. group)), text(number('waiting:' .. group)),
  text(number('landed:' .. group)), text(number('dead:' .. group)), text(number('lost:' .. group)),
  text(inFlight), text(counted), oldest and text(oldest) or '', unread,
  isMuchAgain and 1 or 0, isMuchHeld and 1 or 0, text(number('passed:' .. group)),
}
