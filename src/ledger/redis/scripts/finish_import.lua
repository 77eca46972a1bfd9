-- Stores the record of a room whose import is complete. The token of the unit stays: it keeps older claims out for
-- good.
--
-- KEYS  claim of the unit, record
-- ARGV  token, the room as JSON, the seq that it has
-- reply seq, the stored room as JSON; nothing if another claim has the unit, or the record is stored already

if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('HEXISTS', KEYS[2], 'seq') == 1 then
  return {}
end
local time = redis.call('TIME')
local seq = string.format('%.0f', math.max(ARGV[3] + 1, time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('HSET', KEYS[2], 'seq', seq, 'record', ARGV[2])
return {seq, ARGV[2]}
