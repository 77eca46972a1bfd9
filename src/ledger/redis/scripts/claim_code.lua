-- Adds a room to the directory, if its code and its reference are free or already its own.
--
-- KEYS  codes, references
-- ARGV  room id, code, reference if it has one
-- reply 'claimed', or 'code_taken', or 'ref_taken' and by which room

local id, code, reference = ARGV[1], ARGV[2], ARGV[3]
local owner = reference and redis.call('HGET', KEYS[2], reference)
if owner and owner ~= id then
  return {'ref_taken', owner}
end
owner = redis.call('HGET', KEYS[1], code)
if owner and owner ~= id then
  return {'code_taken', owner}
end
redis.call('HSET', KEYS[1], code, id)
if reference then
  redis.call('HSET', KEYS[2], reference, id)
end
return {'claimed', id}
