#!lua flags=no-writes
-- Tells who holds entries of one partition: nobody where nothing waits.
--
-- KEYS     books, the lanes' streams (high, normal, low), their due sets, again, again-tries, again-held, the
--          bell's channel
-- ARGV     group
-- Answer   the names of the consumers

if redis.call('HGET', KEYS[1], 'waiting:' .. ARGV[1]) == '0' then return {} end
local found, names = {}, {}
local function add(name)
  if name ~= '-' and not found[name] then
    found[name] = true
    names[#names + 1] = name
  end
end
for index = 1, 3 do
  for _, facts in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1 + index], ARGV[1])) do
    if facts[4] > 0 then add(facts[2]) end
  end
end
for _, holder in ipairs(redis.call('HVALS', KEYS[10])) do add(string.match(holder, ' (.*)$')) end
return names
