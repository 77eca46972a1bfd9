-- Removes a room's own entries from the directory.
--
-- KEYS  codes and references, or one of them
-- ARGV  room id, then its entry in each of them

for i = 2, #ARGV do
  if redis.call('HGET', KEYS[i - 1], ARGV[i]) == ARGV[1] then
    redis.call('HDEL', KEYS[i - 1], ARGV[i])
  end
end
return 0
