#!lua flags=allow-oom
-- Ends an epoch, once: a second caller gets the epoch that the first has begun.
--
-- KEYS     topics (register-topic.lua)
-- ARGV     the epoch that is over (0: begin one only where there is none), an epoch that was found in a partition or the
--          registry (0 when none was), the layout of the keys
-- Returns  the current epoch

local over, seen = tonumber(ARGV[1]), tonumber(ARGV[2])
if over == nil or seen == nil then error('a number is missing') end
local epoch = tonumber(redis.call('HGET', KEYS[1], '\0\0epoch') or '0') or 0
if epoch > over and (epoch >= seen or over == 0) then return string.format('%.0f', epoch) end
epoch = math.max(seen, epoch)
if epoch <= over then epoch = over + 1 end
redis.call('HSET', KEYS[1], '\0\0epoch', string.format('%.0f', epoch), '\0\0layout', ARGV[3])
return string.format('%.0f', epoch)
