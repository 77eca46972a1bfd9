#!/usr/bin/env bash
# promote.sh [--commit] OVERLAY IMAGE DIGEST: puts this image into manifests/overlays/OVERLAY, by a pull request.
#
# With --commit by a commit on main, without a pull request: only for staging, and only forward. An image that is older
# than the deployed one changes nothing, because builds may end in another order than they began.
#
# Nothing is opened or pushed before the image could be pulled by its digest. With the variable CLUSTER, which holds a
# kubeconfig, the API server there validates everything first without storing it, and what it refuses is not
# promoted. The request lists the commits between the image that is deployed and this one, as their labels name them, and
# shows how the rendered manifests differ.
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() {
  echo "promote: $*" >&2
  exit 1
}

by_commit=""
if [[ ${1:-} == --commit ]]; then
  by_commit=yes
  shift
fi
overlay=${1:?which overlay}
image=${2:?which image}
digest=${3:?which digest}
[[ $overlay == staging || $overlay == production ]] || fail "there is no overlay $overlay to promote to"
[[ -z $by_commit || $overlay == staging ]] || fail "$overlay changes by pull request alone"
[[ $digest =~ ^sha256:[0-9a-f]{64}$ ]] || fail "$digest is no digest; write sha256: and 64 hexadecimal digits"
file=manifests/overlays/$overlay/kustomization.yaml
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for role in AUTHOR COMMITTER; do
  export "GIT_${role}_NAME=promote" "GIT_${role}_EMAIL=promote@users.noreply.github.com"
done

# revision_of IMAGE: the commit that it was built from; fails if it cannot be pulled
revision_of() {
  docker pull --quiet "$1" >/dev/null || return 1
  docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.revision"}}' "$1"
}

# The overlay's entry for the image: `field NAME` prints a field, `put` rewrites it. Other images stay as they are.
# shellcheck disable=SC2016 # the dollars are awk's
entry='/^[^ #-]/ { images = /^images:/; mine = 0 } images && /- name:/ { mine = $NF == "tallycast" }'
field() {
  awk -v key="$1:" "$entry"' mine && $1 == key { print $2; exit }' "$file"
}
put() {
  awk -v image="$image" -v digest="$digest" "$entry"'
    mine && $1 == "newName:" { sub(/newName:.*/, "newName: " image) }
    mine && ($1 == "newTag:" || $1 == "digest:") { sub(/(newTag|digest):.*/, "digest: " digest) }
    { print }' "$file" >"$work/overlay.yaml"
  cp "$work/overlay.yaml" "$file"
}

revision=$(revision_of "$image@$digest") || fail "$image@$digest cannot be pulled; nothing was opened"
git cat-file -e "$revision^{commit}" 2>/dev/null || fail "the image says it is of commit '$revision', which is not in this repository"

deployed=$(field digest)
if [[ $deployed == "$digest" ]]; then
  echo "$overlay has $digest already"
  exit 0
fi
if [[ -n $deployed ]]; then
  was=$(field newName)@$deployed
else
  was=$(field newName):$(field newTag)
fi

before=$(revision_of "$was") && git cat-file -e "$before^{commit}" 2>/dev/null || before=""
if [[ -n $by_commit && -n $before ]] && git merge-base --is-ancestor "$revision" "$before"; then
  echo "$overlay has a newer image already, of $before"
  exit 0
fi

{
  echo "Puts \`$image@$digest\` into \`$overlay\`. It was built from $revision and could be pulled."
  echo
  if [[ -n $before ]]; then
    if git merge-base --is-ancestor "$before" "$revision"; then
      echo "## Changes since $before"
      git log --no-merges --max-count=100 --format='- %h %s' "$before..$revision"
    else
      echo "## This goes back: changes that it takes away from $before"
      git log --no-merges --max-count=100 --format='- %h %s' "$revision..$before"
    fi
  else
    echo "## Changes"
    echo "Unknown: \`$was\`, which is deployed, cannot be pulled or does not say what it was built from."
  fi
} >"$work/body"
cp "$work/body" "$work/message"

kubectl kustomize "manifests/overlays/$overlay" >"$work/before.yaml"
put
kubectl kustomize "manifests/overlays/$overlay" >"$work/after.yaml"
grep -qF "$image@$digest" "$work/after.yaml" || fail "$file has no image that could be replaced"

# The server's dry run: validation, admission, and immutable fields. The ownership of fields does not matter here, because
# nothing is stored.
printf '\n## Dry run\n' >>"$work/body"
if [[ -n ${CLUSTER:-} ]]; then
  (umask 077 && printf '%s\n' "$CLUSTER" >"$work/kubeconfig")
  KUBECONFIG=$work/kubeconfig kubectl apply -k "manifests/overlays/$overlay" \
    --server-side --dry-run=server --force-conflicts --field-manager=promote >"$work/tried" ||
    fail "the cluster of $overlay refuses it; nothing was opened"
  echo "The cluster of $overlay would take all $(wc -l <"$work/tried") objects." >>"$work/body"
else
  echo "None: no cluster is known here. Set the secret KUBECONFIG of the environment $overlay for it." | tee -a "$work/body"
fi
{
  printf '\n## What would be applied\n```diff\n'
  # diff ends with 1 where there is a difference; a request's text has room for 65,536 characters
  # each part under the name of its object
  diff -U 2 -F "^  name: " "$work/before.yaml" "$work/after.yaml" | tail -n +3 | head -c 40000 || true
  printf '\n```\n'
} >>"$work/body"

title="$overlay: tallycast ${revision:0:12}"
if [[ -n $by_commit ]]; then
  git commit --quiet --message "$title" --message "$(<"$work/message")" -- "$file"
  for attempt in 1 2 3; do
    if git push --quiet origin HEAD:main; then
      echo "$overlay has $digest now"
      exit 0
    fi
    # somebody else was faster
    echo "push $attempt was refused; once more, on top of what is there"
    git pull --quiet --rebase origin main || fail "$file was changed by somebody else meanwhile"
  done
  fail "main takes no commit of this workflow: let it pass the branch's protection, or promote by pull request"
fi

branch=promote/$overlay-${digest:7:12}
git switch --quiet --create "$branch"
git commit --quiet --message "$title" -- "$file"
git push --quiet --force origin "$branch"
if [[ -n $(gh pr list --head "$branch" --state open --json number --jq '.[].number') ]]; then
  gh pr edit "$branch" --title "$title" --body-file "$work/body"
else
  gh pr create --base main --head "$branch" --title "$title" --body-file "$work/body"
fi
