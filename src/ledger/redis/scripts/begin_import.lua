-- Claims a room for an import, with its code and its reference.
--
-- KEYS  imports, the last token, codes, references
-- ARGV  room id, lease in ms, partitions, code, reference if it has one
-- reply 'held' and the token, or 'running', or 'code_taken', or 'ref_taken' and by which room

local id, code, reference = ARGV[1], ARGV[4], ARGV[5]

local function is_importing(owner)
  return redis.call('HEXISTS', KEYS[1], owner) == 1
end

if is_importing(id) then
  return {'running', id}
end
local owner = reference and redis.call('HGET', KEYS[4], reference)
if owner then
  return {is_importing(owner) and 'running' or 'ref_taken', owner}
end
owner = redis.call('HGET', KEYS[3], code)
if owner then
  return {is_importing(owner) and 'running' or 'code_taken', owner}
end

local time = redis.call('TIME')
local ms = time[1] * 1000 + math.floor(time[2] / 1000)
local token = string.format('%.0f', math.max((redis.call('GET', KEYS[2]) or 0) + 1, ms))
redis.call('SET', KEYS[2], token)
redis.call('HSET', KEYS[3], code, id)
if reference then
  redis.call('HSET', KEYS[4], reference, id)
end
local expires_at = string.format('%.0f', ms + ARGV[2])
redis.call('HSET', KEYS[1], id, table.concat({token, expires_at, ARGV[3], code, reference or ''}, ' '))
return {'held', token}
