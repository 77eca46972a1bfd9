-- Joins a voter, in one step. Token, card or used invite lead back to a known voter; otherwise a new one is written.
--
-- KEYS  those of voters.lua, then invites
-- ARGV  voter, '1' if that comes from a token, person or '', card, invite or '', mode, then persons to suggest
-- reply see outcome() in voters.lua

local voter, has_token, person, card, invite, mode = ARGV[1], ARGV[2] == '1', ARGV[3], ARGV[4], ARGV[5], ARGV[6]

local known
if has_token and redis.call('HEXISTS', voters, voter) == 1 then
  known = voter
end
known = known or redis.call('HGET', cards, card)
if not known and invite ~= '' then
  known = redis.call('HGET', invite_voters, invite)
end
local proven = known or has_token and voter
if proven and redis.call('SISMEMBER', removed, proven) == 1 then
  return outcome('removed')
end
if known then
  return outcome('known', known, redis.call('HGET', voters, known))
end

local reserved = invite ~= '' and redis.call('HGET', KEYS[8], invite)
if invite ~= '' and not reserved then
  return outcome('bad_invite')
end
-- the holder of a token was admitted before
if mode == 'closed' and not has_token then
  return outcome('closed')
end
if mode == 'invite' and not reserved and not has_token then
  return outcome('invite_needed')
end
if person == '' then
  person = reserved or ''
end
if person == '' then
  return outcome('name_missing')
end
if not is_free(person, voter, invite) then
  return outcome('name_taken', nil, first_free(7, voter, invite))
end
if redis.call('HEXISTS', voters, voter) == 1 then
  return outcome('id_taken')
end

write_voter(voter, card, person)
if reserved then
  redis.call('HSET', invite_voters, invite, voter)
end
return outcome('done', voter, card .. person)
