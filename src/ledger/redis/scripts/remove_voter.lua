-- Removes a voter from the room, or takes that back. The ballots stay as they are.
--
-- KEYS  voters, removed
-- ARGV  voter, '1' to remove
-- reply card with person, or nil if there is no such voter

local stored = redis.call('HGET', KEYS[1], ARGV[1])
if stored then
  redis.call(ARGV[2] == '1' and 'SADD' or 'SREM', KEYS[2], ARGV[1])
end
return stored
