-- Judges a batch of casts, stores what is new and counts it, and publishes the gate unless that was done within the
-- tick. The rule is that of domain/ballot.rs, in its order.
--
-- KEYS  gate, ballots of the batch's round and take, removed voters of the partition
-- ARGV  round, take, pod, acknowledged, channel, label, tick_ms, then all voters (each once), all first slips, all
--       letters
-- reply time, 1 if the newest version is published, the gate, all ballots as stored, and the exceptions: three words
--       for each cast that was not appended as it is: which one (from 1), letters added, and why the others were
--       refused, or 'removed', or '-'
--
-- Redis spends its time in this loop. So the usual cast, which appends, makes no table and runs no pattern, and the
-- answer is a few long strings, not thousands of short ones.

local HEAD = 7
local find, sub, byte = string.find, string.sub, string.byte

local pod, channel, label, tick_ms = ARGV[3], ARGV[5], ARGV[6], tonumber(ARGV[7])
local gate = load_gate(pod)
local ms = server_ms()
local now = math.max(ms, gate.clock)

local casts = (#ARGV - HEAD) / 3
local slips, letters_of = HEAD + casts, HEAD + 2 * casts

local shut
if gate.phase ~= 'open' or gate.round ~= tonumber(ARGV[1]) or (gate.deadline ~= '-' and now >= gate.deadline) then
  shut = 'closed'
elseif gate.take ~= tonumber(ARGV[2]) then
  shut = 'stale_take'
end
local last_letter = 96 + gate.choices
local budget = gate.votes_per_round
local time = text(math.max(now - gate.opened_at, 0))

local counts = {}
for count in string.gmatch(gate.votes, '%d+') do
  counts[#counts + 1] = tonumber(count)
end

local ballots, removed = {}, nil
if casts > 0 then
  ballots = redis.call('HMGET', KEYS[2], unpack(ARGV, HEAD + 1, slips))
  if redis.call('SCARD', KEYS[3]) > 0 then
    removed = redis.call('SMISMEMBER', KEYS[3], unpack(ARGV, HEAD + 1, slips))
  end
end

local grown, n, exceptions, stored, voters = {}, 0, {}, 0, 0

local function except(i, added, why)
  exceptions[#exceptions + 1] = i .. ' ' .. added .. ' ' .. why
end

for i = 1, casts do
  local ballot, letters = ballots[i] or '', ARGV[letters_of + i]
  local start, length = ARGV[slips + i] - 1, #letters
  local used
  if ballot == '' then
    used = 0
  elseif (byte(ballot, start) or 0) >= 97 and (byte(ballot, start + 1) or 97) < 97 then
    used = start -- the letters end where the cast begins
  else
    used = (find(ballot, '%d') or corrupt('ballot of ' .. ARGV[HEAD + i])) - 1
  end
  if removed and removed[i] == 1 then
    except(i, 0, 'removed')
  else
    local overlap, agrees = 0, true
    if start < used then
      overlap = math.min(used - start, length)
      agrees = sub(ballot, start + 1, start + overlap) == sub(letters, 1, overlap)
    end
    local known = true
    for p = 1, length do
      known = known and byte(letters, p) <= last_letter
    end
    local added, refused = 0, nil
    if agrees and overlap == length then
      refused = '-' -- a repeat
    elseif shut then
      refused = shut
    elseif not known then
      refused = 'bad_choice'
    elseif start > used then
      refused = 'gap'
    elseif not agrees then
      refused = 'conflict'
    else
      local fresh = letters
      if overlap > 0 or used + length > budget then
        fresh = sub(letters, overlap + 1, overlap + math.max(budget - used, 0))
      end
      added = #fresh
      if overlap + added < length then
        refused = 'out_of_votes'
      elseif overlap > 0 then
        refused = '-'
      end
      if added > 0 then
        ballot = sub(ballot, 1, used) .. fresh .. time
        grown[n + 1], grown[n + 2] = ARGV[HEAD + i], ballot
        n = n + 2
        stored = stored + added
        if used == 0 then
          voters = voters + 1
        end
        for p = 1, added do
          local choice = byte(fresh, p) - 96
          counts[choice] = counts[choice] + 1
        end
      end
    end
    if refused then
      except(i, added, refused)
    end
  end
  ballots[i] = ballot
end

local changes = {}
if stored > 0 then
  touch(gate, now)
  gate.votes = table.concat(counts, ',')
  gate.voters = gate.voters + voters
  gate.stored = gate.stored + stored
  for _, field in ipairs({'clock', 'version', 'votes', 'voters', 'stored'}) do
    changes[field] = gate[field]
  end
  redis.call('HSET', KEYS[2], unpack(grown))
end
acknowledge(gate, pod, tonumber(ARGV[4]), changes)
-- the server's own clock may have been set back
local due = ms - gate.published_at >= tick_ms or ms < gate.published_at
if due and gate.published ~= gate.version then
  publish(gate, ms, channel, label, changes)
end
save(changes)

return {
  now, gate.published == gate.version and 1 or 0, line(gate), table.concat(ballots, ' '), table.concat(exceptions, ' ')
}
