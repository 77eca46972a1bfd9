#!/usr/bin/env bash
# Runs every test, suite by suite, and prints how long each took. Ends at the first suite that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -a report=()
started=$SECONDS

# suite NAME COMMAND…
suite() {
  local name=$1 begin=$SECONDS
  shift
  echo
  echo "=== $name: $*"
  if ! "$@"; then
    echo
    echo "$name FAILED after $(minutes $((SECONDS - begin))) minutes"
    exit 1
  fi
  report+=("$(printf '%-10s %6s' "$name" "$(minutes $((SECONDS - begin)))")")
}

minutes() {
  awk -v seconds="$1" 'BEGIN { printf "%.1f", seconds / 60 }'
}

# tests that start many processes each run one after another
one_by_one() {
  local names=() name
  for name in "$@"; do names+=(--test "$name"); done
  cargo test --quiet "${names[@]}" -- --test-threads=1
}

browser() {
  TALLYCAST_BIN=$PWD/target/debug/tallycast npm --prefix tests/browser test
}

suite install scripts/deps.sh
suite build cargo build --workspace --tests --bins
suite guard cargo test --quiet --test guard
suite unit cargo test --quiet --lib
suite contract cargo test --quiet --test ledger_contract --test ledger_model --test redis_scripts
suite bench cargo test --quiet --package bench
suite api cargo test --quiet --test api
suite commands cargo test --quiet --test command_line
suite sockets cargo test --quiet --test sockets_raw
suite loadtest cargo test --quiet --package loadtest
suite evenings one_by_one evening
suite chaos one_by_one crashes races secrecy
suite operators one_by_one jobs drain failover nginx
suite delivery target/venv/bin/python tests/delivery/check.py
suite manifests target/venv/bin/python tests/manifests/check.py
suite monitoring target/venv/bin/python tests/monitoring/check.py
suite dashboards target/venv/bin/python tests/monitoring/dashboards.py
suite scaling one_by_one scaling
suite browser browser

echo
echo "minutes per suite"
printf '  %s\n' "${report[@]}"
printf '  %-10s %6s\n' all "$(minutes $((SECONDS - started)))"
