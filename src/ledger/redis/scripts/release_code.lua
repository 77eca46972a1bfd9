-- Takes a room out of the directory: each entry goes if it is the room's own.
--
-- KEYS  codes, references; one of them will do
-- ARGV  room id, then what the room is entered as in each

for i = 2, #ARGV do
  if redis.call('HGET', KEYS[i - 1], ARGV[i]) == ARGV[1] then
    redis.call('HDEL', KEYS[i - 1], ARGV[i])
  end
end
return 0
