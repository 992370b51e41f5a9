-- Included where a group's own stream gets or loses members. Those with a key end in "-<offset>-<key>", the offset with 16
-- digits; only the first of each key in a lane may be due, the others are held. again-keys has them all in that order.

-- The queue of a member's key, and its entry in again-keys; nil for a member without a key.
local function queueOf(member)
  local lane, offset, key = string.match(member, '^%d+%-%d+%-([123])%-%d+%-(%d+)%-(.*)$')
  if key == nil then return nil end
  local queue = lane .. string.format('%05d', #key) .. key
  return queue, queue .. offset .. member
end

local function firstOf(keys, queue)
  local entry = redis.call('ZRANGEBYLEX', keys, '[' .. queue, '[' .. queue .. '\255', 'LIMIT', 0, 1)[1]
  return entry and string.sub(entry, #queue + 17)
end

-- Makes a new member due at a time, unless there is an earlier one of its key.
local function hold(keys, due, held, member, dueAt)
  local queue, entry = queueOf(member)
  if queue then
    local first = firstOf(keys, queue)
    redis.call('ZADD', keys, 0, entry)
    if first and firstOf(keys, queue) == first then
      dueAt = heldDue
    elseif first and redis.call('HEXISTS', held, first) == 0 then
      redis.call('ZADD', due, heldDue, first)
    end
  end
  redis.call('ZADD', due, dueAt, member)
end

-- Call it when a member has left: what is now the first of its key is due at once.
local function endHold(keys, due, member)
  local queue, entry = queueOf(member)
  if queue == nil then return end
  redis.call('ZREM', keys, entry)
  local first = firstOf(keys, queue)
  if first and tonumber(redis.call('ZSCORE', due, first) or '') == tonumber(heldDue) then
    redis.call('ZADD', due, dueAtOnce, first)
  end
end
