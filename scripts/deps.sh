#!/usr/bin/env bash
# Installs what the tests need beside Rust, Node, Python, make and apt. Does nothing where it is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
command -v nginx >/dev/null || missing+=(nginx)
command -v chromium >/dev/null || missing+=(chromium)
if ((${#missing[@]})); then
  echo "installing ${missing[*]}"
  sudo=""
  ((EUID == 0)) || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# by lock file; again only when that has changed
lock=tests/browser/package-lock.json
stamp=tests/browser/node_modules/.installed
if ! cmp -s "$lock" "$stamp"; then
  npm --prefix tests/browser ci --no-audit --no-fund --loglevel=error
  cp "$lock" "$stamp"
fi
