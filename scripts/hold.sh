#!/usr/bin/env bash
# For a show: a minimum number of server pods, until it is released.
#
#   scripts/hold.sh PODS        this many; an autoscaler, if there is one, removes none, and may add some
#   scripts/hold.sh let-go      the autoscaler may remove pods again
#
# It detects whether KEDA, a HorizontalPodAutoscaler, or nothing scales. It sets `selectPolicy: Disabled` for
# scaling down. The files do not name that field, so no later apply undoes it. Existing pods are never removed: a
# smaller number than the current one only holds that.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=${1:-}
if [[ $# -ne 1 || ! $wanted =~ ^([1-9][0-9]{0,2}|let-go)$ ]]; then
  echo "usage: scripts/hold.sh PODS|let-go" >&2
  exit 2
fi
kubectl=$(scripts/kubectl.sh) || exit 2
name=tallycast-server

in_namespace() {
  "$kubectl" --namespace tallycast "$@"
}

# the value of a field, empty if there is none
field() {
  in_namespace get "$1" --ignore-not-found -o "jsonpath=$2"
}

# KEDA or a HorizontalPodAutoscaler: the object to edit, the path of its rules for scaling down, and its maximum
now=$(field "deployment/$name" '{.spec.replicas}')
if [[ -z $now ]]; then
  echo "there is no deployment/$name in the namespace tallycast of the context $("$kubectl" config current-context)" >&2
  exit 1
fi
scaler="" largest=""
# without KEDA its kind is unknown
if largest=$(field "scaledobject.keda.sh/$name" '{.spec.maxReplicaCount}' 2>/dev/null) && [[ -n $largest ]]; then
  scaler=scaledobject.keda.sh/$name
elif largest=$(field "hpa/$name" '{.spec.maxReplicas}') && [[ -n $largest ]]; then
  scaler=hpa/$name
fi

# set_policy POLICY: the autoscaler's policy for removing pods
set_policy() {
  local rules="{\"behavior\": {\"scaleDown\": {\"selectPolicy\": \"$1\"}}}"
  [[ $scaler == hpa/* ]] || rules="{\"advanced\": {\"horizontalPodAutoscalerConfig\": $rules}}"
  # a field manager of its own: Flux reverts changes of the field manager kubectl
  in_namespace patch "$scaler" --type=merge --field-manager=tallycast-hold --patch "{\"spec\": $rules}" >/dev/null
  # KEDA passes it on to a HorizontalPodAutoscaler that it makes
  if ! in_namespace wait "hpa/$name" "--for=jsonpath={.spec.behavior.scaleDown.selectPolicy}=$1" --timeout=30s >/dev/null; then
    echo "hpa/$name did not take it over within 30 s: does KEDA run, and is it not paused?" >&2
    exit 1
  fi
}

if [[ $wanted == let-go ]]; then
  if [[ -z $scaler ]]; then
    echo "nobody scales but you. Fewer pods: kubectl -n tallycast scale deployment/$name --replicas=3"
    exit 0
  fi
  set_policy Max
  echo "$scaler may take pods away again, one a minute, down to what the hall needs; now there are $now"
  exit 0
fi

if [[ -n $largest ]] && ((wanted > largest)); then
  echo "$wanted are more than $scaler allows, $largest, and it would take them away again. Nothing was changed." >&2
  echo "Raise its largest number in the overlay, and the quota with it: manifests/README.md says how far" >&2
  exit 1
fi
if [[ -n $scaler ]]; then
  set_policy Disabled
  echo "$scaler takes no pods away; up to $largest it may add some"
else
  echo "no autoscaler is there: nobody takes pods away, and nobody adds any"
fi
if ((now < wanted)); then
  in_namespace scale "deployment/$name" --replicas="$wanted"
else
  echo "$now pods are there already, and stay"
fi
status=0
if ! in_namespace rollout status "deployment/$name" --timeout=300s; then
  echo "not all pods are ready; the number is held all the same. Why: docs/cluster.md, When it does not work" >&2
  status=1
fi
echo "after the show: make let-go"
exit "$status"
