-- Closes a unit of a room to all older claims than this one. A room that has its record is closed to all of them.
--
-- KEYS  claim of the unit, and the record in the unit that has one
-- ARGV  token
-- reply 'held', or 'lost' to a newer claim, or 'exists'

if KEYS[2] and redis.call('HEXISTS', KEYS[2], 'seq') == 1 then
  return 'exists'
end
if tonumber(redis.call('GET', KEYS[1]) or 0) > tonumber(ARGV[1]) then
  return 'lost'
end
redis.call('SET', KEYS[1], ARGV[1])
return 'held'
