#!lua flags=no-writes
-- Checks that entries that the caller has stored or read are unchanged. After a failover other entries may have their
-- offsets.
--
-- KEYS     books, the lanes' streams (high, normal, low)
-- ARGV     for each lane an id and its checksum ('' without); last, the caller's known state (parts/checks.lua)
-- Returns  1, or why the epoch is over
-- include checks

local over = isOver(KEYS[1])
if over then return over end
for index = 1, 3 do
  local id, checksum = ARGV[2 * index - 1], ARGV[2 * index]
  local offset = tonumber(string.match(id, '^(%d+)') or '')
  if offset ~= nil then
    -- A missing entry was trimmed, unless another entry covers its offset.
    local entry = redis.call('XREVRANGE', KEYS[1 + index], text(offset) .. '-18446744073709551615', '-', 'COUNT', 1)[1]
    if entry ~= nil then
      local first, count = placeOf(entry[1])
      local isThere = first + count > offset
      if isThere and entry[1] ~= id then return 'over different' end
      for at = 1, isThere and #entry[2] or 0, 2 do
        if entry[2][at] == 'c' and entry[2][at + 1] ~= checksum then return 'over different' end
      end
    end
  end
end
return 1
