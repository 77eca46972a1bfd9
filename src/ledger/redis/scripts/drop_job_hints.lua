-- Drops rooms that were found without jobs from the hint, unless they were added a moment ago: a job may be on its way.
--
-- KEYS  rooms with jobs
-- ARGV  the length of that moment in ms, room ids

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV do
  local added = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if added and now - added > tonumber(ARGV[1]) then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return 0
