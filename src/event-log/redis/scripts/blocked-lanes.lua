#!lua flags=no-writes
-- Finds the lanes of a partition that refuse every append.
--
-- KEYS     books, the lanes' streams (high, normal, low)
-- Returns  for each lane the commands that cure it, '' when it takes appends
-- include checks
-- include blocked

local blocked = {}
for index, lane in ipairs(lanes) do blocked[index] = blockOf(KEYS[1], KEYS[1 + index], lane) end
return blocked
