#!/usr/bin/env bash
# scan_image.sh IMAGE: fails if it has a known severe vulnerability that an update fixes.
set -euo pipefail

image=${1:?which image}
# as a container, so that no further action runs with this job's rights; it gets only the login for the registry
docker run --rm \
  --volume "${DOCKER_CONFIG:-$HOME/.docker}/config.json:/config/config.json:ro" --env DOCKER_CONFIG=/config \
  ghcr.io/anchore/grype:v0.120.1@sha256:e4a44ef45d285b829ce6efe2642980329661bd2d18eab5fc539138d4adaebbbe \
  "registry:$image" --only-fixed --fail-on high
