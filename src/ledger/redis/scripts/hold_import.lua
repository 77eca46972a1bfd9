-- Renews the claim of an import, or takes it over to drop the import: then it gets a newer token, and writes under the
-- old one are refused.
--
-- KEYS  imports, the last token
-- ARGV  room id, token, lease in ms, 'renew' or 'take_over' or 'take_over_expired'
-- reply the claim as it is now, or '' if the claim has another token, or should have expired and has not

local claim = redis.call('HGET', KEYS[1], ARGV[1])
local token, expires_at, rest = string.match(claim or '', '^(%d+) (%d+)( .*)$')
if token ~= ARGV[2] then
  return ''
end
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[4] == 'take_over_expired' and ms < tonumber(expires_at) then
  return ''
end
if ARGV[4] ~= 'renew' then
  token = string.format('%.0f', math.max((redis.call('GET', KEYS[2]) or 0) + 1, ms))
  redis.call('SET', KEYS[2], token)
end
claim = token .. ' ' .. string.format('%.0f', ms + ARGV[3]) .. rest
redis.call('HSET', KEYS[1], ARGV[1], claim)
return claim
