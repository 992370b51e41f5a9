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
--          dead, lost; last, the caller's known state (parts/checks.lua)
-- Returns  the ledger of each group
-- include checks

local over = isOver(KEYS[1])
if over then return over end
local books = KEYS[1]
local function number(field) return numbers(books, { field })[1] end
local function add(field, more) redis.call('HINCRBY', books, field, text(more)) end

-- Check everything before writing anything.
for index = 1, 3 do whole(ARGV[index]) end
numbers(books, { 'next:high', 'next:normal', 'next:low' })
for _, group in ipairs(groupsOf(books)) do ledgerOf(books, group) end
local offers, ledgers = {}, {}
for at = 4, #ARGV, 6 do
  offers[ARGV[at]] = {}
  for term = 1, 5 do offers[ARGV[at]][term] = whole(ARGV[at + term]) end
end

local before, missing = 0, 0
for index, lane in ipairs(lanes) do
  local field, offered = 'before:lane:' .. lane, whole(ARGV[index])
  local highest, found = string.match(redis.call('HGET', books, field) or '0 0', '^(%d+) (%d+)')
  highest, found = tonumber(highest), tonumber(found)
  if offered > highest then
    -- The offsets are skipped, so that none is used twice.
    local reached, holes = number('next:' .. lane), redis.call('HGET', books, 'holes:' .. lane)
    local ending = reached + offered - highest
    redis.call(
      'HSET', books, 'next:' .. lane, text(ending), field, text(offered) .. ' ' .. text(found), 'holes:' .. lane,
      (holes and holes .. ' ' or '') .. text(reached) .. '-' .. text(ending))
    highest = offered
  end
  before, missing = before + highest, missing + highest - found
end

local accepted = number('next:high') + number('next:normal') + number('next:low')
local function count(group)
  local field, offer, facts = 'before:group:' .. group, offers[group], {}
  for fact in string.gmatch(redis.call('HGET', books, field) or '', '%S+') do facts[#facts + 1] = fact end
  if #facts == 0 then return end
  if not offer and (facts[6] == '?' or (facts[6] == '-' and missing > 0)) then
    facts[6] = '?'
    return redis.call('HSET', books, field, table.concat(facts, ' '))
  end
  if offer and tonumber(facts[6]) == nil then redis.call('HSET', books, 'start:' .. group, text(offer[1])) end
  for term = 1, offer and 4 or 0 do
    local more = math.max(0, offer[1 + term] - facts[term])
    facts[term] = text(facts[term] + more)
    add(ledgerFields[1 + term] .. group, more)
  end
  local start = number('start:' .. group)
  local unsettled = before - start + facts[1] - facts[2] - facts[3] - facts[4]
  local gone = math.max(0, math.min(unsettled, math.max(missing, unsettled - facts[5])))
  add('lost:' .. group, gone - (tonumber(facts[6]) or 0))
  facts[6] = text(gone)
  redis.call(
    'HSET', books, field, table.concat(facts, ' '), 'reopened:' .. group,
    text(number('waiting:' .. group) + number('landed:' .. group) + number('dead:' .. group) + number('lost:' .. group)
      - accepted + start))
end
for _, group in ipairs(groupsOf(books)) do
  count(group)
  ledgers[#ledgers + 1] = ledgerOf(books, group)
end
return ledgers
