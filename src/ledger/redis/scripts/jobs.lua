-- Comes before every script that stores jobs.

-- Stores the jobs whose ids were not stored before. ARGV[from] is the id of the first, ARGV[from + 1] its JSON, and so
-- on.
local function store_jobs(jobs, ids, from)
  for i = from, #ARGV, 2 do
    if redis.call('HSETNX', ids, ARGV[i], 1) == 1 then
      redis.call('XADD', jobs, '*', 'job', ARGV[i + 1])
    end
  end
end

