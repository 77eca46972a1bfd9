#!/usr/bin/env bash
# The pure parts by criterion, then everything side by side with the reference servers, in one run. Writes
# docs/performance.md and bench/constants.toml.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/deps.sh
# the server as it is shipped; the others only have to be fast enough
cargo build --profile dist --package tallycast --bin tallycast
cargo build --release --package bench --package loadtest
cargo bench --package tallycast --bench domain
# ahead of whatever else this session runs, where that is allowed
{ echo -15 > /proc/self/autogroup; } 2>/dev/null || true
target/release/bench run --full --write --loadtest target/release/loadtest "$@"
