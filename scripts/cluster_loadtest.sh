#!/usr/bin/env bash
# A load test in the cluster of the current context, from start to verdict.
#
#   scripts/cluster_loadtest.sh [evening|tenfold|disturbed]
#
# Starts the task (manifests/tasks), shows its log, and exits with its exit code (docs/loadtest.md), or with 1 if it could
# not run. An interrupt also ends the load test, which then removes its room. The finished Job of the last run is deleted,
# because a Job cannot be changed; its report stays.
#
# `disturbed`: when the log asks for it, one pod of the server and the ledger's are deleted, with the rights of the user
# of this script. The load test itself has none.
set -euo pipefail
cd "$(dirname "$0")/.."

variant=${1:-evening}
case $variant in
  evening) task=loadtest ;;
  tenfold | disturbed) task=loadtest-$variant ;;
  *)
    echo "usage: scripts/cluster_loadtest.sh [evening|tenfold|disturbed]" >&2
    exit 2
    ;;
esac
kubectl=$(scripts/kubectl.sh)
here=("$kubectl" --namespace tallycast)
job=tallycast-loadtest
# how often to look, and how long a pod may take to start: an image may have to be pulled, a node to be made
pause=${PAUSE:-2}
patience=${PATIENCE:-600}

echo "# $variant in the cluster of the context $("$kubectl" config current-context)"

active=$("${here[@]}" get job "$job" --ignore-not-found --output jsonpath='{.status.active}')
if [[ ${active:-0} != 0 ]]; then
  echo "a load test is running; its log: kubectl -n tallycast logs --follow job/$job" >&2
  exit 1
fi
# with its pod, which would be mistaken for the new one's
"${here[@]}" delete job "$job" --ignore-not-found --cascade=foreground
"$kubectl" apply --kustomize "manifests/tasks/$task" --selector app.kubernetes.io/component=loadtest

# shellcheck disable=SC2329 # called by the trap
end_it() {
  trap - INT TERM
  echo "# interrupted: the load test is ended, and removes its room" >&2
  "${here[@]}" delete job "$job" --ignore-not-found --wait=false
  exit 105
}
trap end_it INT TERM

# A field of the load test's pod; empty while there is none.
pod_says() {
  "${here[@]}" get pods --selector "batch.kubernetes.io/job-name=$job" --output jsonpath="{.items[0]$1}" 2>/dev/null || true
}

deadline=$((SECONDS + patience))
until [[ $(pod_says .status.phase) =~ Running|Succeeded|Failed ]]; do
  if ((SECONDS >= deadline)); then
    echo "its pod has not started within $patience s; see: kubectl -n tallycast describe job/$job" >&2
    exit 1
  fi
  sleep "$pause"
done
pod=$(pod_says .metadata.name)

# Both at once, and without waiting: the load test shows that no order is needed.
disturb() {
  local servers
  mapfile -t servers < <("${here[@]}" get pods --field-selector status.phase=Running --output name \
    --selector app.kubernetes.io/name=tallycast,app.kubernetes.io/component=server)
  "${here[@]}" delete --wait=false "${servers[0]:-pod/there-is-no-server}" pod/tallycast-redis-0 \
    || echo "# not everything could be deleted; the load test will say what it missed" >&2
}

# The log may be cut off while the load test runs: then it is read again, and printed from where it was.
shown=0 disturbed=""
exit_code() { pod_says '.status.containerStatuses[0].state.terminated.exitCode'; }
while true; do
  code=$(exit_code)
  number=0
  while IFS= read -r line; do
    number=$((number + 1))
    if ((number <= shown)); then
      continue
    fi
    shown=$number
    printf '%s\n' "$line"
    if [[ $line == DISTURB:* && $variant == disturbed && -z $disturbed ]]; then
      disturbed=yes
      disturb
    fi
  done < <("${here[@]}" logs --follow "$pod")
  # read before the last part of the log, so nothing of it is missing
  if [[ -n $code ]]; then
    break
  fi
  if [[ -z $(pod_says .metadata.name) ]]; then
    echo "its pod is gone, and nobody knows how it ended" >&2
    exit 1
  fi
  sleep "$pause"
done
exit "$code"
