-- Included where a lane may be found that refuses every append, because another program has raised its last id: with an
-- entry that was removed again, or with XSETID.

-- The commands that put the last id of a lane, and the places of groups beyond it, back to the lane's end.
local function cureOf(books, stream, lane)
  local reached = numbers(books, { 'next:' .. lane })[1]
  local cure = { 'XSETID ' .. stream .. ' ' .. text(reached) .. '-0' }
  for _, facts in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    if placeOf(facts[8]) > reached then
      local handed = redis.call('HGET', books, 'handed:' .. lane .. ':' .. facts[2]) or '0'
      cure[#cure + 1] = 'XGROUP SETID ' .. stream .. ' ' .. facts[2] .. ' ' .. handed .. '-0'
    end
  end
  return table.concat(cure, '; ')
end

-- The cure of a lane that refuses every append; nil when it does not.
local function blockOf(books, stream, lane)
  local facts, last = redis.call('XINFO', 'STREAM', stream), nil
  for at = 1, #facts, 2 do
    if facts[at] == 'last-generated-id' then last = facts[at + 1] end
  end
  local offset, count = placeOf(last)
  local reached = numbers(books, { 'next:' .. lane })[1]
  if offset < reached or (offset == reached and count == 0) then return nil end
  -- An entry beyond the end that is there is skipped by the next append.
  if redis.call('XRANGE', stream, text(reached) .. '-1', '+', 'COUNT', 1)[1] then return nil end
  return cureOf(books, stream, lane)
end
