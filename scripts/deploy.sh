#!/usr/bin/env bash
# Applies an overlay, and leaves the number of server pods to its owner: `kubectl scale`, or an autoscaler.
#
#   scripts/deploy.sh OVERLAY
#
# First a dry run on the server, which changes nothing: a refusal ends the script. Then everything is applied server-side. A
# field that somebody has changed by hand is a conflict: it is named, and nothing is applied; FORCE=1 overwrites it. A
# Deployment without a number begins with one pod, so a first installation is scaled at once to the number in its
# annotation tallycast/first-pods. An existing one keeps its number.
set -euo pipefail
cd "$(dirname "$0")/.."

overlay=${1:-}
if [[ ! -f manifests/overlays/$overlay/kustomization.yaml ]]; then
  echo "usage: scripts/deploy.sh OVERLAY, with OVERLAY one of: $(cd manifests/overlays && echo *)" >&2
  exit 2
fi
kubectl=$(scripts/kubectl.sh) || exit 2
server=deployment/tallycast-server
apply=("$kubectl" apply --server-side -k "manifests/overlays/$overlay")
[[ -z ${FORCE:-} ]] || apply+=(--force-conflicts)

in_namespace() {
  "$kubectl" --namespace tallycast "$@"
}

# Older files had a number. Applying files without it would give up its ownership, and a number without an owner becomes
# 1: so it is removed from the last-applied fields before the files are applied.
forget_number() {
  local template patch="" index manager
  # shellcheck disable=SC2016  # the $ are the template's
  template='{{range $index, $entry := .metadata.managedFields}}{{if ne (print $entry.subresource) "scale"}}
    {{- with index $entry.fieldsV1 "f:spec"}}{{range $field, $_ := .}}{{if eq $field "f:replicas"}}
    {{- $index}} {{$entry.manager}}{{"\n"}}{{end}}{{end}}{{end}}{{end}}{{end}}'
  while read -r index manager; do
    local at=/metadata/managedFields/$index
    patch+=",{\"op\": \"test\", \"path\": \"$at/manager\", \"value\": \"$manager\"}"
    patch+=",{\"op\": \"remove\", \"path\": \"$at/fieldsV1/f:spec/f:replicas\"}"
  done < <(in_namespace get "$server" -o "go-template=$template")
  [[ -z $patch ]] || in_namespace patch "$server" --type=json --patch "[${patch:1}]" >/dev/null
}

echo "# $overlay, to the cluster of the context $("$kubectl" config current-context)"
if [[ -z $("$kubectl" get namespace/tallycast --ignore-not-found -o name) ]]; then
  "$kubectl" apply --server-side -f manifests/base/namespace.yaml
fi
if ! "${apply[@]}" --dry-run=server >/dev/null; then
  echo "the cluster refuses it; nothing was applied" >&2
  exit 1
fi

if [[ -n $(in_namespace get "$server" --ignore-not-found -o name) ]]; then
  forget_number
  "${apply[@]}"
else
  # KEDA reads the Deployment when a ScaledObject is created, and may not know yet that it exists
  "${apply[@]}" || { echo "once more, in 5 s" >&2 && sleep 5 && "${apply[@]}"; }
  first=$(in_namespace get "$server" -o 'jsonpath={.metadata.annotations.tallycast/first-pods}')
  in_namespace scale "$server" --replicas="$first"
fi

for name in server admin worker; do
  in_namespace rollout status "deployment/tallycast-$name" --timeout=600s
done
