-- Writes a voter again whom the ledger has lost, under the first name that is free. A removed voter is not written.
--
-- KEYS  those of voters.lua
-- ARGV  voter, card, then persons, best first
-- reply card with person, or '' if all names are taken; 1 if the voter was removed

local voter, card = ARGV[1], ARGV[2]
local was_removed = redis.call('SISMEMBER', removed, voter)

local stored = redis.call('HGET', voters, voter)
if stored then
  return {stored, was_removed}
end
if was_removed == 1 then
  return {card .. ARGV[3], 1}
end
local person = first_free(3, voter)
if person == '' then
  return {'', 0}
end
write_voter(voter, card, person)
return {card .. person, 0}
