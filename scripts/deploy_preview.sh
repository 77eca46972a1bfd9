#!/usr/bin/env bash
# What applying an overlay would change.
#
#   [IMAGE=registry/name:tag] scripts/deploy_preview.sh OVERLAY [REF]
#
# IMAGE, with a tag or a digest, replaces the one in the overlay, for example in a fresh clone, where that is only an
# example. No file is changed: a later apply uses the overlay's own lines.
#
# With a cluster that answers: what would change there. Without one, or with a git ref: what changed in the rendered
# manifests since that ref, or since the last release. Without a release either: the list of all objects,
# which would be new. The first line says which of these it is.
# Exit code: 0 nothing would change, 1 something would, above 1 it is unknown.
set -euo pipefail
cd "$(dirname "$0")/.."

overlay=${1:-}
ref=${2:-}
if [[ ! -f manifests/overlays/$overlay/kustomization.yaml ]]; then
  echo "usage: scripts/deploy_preview.sh OVERLAY [REF], with OVERLAY one of: $(cd manifests/overlays && echo *)" >&2
  exit 2
fi
kubectl=$(scripts/kubectl.sh) || exit 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

shown=manifests/overlays/$overlay
if [[ -n ${IMAGE:-} ]]; then
  case ${IMAGE##*/} in
    *@sha256:*) version="digest: ${IMAGE##*@}" ;;
    *:*) version="newTag: \"${IMAGE##*:}\"" ;;
    *)
      echo "IMAGE=$IMAGE says no version: write registry/name:tag, or registry/name@sha256:…" >&2
      exit 2
      ;;
  esac
  new=${IMAGE%@*}
  [[ ${new##*/} != *:* ]] || new=${new%:*}
  # the name of the image in the overlay
  old=$(awk '/^[^ #-]/ { images = /^images:/; mine = 0 } images && /- name:/ { mine = $NF == "tallycast" }
    mine && $1 == "newName:" { print $2 }' "$shown/kustomization.yaml")
  mkdir "$folder/shown"
  # kustomize accepts only relative paths: up to the root from there, and down again
  up=$(cd "$folder/shown" && pwd -P | sed 's#/[^/]*#../#g')
  down=$(pwd -P)
  cat >"$folder/shown/kustomization.yaml" <<END
resources: ["$up${down#/}/$shown"]
images: [{name: "${old:-tallycast}", newName: "$new", $version}]
END
  shown=$folder/shown
fi

# a cluster that does not answer at once counts as none
if [[ -z $ref ]] && "$kubectl" version --request-timeout=5s >/dev/null 2>&1; then
  echo "# the cluster of the context $("$kubectl" config current-context), and what $overlay would change in it"
  status=0
  "$kubectl" diff -k "$shown" || status=$?
  exit "$status"
fi

if [[ -z $ref ]]; then
  ref=$(git describe --tags --abbrev=0 2>/dev/null) || ref=""
fi
if [[ -z $ref ]]; then
  rendered=$("$kubectl" kustomize "$shown") || exit 2
  echo "# no cluster answers and there is no release yet: all of $overlay would be new"
  awk '/^kind:/ { kind = $2 } /^[a-z]/ { here = /^metadata:/ } here && /^  name:/ { print "+ " kind " " $2 }' <<<"$rendered"
  awk '$1 == "image:" || ($1 == "-" && $2 == "image:") { print "# image " $NF }' <<<"$rendered" | sort -u
  echo "# to compare with an earlier state: make deploy-preview OVERLAY=$overlay REF=HEAD~1"
  exit 1
fi
if ! git rev-parse --quiet --verify "$ref^{commit}" >/dev/null; then
  echo "git knows no $ref" >&2
  exit 2
fi

mkdir "$folder/tree"
"$kubectl" kustomize "$shown" >"$folder/now.yaml" || exit 2
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
