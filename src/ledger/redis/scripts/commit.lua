-- Judges a batch of casts, stores and counts what is new, and publishes the gate unless it was published within the
-- tick. The rule is that of domain/ballot.rs, with its checks in the same order. Functions that are not defined here are
-- in gate.lua, which is sent in front of it (scripts.rs).
--
-- KEYS  gate, ballots of the batch's round and take, removed voters of the partition
-- ARGV  round, take, pod, acknowledged, channel, label, tick_ms, then all voters (each once), then all casts: letters
--       and first slip, as in ab3
-- reply time, 1 if the newest version is published, the gate, all ballots as stored, and the exceptions: three words
--       for each cast that was not appended whole: its number (from 1), letters added, and the reason why the others
--       were refused, or 'removed', or '-'
--
-- Redis spends most of its time in this loop. Many casts are the same word, so each word is parsed once. The usual
-- cast, which is appended, runs no pattern and makes no table. The reply is a few long strings, not thousands of short
-- ones.

local HEAD = 7
local find, sub, byte = string.find, string.sub, string.byte

local pod, channel, label, tick_ms = ARGV[3], ARGV[5], ARGV[6], tonumber(ARGV[7])
local gate = load_gate(pod)
local ms = server_ms()
local now = math.max(ms, gate.clock)
local casts = (#ARGV - HEAD) / 2

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

local stored = 0
local function count(letters, times)
  for p = 1, #letters do
    local choice = byte(letters, p) - 96
    counts[choice] = counts[choice] + times
  end
  stored = stored + #letters * times
end

-- word -> its parts: letters, the slips before it, number of letters, whether the round has all of them, the end of a
-- ballot that it is appended to, and how often it was appended whole
local words = {}
local function read(word)
  local letters, slip = string.match(word, '^(%l+)(%d+)$')
  local known = true
  for p = 1, #letters do
    known = known and byte(letters, p) <= last_letter
  end
  words[word] = {
    letters = letters, start = slip - 1, length = #letters, known = known, ending = letters .. time, times = 0,
  }
  return words[word]
end

local ballots, removed = {}, nil
if casts > 0 then
  ballots = redis.call('HMGET', KEYS[2], unpack(ARGV, HEAD + 1, HEAD + casts))
  if redis.call('SCARD', KEYS[3]) > 0 then
    removed = redis.call('SMISMEMBER', KEYS[3], unpack(ARGV, HEAD + 1, HEAD + casts))
  end
end

local grown, n, exceptions, voters = {}, 0, {}, 0

local function grow(i, ballot)
  grown[n + 1], grown[n + 2] = ARGV[HEAD + i], ballot
  n = n + 2
  ballots[i] = ballot
end

-- Judges a cast that is not simply appended. Returns the number of letters added, and the reason why the others were
-- not, or '-' for a repeat, whole or in part.
local function judge(i, ballot, used, word)
  local letters, start, length = word.letters, word.start, word.length
  local overlap, agrees = 0, true
  if start < used then
    overlap = math.min(used - start, length)
    agrees = sub(ballot, start + 1, start + overlap) == sub(letters, 1, overlap)
  end
  if agrees and overlap == length then
    return 0, '-'
  elseif shut then
    return 0, shut
  elseif not word.known then
    return 0, 'bad_choice'
  elseif start > used then
    return 0, 'gap'
  elseif not agrees then
    return 0, 'conflict'
  end
  local fresh = sub(letters, overlap + 1, overlap + math.max(budget - used, 0))
  if fresh ~= '' then
    count(fresh, 1)
    if used == 0 then
      voters = voters + 1
    end
    grow(i, sub(ballot, 1, used) .. fresh .. time)
  end
  return #fresh, overlap + #fresh < length and 'out_of_votes' or '-'
end

for i = 1, casts do
  local ballot, word = ballots[i] or '', ARGV[HEAD + casts + i]
  word = words[word] or read(word)
  local start, used = word.start, 0
  if ballot ~= '' then
    local before, at
    if start > 0 then
      before, at = byte(ballot, start, start + 1)
    end
    if at and before >= 97 and at < 97 then
      used = start -- the letters of the ballot end where the cast starts
    else
      used = (find(ballot, '%d') or corrupt('ballot of ' .. ARGV[HEAD + i])) - 1
    end
  end
  ballots[i] = ballot
  if removed and removed[i] == 1 then
    exceptions[#exceptions + 1] = i .. ' 0 removed'
  elseif used == start and word.known and not shut and used + word.length <= budget then
    if used == 0 then
      voters = voters + 1
      ballot = word.ending
    else
      ballot = sub(ballot, 1, used) .. word.ending
    end
    word.times = word.times + 1
    grow(i, ballot)
  else
    local added, why = judge(i, ballot, used, word)
    exceptions[#exceptions + 1] = i .. ' ' .. added .. ' ' .. why
  end
end
for _, word in pairs(words) do
  if word.times > 0 then
    count(word.letters, word.times)
  end
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
-- the clock of the server may have been set back
local due = ms - gate.published_at >= tick_ms or ms < gate.published_at
if due and gate.published ~= gate.version then
  publish(gate, ms, channel, label, changes)
end
save(changes)

return {
  now, gate.published == gate.version and 1 or 0, line(gate), table.concat(ballots, ' '), table.concat(exceptions, ' ')
}
