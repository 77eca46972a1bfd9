-- Renews the claim of an import, or takes it over to take the import back: then it gets a newer token, and whoever wrote
-- under the old one is refused.
--
-- KEYS  imports, the last token
-- ARGV  room id, token, lease in ms, 'renew' or 'take' or 'take_if_over'
-- reply the claim as it is now, or '' if the claim is not held under that token, or is not over

local claim = redis.call('HGET', KEYS[1], ARGV[1])
local token, over_at, rest = string.match(claim or '', '^(%d+) (%d+)( .*)$')
if token ~= ARGV[2] then
  return ''
end
local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[4] == 'take_if_over' and ms < tonumber(over_at) then
  return ''
end
if ARGV[4] ~= 'renew' then
  token = string.format('%.0f', math.max((redis.call('GET', KEYS[2]) or 0) + 1, ms))
  redis.call('SET', KEYS[2], token)
end
claim = token .. ' ' .. string.format('%.0f', ms + ARGV[3]) .. rest
redis.call('HSET', KEYS[1], ARGV[1], claim)
return claim
