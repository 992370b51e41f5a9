#!lua flags=no-writes
-- Tells what the books say of one group in one partition, and counts what is unsettled but for what nobody had yet.
--
-- KEYS     books, the lanes' streams (high, normal, low), their due sets, again, again-tries, again-held, the
--          bell's channel
-- ARGV     group
-- Answer   {accepted, reopened, waiting, landed, dead, lost, in flight, counted, oldest received at ('' when none waits),
--          for each lane {the id up to which was read, the offset at which it ends}}

local books, tries, held = KEYS[1], KEYS[9], KEYS[10]
local lanes = { 'high', 'normal', 'low' }
local group = ARGV[1]
local accepted, counted, inFlight = 0, 0, 0
local oldest
local unread = {}
if redis.call('HEXISTS', books, 'made:' .. group) == 0 then return redis.error_reply('NOGROUP there is no group ' .. group) end

local function text(number) return string.format('%.0f', number) end
local function number(field) return tonumber(redis.call('HGET', books, field) or '0') end
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
  local from, first = '-', nil
  while true do
    local page = redis.call('XPENDING', stream, group, from, '+', 1000)
    if #page == 0 then break end
    for _, pending in ipairs(page) do
      local count = tonumber(string.match(pending[1], '%-(%d+)$'))
      counted = counted + count
      if pending[2] ~= '-' then inFlight = inFlight + count end
      first = first or pending[1]
      from = '(' .. pending[1]
    end
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
  unread[index] = { read, text(nextOffset) }
end

for _, member in ipairs(redis.call('HKEYS', tries)) do
  local count, received = string.match(member, '^%d+%-(%d+)%-%d%-(.*)$')
  counted = counted + tonumber(count)
  see(received)
end
for _, member in ipairs(redis.call('HKEYS', held)) do
  inFlight = inFlight + tonumber(string.match(member, '^%d+%-(%d+)'))
end

return {
  text(accepted), text(number('reopened:' .. group)), text(number('waiting:' .. group)),
  text(number('landed:' .. group)), text(number('dead:' .. group)), text(number('lost:' .. group)),
  text(inFlight), text(counted), oldest and text(oldest) or '', unread,
}
