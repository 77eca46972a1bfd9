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

# always the whole workspace: a part of it would be built once more, with features of its own
tests() {
  cargo test --quiet --workspace "$@"
}

named() {
  local names=() name
  for name in "$@"; do names+=(--test "$name"); done
  tests "${names[@]}"
}

# tests that start many processes each run one after another
one_by_one() {
  RUST_TEST_THREADS=1 named "$@"
}

browser() {
  TALLYCAST_BIN=$PWD/target/debug/tallycast npm --prefix tests/browser test
}

suite install scripts/deps.sh
suite build cargo build --workspace --tests --bins
suite guard named guard
suite unit tests --lib --bins
suite contract named ledger_contract ledger_model redis_scripts
suite api named api
suite commands named command_line
suite sockets named sockets_raw
suite loadtest named bad_input runs floor
suite evenings one_by_one evening
suite chaos one_by_one crashes cut_off stalls races secrecy
suite operators one_by_one jobs drain failover nginx watching
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
