#!/usr/bin/env bash
# Installs what the tests need beside Rust, Node, Python, make and apt. Skips what is installed already.
set -euo pipefail
cd "$(dirname "$0")/.."

# needs COMMAND [PACKAGE]: by default the package has the name of the command
missing=()
needs() {
  command -v "$1" >/dev/null || missing+=("${2:-$1}")
}
needs redis-server
needs nginx
needs prometheus
needs prometheus-alertmanager
needs openssl
needs systemd-analyze systemd
[[ -n ${CHROMIUM:-} ]] || needs chromium
# Debian has virtual environments in a separate package
python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
if ((${#missing[@]})); then
  echo "installing ${missing[*]}"
  sudo=""
  ((EUID == 0)) || sudo=sudo
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# By lock files; again only when one has changed. No package runs code of its own here, and each Python package has one of
# the hashes in its list.
for folder in tests/browser tests/delivery tests/manifests; do
  lock=$folder/package-lock.json
  stamp=$folder/node_modules/.installed
  [[ -e $lock ]] || continue
  if ! cmp -s "$lock" "$stamp"; then
    npm --prefix "$folder" ci --ignore-scripts --no-audit --no-fund --loglevel=error
    cp "$lock" "$stamp"
  fi
done

venv=target/venv
if ! cmp -s tests/requirements.txt "$venv/.installed"; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes --requirement tests/requirements.txt
  cp tests/requirements.txt "$venv/.installed"
fi
