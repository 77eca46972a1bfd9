-- Replaces a room record if it is still the one that was read, raises its seq, stores the jobs that the change causes,
-- and announces it.
--
-- KEYS  record, jobs, job ids
-- ARGV  seq that was read, the room as JSON, channel, room id, then for each job its id and its JSON
-- reply 'stored' or 'changed' or 'missing', then seq and the stored room as JSON

local stored = redis.call('HMGET', KEYS[1], 'seq', 'record')
if not stored[1] then
  return {'missing', '0', ''}
end
if stored[1] ~= ARGV[1] then
  return {'changed', stored[1], stored[2]}
end
local time = redis.call('TIME')
local seq = string.format('%.0f', math.max(stored[1] + 1, time[1] * 1000 + math.floor(time[2] / 1000)))
redis.call('HSET', KEYS[1], 'seq', seq, 'record', ARGV[2])
store_jobs(KEYS[2], KEYS[3], 5)
redis.pcall('PUBLISH', ARGV[3], '{"room_changed":{"room":"' .. ARGV[4] .. '","seq":' .. seq .. '}}')
return {'stored', seq, ARGV[2]}
