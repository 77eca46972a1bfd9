#!/usr/bin/env bash
# Prometheus on this machine, with the rules that are shipped, until Ctrl-C. Data stays in target/prometheus.
# TARGETS: addresses of servers, localhost:8080 if not set. PORT: where Prometheus listens, 9091. DATA: another folder.
set -euo pipefail
cd "$(dirname "$0")/.."

read -ra targets <<< "${TARGETS:-localhost:8080}"
port=${PORT:-9091}
data=${DATA:-target/prometheus}

if ! command -v prometheus >/dev/null; then
  echo "prometheus is missing: apt-get install prometheus, or compose.yaml, which brings its own and Grafana too" >&2
  exit 1
fi

mkdir -p "$data"
{
  cat <<CONFIG
global:
  scrape_interval: 5s
  evaluation_interval: 5s
rule_files: ["$PWD/manifests/monitoring/rules/*.yml"]
scrape_configs:
  - job_name: tallycast
    static_configs:
CONFIG
  # the labels that a PodMonitor would give
  for target in "${targets[@]}"; do
    echo "      - {targets: [\"$target\"], labels: {namespace: local, pod: \"$target\", component: server}}"
  done
} > "$data/prometheus.yml"

echo "watching ${targets[*]}"
echo "Prometheus: http://localhost:$port  alerts: http://localhost:$port/alerts  (Ctrl-C ends it)"
exec prometheus --config.file="$data/prometheus.yml" --storage.tsdb.path="$data/data" --storage.tsdb.retention.time=7d \
  --web.listen-address="127.0.0.1:$port" --log.level=warn
