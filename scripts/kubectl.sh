#!/usr/bin/env bash
# Prints the path of a kubectl: the installed one, or a pinned one that is downloaded once. Fails if there is none; callers
# then report what they skip.
set -euo pipefail
cd "$(dirname "$0")/.."

version=v1.33.0
declare -A digests=(
  [linux-amd64]=9efe8d3facb23e1618cba36fb1c4e15ac9dc3ed5a2c2e18109e4a66b2bac12dc
  [linux-arm64]=48541d119455ac5bcc5043275ccda792371e0b112483aa0b29378439cf6322b9
)

if command -v kubectl; then
  exit 0
fi

tool=target/tools/kubectl-$version
if [[ -x $tool ]]; then
  echo "$PWD/$tool"
  exit 0
fi

case $(uname -sm) in
  "Linux x86_64") platform=linux-amd64 ;;
  "Linux aarch64") platform=linux-arm64 ;;
  *)
    echo "no kubectl is installed, and none is pinned for $(uname -sm): install one" >&2
    exit 1
    ;;
esac

mkdir -p target/tools
url=https://dl.k8s.io/release/$version/bin/${platform/-//}/kubectl
echo "fetching $url" >&2
if ! curl -fsSL --connect-timeout 10 --max-time 300 --output "$tool.part" "$url"; then
  echo "no kubectl is installed, and $url cannot be reached" >&2
  exit 1
fi
if ! echo "${digests[$platform]}  $tool.part" | sha256sum --check --quiet >&2; then
  rm "$tool.part"
  echo "$url is not what was pinned" >&2
  exit 1
fi
chmod +x "$tool.part"
mv "$tool.part" "$tool"
echo "$PWD/$tool"
