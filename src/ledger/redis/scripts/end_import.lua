-- Gives the claim of an import back, and where that has come to nothing its entries in the directory too.
--
-- KEYS  imports, codes, references
-- ARGV  room id, token, '1' if its room is not here

local id = ARGV[1]
local token, code, reference = string.match(redis.call('HGET', KEYS[1], id) or '', '^(%d+) %d+ %d+ (%S+) (.*)$')
if token ~= ARGV[2] then
  return 0
end
if ARGV[3] == '1' then
  if redis.call('HGET', KEYS[2], code) == id then
    redis.call('HDEL', KEYS[2], code)
  end
  if redis.call('HGET', KEYS[3], reference) == id then
    redis.call('HDEL', KEYS[3], reference)
  end
end
redis.call('HDEL', KEYS[1], id)
return 1
