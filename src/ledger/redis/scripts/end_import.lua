-- Releases the claim of an import, and removes its entries from the directory if the import was dropped.
--
-- KEYS  imports, codes, references
-- ARGV  room id, token, '1' if the import was dropped

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
