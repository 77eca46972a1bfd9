#!/usr/bin/env bash
# Runs every test, suite by suite, and prints how long each took. Ends at the first suite that fails.
set -euo pipefail
cd "$(dirname "$0")/.."

report=$(mktemp)
trap 'rm -f "$report"' EXIT
started=$SECONDS

# suite NAME COMMAND…: runs it and records its duration
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
  printf '  %-10s %6s\n' "$name" "$(minutes $((SECONDS - begin)))" >>"$report"
}

minutes() {
  awk -v seconds="$1" 'BEGIN { printf "%.1f", seconds / 60 }'
}

# always the whole workspace: a part of it would be built again, with other features
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

# at_once FUNCTION FUNCTION: for suites that mostly wait. The output of the first is printed when both have ended.
at_once() {
  local output first failed=0
  output=$(mktemp)
  "$1" >"$output" 2>&1 &
  first=$!
  ("$2") || failed=1
  wait "$first" || failed=1
  cat "$output"
  rm "$output"
  ((failed == 0)) || exit 1
}

chaos() {
  suite chaos one_by_one crashes cut_off stalls races secrecy
}

operators() {
  suite operators one_by_one jobs drain failover nginx watching
}

dashboards() {
  suite dashboards target/venv/bin/python tests/monitoring/dashboards.py
}

scaling() {
  suite scaling one_by_one scaling
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
suite security named security
suite loadtest named bad_input runs floor
suite evenings one_by_one evening
at_once chaos operators
suite delivery target/venv/bin/python tests/delivery/check.py
suite manifests target/venv/bin/python tests/manifests/check.py
suite monitoring target/venv/bin/python tests/monitoring/check.py
suite alerting target/venv/bin/python tests/monitoring/alerting.py
at_once dashboards scaling
suite browser browser

echo
echo "minutes per suite"
cat "$report"
printf '  %-10s %6s\n' all "$(minutes $((SECONDS - started)))"
