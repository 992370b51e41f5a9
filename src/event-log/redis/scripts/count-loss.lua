#!lua flags=allow-oom
-- Counts what was lost when an epoch began, from what a process remembers of the partition from before. The highest of
-- what all processes remember counts: events that were accepted, were not settled and are not there any more are lost;
-- those that wait although they were settled are reopened.
--
-- `before:lane:<lane>` is how far the lane had reached before, and how far it was found to reach. `before:group:<group>`
-- is the group's ledger before (reopened, landed, dead, lost), how many events waited when the epoch began, and how many
-- were counted as lost since: '-' while its counters are new, '?' while no process has remembered its ledger.
--
-- KEYS     books
-- ARGV     for each lane how far it had reached; then for each group its name and its ledger: start, reopened, landed,
--          dead, lost ('?' when it was unknown then too); last, the caller's known state (parts/checks.lua)
-- Returns  the ledger of each group
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books = KEYS[1]
local function number(field) return numbers(books, { field })[1] end
local function add(field, more) redis.call('HINCRBY', books, field, text(more)) end

-- Check everything before writing anything.
local befores, facts, offers, isUnknown, ledgers = {}, {}, {}, {}, {}
for index, lane in ipairs(lanes) do
  local highest, found = string.match(redis.call('HGET', books, 'before:lane:' .. lane) or '0 0', '^(%d+) (%d+)')
  befores[index] = { highest = whole(highest), found = whole(found), offered = whole(ARGV[index]) }
end
numbers(books, { 'next:high', 'next:normal', 'next:low' })
for _, group in ipairs(groupsOf(books)) do
  ledgerOf(books, group)
  numbers(books, { 'waiting:' .. group })
  local words = redis.call('HGET', books, 'before:group:' .. group)
  if words then
    facts[group] = {}
    for word in string.gmatch(words, '%S+') do table.insert(facts[group], word) end
    for term = 1, 5 do
      if tonumber(facts[group][term]) == nil then error('before:group:' .. group .. ' is "' .. words .. '"') end
    end
  end
end
for at = 4, #ARGV, 6 do
  local offer = {}
  for term = 1, 4 do offer[term] = whole(ARGV[at + term]) end
  if ARGV[at + 5] == '?' then
    isUnknown[ARGV[at]] = true
  else
    offer[5], offers[ARGV[at]] = whole(ARGV[at + 5]), offer
  end
end

local before, missing, skipped = 0, 0, 0
for index, lane in ipairs(lanes) do
  local highest, found, offered = befores[index].highest, befores[index].found, befores[index].offered
  if offered > highest then
    -- The offsets are skipped, so that none is used twice.
    local reached, holes = number('next:' .. lane), redis.call('HGET', books, 'holes:' .. lane)
    local ending = reached + offered - highest
    redis.call(
      'HSET', books, 'next:' .. lane, text(ending), 'before:lane:' .. lane, text(offered) .. ' ' .. text(found),
      'holes:' .. lane, (holes and holes .. ' ' or '') .. text(reached) .. '-' .. text(ending))
    skipped = skipped + offered - highest
    highest = offered
  end
  before, missing = before + highest, missing + highest - found
end

local accepted = number('next:high') + number('next:normal') + number('next:low')
local function count(group)
  local field, offer, known = 'before:group:' .. group, offers[group], facts[group]
  -- It was declared after the epoch had begun: none of the offsets that are skipped now held an event for it.
  if not known then return add('start:' .. group, skipped) end
  local isOpen = tonumber(known[6]) == nil
  if isOpen and not offer and (known[6] == '?' or isUnknown[group] or missing > 0) then
    known[6] = '?'
    return redis.call('HSET', books, field, table.concat(known, ' '))
  end
  if offer and isOpen then redis.call('HSET', books, 'start:' .. group, text(offer[1])) end
  for term = 1, offer and 4 or 0 do
    local more = math.max(0, offer[1 + term] - known[term])
    known[term] = text(known[term] + more)
    add(ledgerFields[1 + term] .. group, more)
  end
  local start = number('start:' .. group)
  local unsettled = before - start + known[1] - known[2] - known[3] - known[4]
  local gone = math.max(0, math.min(unsettled, math.max(missing, unsettled - known[5])))
  add('lost:' .. group, gone - (tonumber(known[6]) or 0))
  known[6] = text(gone)
  redis.call(
    'HSET', books, field, table.concat(known, ' '), 'reopened:' .. group,
    text(number('waiting:' .. group) + number('landed:' .. group) + number('dead:' .. group) + number('lost:' .. group)
      - accepted + start))
end
for _, group in ipairs(groupsOf(books)) do
  count(group)
  ledgers[#ledgers + 1] = ledgerOf(books, group)
end
return ledgers
