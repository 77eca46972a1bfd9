-- Takes the oldest job that is free, or that a worker took longer ago than the lease.
--
-- KEYS  jobs
-- ARGV  worker, lease in ms
-- reply entry, JSON, how often it was taken; nothing if there is none

if redis.call('EXISTS', KEYS[1]) == 0 then
  return {}
end
-- fails if the group exists already
redis.pcall('XGROUP', 'CREATE', KEYS[1], 'workers', '0')
local claimed = redis.call('XAUTOCLAIM', KEYS[1], 'workers', ARGV[1], ARGV[2], '0-0', 'COUNT', 1)[2][1]
if not claimed then
  local read = redis.call('XREADGROUP', 'GROUP', 'workers', ARGV[1], 'COUNT', 1, 'STREAMS', KEYS[1], '>')
  claimed = read and read[1][2][1]
end
if not claimed then
  return {}
end
local pending = redis.call('XPENDING', KEYS[1], 'workers', claimed[1], claimed[1], 1)[1]
return {claimed[1], claimed[2][2], tostring(pending[4])}
