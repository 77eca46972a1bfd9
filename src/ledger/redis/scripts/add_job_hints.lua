-- Adds rooms that have jobs, or are about to get some, to the hint in the directory.
--
-- KEYS  rooms with jobs
-- ARGV  room ids

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for _, room in ipairs(ARGV) do
  redis.call('ZADD', KEYS[1], now, room)
end
return 0
