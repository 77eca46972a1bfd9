#!/usr/bin/env bash
# Prints the name and labels of an image, as outputs of a step: image, version, created, epoch.
set -euo pipefail
cd "$(dirname "$0")/../.."

repository=${GITHUB_REPOSITORY:?}
epoch=$(git log -1 --format=%ct)
version=$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"$/\1/p' Cargo.toml)
# registries accept only lower case
echo "image=ghcr.io/${repository,,}"
echo "version=${version:?Cargo.toml has no version}"
echo "epoch=$epoch"
echo "created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)"
