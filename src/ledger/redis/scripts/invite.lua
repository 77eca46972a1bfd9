-- Invites people. A name that was invited before keeps its invite.
-- A person is a name and its folded form, separated by a line feed.
--
-- KEYS  invited, invites
-- ARGV  all persons, at most 1,000, then as many invites
-- reply the invite of each; nothing if one of the given invites already belongs to another name

local people = #ARGV / 2
local names = {}
for i = 1, people do
  names[i] = string.match(ARGV[i], '\n(.*)')
end

local kept = redis.call('HMGET', KEYS[1], unpack(names))
local holders = redis.call('HMGET', KEYS[2], unpack(ARGV, people + 1))
local new, invited, invites = {}, {}, {}
for i = 1, people do
  local name, invite = names[i], ARGV[people + i]
  if holders[i] and string.match(holders[i], '\n(.*)') ~= name then
    return {}
  end
  if not kept[i] and not new[name] then
    new[name] = invite
    table.insert(invited, name)
    table.insert(invited, invite)
    table.insert(invites, invite)
    table.insert(invites, ARGV[i])
  end
  kept[i] = kept[i] or new[name]
end

if #invited > 0 then
  redis.call('HSET', KEYS[1], unpack(invited))
  redis.call('HSET', KEYS[2], unpack(invites))
end
return kept
