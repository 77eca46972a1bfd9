#!/usr/bin/env bash
# What applying an overlay would change.
#
#   scripts/deploy_preview.sh OVERLAY [REF]
#
# With a cluster that answers: what would change there. Without one, or with a git ref given: what changed in the
# rendered manifests since that ref, or else since the last release. Without a release either: the list of all objects,
# which would be new. The first line says which of these it is.
# Exit code: 0 nothing would change, 1 something would, above 1 it could not be told.
set -euo pipefail
cd "$(dirname "$0")/.."

overlay=${1:-}
ref=${2:-}
if [[ ! -f manifests/overlays/$overlay/kustomization.yaml ]]; then
  echo "usage: scripts/deploy_preview.sh OVERLAY [REF], with OVERLAY one of: $(cd manifests/overlays && echo *)" >&2
  exit 2
fi
kubectl=$(scripts/kubectl.sh) || exit 2

# a cluster that does not answer at once is none
if [[ -z $ref ]] && "$kubectl" version --request-timeout=5s >/dev/null 2>&1; then
  echo "# the cluster of the context $("$kubectl" config current-context), and what $overlay would change in it"
  status=0
  "$kubectl" diff -k "manifests/overlays/$overlay" || status=$?
  exit "$status"
fi

if [[ -z $ref ]]; then
  ref=$(git describe --tags --abbrev=0 2>/dev/null) || ref=""
fi
if [[ -z $ref ]]; then
  rendered=$("$kubectl" kustomize "manifests/overlays/$overlay") || exit 2
  echo "# no cluster answers and there is no release yet: all of $overlay would be new"
  awk '/^kind:/ { kind = $2 } /^[a-z]/ { here = /^metadata:/ } here && /^  name:/ { print "+ " kind " " $2 }' <<<"$rendered"
  echo "# to compare with an earlier state: make deploy-preview OVERLAY=$overlay REF=HEAD~1"
  exit 1
fi
if ! git rev-parse --quiet --verify "$ref^{commit}" >/dev/null; then
  echo "git knows no $ref" >&2
  exit 2
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/tree"
"$kubectl" kustomize "manifests/overlays/$overlay" >"$folder/now.yaml" || exit 2
git archive "$ref" | tar -x -C "$folder/tree"
if [[ -d $folder/tree/manifests/overlays/$overlay ]]; then
  "$kubectl" kustomize "$folder/tree/manifests/overlays/$overlay" >"$folder/then.yaml" || exit 2
else
  : >"$folder/then.yaml"
fi
echo "# no cluster was asked: the manifests of $overlay as rendered at $ref and now"
status=0
diff -u --label "$ref" --label now "$folder/then.yaml" "$folder/now.yaml" || status=$?
((status)) || echo "# nothing changed"
exit "$status"
