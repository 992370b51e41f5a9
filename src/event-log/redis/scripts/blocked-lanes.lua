#!lua flags=no-writes
-- Lists the lanes of a partition that refuse every append, with the commands that cure them.
--
-- KEYS     books, the lanes' streams (high, normal, low)
-- Returns  {lane (1..3) and cure of each}
-- include checks
-- include blocked

local blocked = {}
for index, lane in ipairs(lanes) do
  local cure = redis.call('EXISTS', KEYS[1 + index]) == 1 and blockOf(KEYS[1], KEYS[1 + index], lane)
  if cure then blocked[#blocked + 1], blocked[#blocked + 2] = text(index), cure end
end
return blocked
