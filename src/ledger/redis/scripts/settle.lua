-- Stores a pod's count of acknowledged slips, and publishes the gate if its newest version was not.
--
-- KEYS  gate
-- ARGV  pod, acknowledged, channel, label
-- reply the gate

local gate = load_gate(ARGV[1])
local changes = {}
acknowledge(gate, ARGV[1], tonumber(ARGV[2]), changes)
if gate.published ~= gate.version then
  publish(gate, server_ms(), ARGV[3], ARGV[4], changes)
end
save(changes)
return line(gate)
