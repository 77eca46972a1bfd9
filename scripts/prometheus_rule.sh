#!/usr/bin/env bash
# Wraps the plain rule files as PrometheusRule objects, for prometheus-operator. Prints them; --write puts them where the
# manifests take them from. A rule file's text is the object's spec, two columns further in.
set -euo pipefail
cd "$(dirname "$0")/../manifests/monitoring"

wrap() {
  echo "# Made by scripts/prometheus_rule.sh from rules/. Change those and run it with --write."
  for name in recording alerts; do
    cat <<OBJECT
---
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: tallycast-$name
  labels:
    app.kubernetes.io/name: tallycast
spec:
OBJECT
    sed -e 's/^\(.\)/  \1/' "rules/$name.yml"
  done
}

if [[ ${1:-} == --write ]]; then
  wrap > prometheus-rule.yaml
else
  wrap
fi
