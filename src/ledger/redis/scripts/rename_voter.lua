-- Gives a voter another name. The old name is free then, unless an invite reserves it.
--
-- KEYS  those of voters.lua
-- ARGV  voter, person, then persons to suggest
-- reply see outcome() in voters.lua

local CARD_CHARS = 12
local voter, person = ARGV[1], ARGV[2]

local stored = redis.call('HGET', voters, voter)
if not stored then
  return outcome('no_such_voter')
end
local is_removed = redis.call('SISMEMBER', removed, voter)
if not is_free(person, voter) then
  return outcome('name_taken', nil, first_free(3, voter))
end

local renamed = string.sub(stored, 1, CARD_CHARS) .. person
redis.call('HDEL', names, folded(stored))
redis.call('HSET', names, folded(person), voter)
redis.call('HSET', voters, voter, renamed)
return outcome('done', voter, renamed, is_removed)
