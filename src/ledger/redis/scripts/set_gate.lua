-- Applies a desired state to a gate, as Gate::follow in domain/gate.rs does, and publishes the gate if it has changed.
--
-- KEYS  gate
-- ARGV  command_seq, round, take, choices, votes_per_round, 'closed' or 'never' or 'after' or 'at', ms, channel, label
-- reply time, the gate

local gate = load_gate('')
local ms = server_ms()
local now = math.max(ms, gate.clock)
local command_seq, round, take = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

if command_seq <= gate.command_seq then
  return {now, line(gate)}
end

local same_take = gate.phase ~= 'idle' and gate.round == round and gate.take == take
if not same_take then
  local zeros = {}
  for i = 1, tonumber(ARGV[4]) do
    zeros[i] = 0
  end
  gate.opened_at, gate.deadline, gate.closed_at = now, '-', '-'
  gate.votes, gate.voters = table.concat(zeros, ','), 0
end

local open = ARGV[6]
if open ~= 'closed' then
  gate.phase, gate.closed_at, gate.deadline = 'open', '-', '-'
  if open == 'after' then
    gate.deadline = gate.opened_at + tonumber(ARGV[7])
  elseif open == 'at' then
    gate.deadline = tonumber(ARGV[7])
  end
elseif not (same_take and gate.phase == 'closed') then
  gate.phase = 'closed'
  local closed_at = now
  if gate.deadline ~= '-' then
    closed_at = math.min(now, gate.deadline)
  end
  gate.closed_at = math.max(closed_at, gate.opened_at)
end

gate.command_seq, gate.round, gate.take = command_seq, round, take
gate.choices, gate.votes_per_round = tonumber(ARGV[4]), tonumber(ARGV[5])
touch(gate, now)

local changes = {}
for _, field in ipairs(FIELDS) do
  changes[field] = gate[field]
end
save(changes)
changes = {}
publish(gate, ms, ARGV[8], ARGV[9], changes)
save(changes)
return {now, line(gate)}
