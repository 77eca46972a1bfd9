-- Stores jobs of a room.
--
-- KEYS  jobs, job ids
-- ARGV  for each job its id and its JSON

store_jobs(KEYS[1], KEYS[2], 1)
return 0
