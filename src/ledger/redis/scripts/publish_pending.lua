-- Stores a pod's count of acknowledged slips, and publishes the gate unless the version that the pod has committed or a
-- newer one was published already.
--
-- KEYS  gate
-- ARGV  pod, acknowledged, channel, label, the version that the pod has committed
-- reply the gate

local gate = load_gate(ARGV[1])
local changes = {}
acknowledge(gate, ARGV[1], tonumber(ARGV[2]), changes)
if gate.published < math.min(tonumber(ARGV[5]), gate.version) then
  publish(gate, server_ms(), ARGV[3], ARGV[4], changes)
end
save(changes)
return line(gate)
