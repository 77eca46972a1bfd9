-- Drops rooms that were found without jobs, unless they were noted a moment ago: a job may be on its way.
--
-- KEYS  rooms with jobs
-- ARGV  how long such a moment is, in ms; room ids

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV do
  local noted = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if noted and now - noted > tonumber(ARGV[1]) then
    redis.call('ZREM', KEYS[1], ARGV[i])
  end
end
return 0
