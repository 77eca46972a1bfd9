-- Comes before every script on voters' names.
-- KEYS[1] to KEYS[7] are always: voters, names, cards, roster, removed, invited, invite_voters.
--
-- A person is a name and its folded form, separated by a line feed, which no name contains. A stored voter is the card
-- followed by the person.

local voters, names, cards, roster, removed, invited, invite_voters = unpack(KEYS)

local function folded(person)
  return string.match(person, '\n(.*)')
end

-- True if no other voter has the name, and no invite reserves it except that of this voter or the given one.
local function is_free(person, voter, given)
  local name = folded(person)
  local owner = redis.call('HGET', names, name)
  if owner and owner ~= voter then
    return false
  end
  local invite = redis.call('HGET', invited, name)
  return not invite or invite == given or redis.call('HGET', invite_voters, invite) == voter
end

-- The first of ARGV[from], ARGV[from + 1], ... that is free, or ''.
local function first_free(from, voter, given)
  for i = from, #ARGV do
    if is_free(ARGV[i], voter, given) then
      return ARGV[i]
    end
  end
  return ''
end

local function write_voter(voter, card, person)
  redis.call('HSET', voters, voter, card .. person)
  redis.call('HSET', names, folded(person), voter)
  redis.call('HSET', cards, card, voter)
  redis.call('ZADD', roster, 0, voter)
end

-- The reply: a word, the voter, the stored form or the suggested person, and 1 if the voter is removed.
local function outcome(word, voter, stored, is_removed)
  return {word, voter or '', stored or '', is_removed or 0}
end

