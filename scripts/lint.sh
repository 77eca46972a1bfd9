#!/usr/bin/env bash
# Formatting, clippy, licences and sources, and the types of the pages' scripts.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/deps.sh
cargo fmt --all --check
cargo clippy --workspace --all-targets --quiet -- -D warnings
tests/browser/node_modules/.bin/tsc --project assets/jsconfig.json

if ! command -v cargo-deny >/dev/null; then
  echo "building cargo-deny, once"
  cargo install --locked --quiet cargo-deny@0.20.2
fi
# the advisory database is a git repository that not every machine reaches: DENY_ADVISORIES=1 asks for it too
checks=(licenses bans sources)
[[ ${DENY_ADVISORIES:-} == 1 ]] && checks+=(advisories)
cargo deny --log-level error check "${checks[@]}"
