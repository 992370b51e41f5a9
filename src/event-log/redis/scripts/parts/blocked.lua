-- Included where a lane may be found that refuses every append, because another program has raised its last id: with an
-- entry that was removed again, with XSETID, or with an entry whose id leaves no room.

-- The last entry of a lane, when it is beyond the lane's end.
local function beyondOf(stream, reached)
  return redis.call('XREVRANGE', stream, '+', text(reached) .. '-1', 'COUNT', 1)[1]
end

-- Whether a new epoch can skip an entry.
local function leavesRoom(entry)
  local offset, count = placeOf(entry[1])
  return offset + count <= maxWhole
end

-- The commands that put the last id of a lane, and the places of groups beyond it, back to the lane's end.
local function cureOf(books, stream, lane)
  local reached = numbers(books, { 'next:' .. lane })[1]
  local beyond = beyondOf(stream, reached)
  local cure = beyond and { 'XDEL ' .. stream .. ' ' .. beyond[1] } or {}
  cure[#cure + 1] = 'XSETID ' .. stream .. ' ' .. text(reached) .. '-0'
  for _, facts in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    if placeOf(facts[8]) > reached then
      local handed = redis.call('HGET', books, 'handed:' .. lane .. ':' .. facts[2]) or '0'
      cure[#cure + 1] = 'XGROUP SETID ' .. stream .. ' ' .. facts[2] .. ' ' .. handed .. '-0'
    end
  end
  return table.concat(cure, '; ')
end

-- The cure of a lane that refuses every append; '' when it does not.
local function blockOf(books, stream, lane)
  if redis.call('EXISTS', stream) == 0 then return '' end
  local reached, facts, last = numbers(books, { 'next:' .. lane })[1], redis.call('XINFO', 'STREAM', stream), nil
  for at = 1, #facts, 2 do
    if facts[at] == 'last-generated-id' then last = facts[at + 1] end
  end
  local offset, count = placeOf(last)
  if offset < reached or (offset == reached and count == 0) then return '' end
  local beyond = beyondOf(stream, reached)
  return beyond and leavesRoom(beyond) and '' or cureOf(books, stream, lane)
end
