-- Carries out writes of an import in one unit of its room, if the unit has the token of the import.
--
-- KEYS  token of the unit, then the keys to write
-- ARGV  token, then for each key: the command, the number of its arguments, and these
-- reply 1, or 0 if the unit has another token

if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local at = 2
for i = 2, #KEYS do
  local count = tonumber(ARGV[at + 1])
  redis.call(ARGV[at], KEYS[i], unpack(ARGV, at + 2, at + 1 + count))
  at = at + 2 + count
end
return 1
