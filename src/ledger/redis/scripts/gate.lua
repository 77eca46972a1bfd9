-- Comes before every script on a gate. KEYS[1] is the gate.
--
-- A gate is a hash. FIELDS are those of the gate itself, in the order of gate_codec.rs, each a decimal number or a
-- word, or '-' if it is not set. The hash also holds `published` and `published_at`, version and time of the last
-- publish, and `ack:POD` for each pod, the slips whose reply that pod has received.

local FIELDS = {
  'command_seq', 'round', 'take', 'phase', 'choices', 'votes_per_round', 'opened_at', 'deadline', 'closed_at',
  'clock', 'votes', 'voters', 'version', 'stored', 'acknowledged',
}
local UNSET = {phase = 'idle', votes = '-', deadline = '-', closed_at = '-'}
local WORDS = {phase = true, votes = true}

local function corrupt(what)
  error({err = 'CORRUPT ' .. what .. ' in ' .. KEYS[1]})
end

local function number(text, what)
  return tonumber(text) or corrupt(what)
end

-- Lua itself would format a large number as 1.7e+12.
local function text(value)
  if type(value) == 'number' then
    return string.format('%.0f', value)
  end
  return value
end

local function server_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function load_gate(pod)
  local names = {unpack(FIELDS)}
  local count = #FIELDS
  names[count + 1] = 'published'
  names[count + 2] = 'published_at'
  names[count + 3] = 'ack:' .. pod
  local stored = redis.call('HMGET', KEYS[1], unpack(names))
  local gate = {}
  for i, field in ipairs(FIELDS) do
    local value = stored[i]
    if not value then
      gate[field] = UNSET[field] or 0
    elseif value == '-' or WORDS[field] then
      gate[field] = value
    else
      gate[field] = number(value, field)
    end
  end
  gate.published = number(stored[count + 1] or 0, 'published')
  gate.published_at = number(stored[count + 2] or 0, 'published_at')
  gate.ack = number(stored[count + 3] or 0, 'ack')
  return gate
end

local function save(fields)
  local args = {}
  for name, value in pairs(fields) do
    args[#args + 1] = name
    args[#args + 1] = text(value)
  end
  if #args > 0 then
    redis.call('HSET', KEYS[1], unpack(args))
  end
end

local function line(gate)
  local words = {}
  for i, field in ipairs(FIELDS) do
    words[i] = text(gate[field])
  end
  return table.concat(words, ' ')
end

-- Raises clock and version: max(previous + 1, ledger time).
local function touch(gate, now)
  gate.clock = now
  gate.version = math.max(gate.version + 1, now)
end

-- A pod's count only rises: a delayed batch with an older count must not lower it.
local function acknowledge(gate, pod, count, changes)
  if count > gate.ack then
    gate.acknowledged = gate.acknowledged + count - gate.ack
    changes.acknowledged = gate.acknowledged
    changes['ack:' .. pod] = count
  end
end

-- A publish that is refused, for example by an access rule, must not make the commit of stored votes fail.
local function publish(gate, ms, channel, label, changes)
  local sent = redis.pcall('PUBLISH', channel, label .. ' ' .. line(gate))
  if type(sent) == 'number' then
    gate.published = gate.version
    changes.published = gate.version
    changes.published_at = ms
  end
end
