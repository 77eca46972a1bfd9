-- Stores a new room record, unless it is stored already.
--
-- KEYS  record
-- ARGV  the room as JSON, the seq that it has
-- reply seq, the stored room as JSON

local stored = redis.call('HMGET', KEYS[1], 'seq', 'record')
if stored[1] then
  return stored
end
local time = redis.call('TIME')
local seq = string.format('%.0f', math.max(ARGV[2] + 1, time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('HSET', KEYS[1], 'seq', seq, 'record', ARGV[1])
return {seq, ARGV[1]}
