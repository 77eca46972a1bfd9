-- Stores the token of a claim in a unit of a room, so that older claims cannot write there. A room that has its record
-- is closed to all claims.
--
-- KEYS  claim of the unit, and the record in the unit that has one
-- ARGV  token
-- reply 'held', or 'lost' if a newer claim has the unit, or 'exists' if the room has its record

if KEYS[2] and redis.call('HEXISTS', KEYS[2], 'seq') == 1 then
  return 'exists'
end
if tonumber(redis.call('GET', KEYS[1]) or 0) > tonumber(ARGV[1]) then
  return 'lost'
end
redis.call('SET', KEYS[1], ARGV[1])
return 'held'
