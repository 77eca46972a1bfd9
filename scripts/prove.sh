#!/usr/bin/env bash
# The tests at full counts: the same code and seeds as `make test`, but more of them. Saves its output as evidence.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/deps.sh
mkdir -p docs/evidence
output=docs/evidence/prove.txt
{
  factor=${TALLYCAST_PROVE_FACTOR:-10}
  echo "commit $(git rev-parse --short HEAD), $(date -u +%F), $(nproc) cores, factor $factor"
  export TALLYCAST_PROVE_FACTOR=$factor
  PROPTEST_CASES=${PROPTEST_CASES:-4096} cargo test --quiet --lib
  cargo test --quiet --test ledger_model --test redis_scripts --test races --test crashes -- --test-threads=1
  # those that take a minute each
  cargo test --quiet --test sockets_raw -- --ignored --test-threads=1
} 2>&1 | tee "$output"
