#!/usr/bin/env bash
# pin_images.sh [--check]: names every image of others by tag and digest, as in redis:7.4-alpine@sha256:….
#
# Without --check it asks the registry of each for the digest that its tag has now, and writes it into the files. With
# --check it changes nothing, and fails if an image has no digest or its registry does not have that digest.
set -euo pipefail
cd "$(dirname "$0")/.."

shopt -s globstar
files=(Dockerfile compose.yaml .github/scripts/scan_image.sh manifests/**/*.yaml)
# NAME:TAG, perhaps with a digest, where an image is named; ours and those that a variable names are not meant
named='(^FROM |^# syntax=|image: |^  )\K[a-z0-9][a-z0-9./-]*:v?[0-9]+\.[0-9][A-Za-z0-9._-]*(@sha256:[0-9a-f]{64})?(?=$| )'
mapfile -t images < <(grep -hoP "$named" "${files[@]}" | grep -v '^tallycast:' | sort -u)
((${#images[@]})) || { echo "pin_images: no file names an image" >&2; exit 1; }

# digest_of IMAGE: as the registry has it now, of the list of its platforms
digest_of() {
  docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$1"
}

failed=0
for image in "${images[@]}"; do
  tag=${image%@*} digest=""
  [[ $image == *@* ]] && digest=${image#*@}
  if [[ ${1:-} == --check ]]; then
    if [[ -z $digest ]]; then
      echo "$image has no digest" >&2
      failed=1
    elif [[ $(digest_of "${tag%:*}@$digest") != "$digest" ]]; then
      echo "the registry does not have $image" >&2
      failed=1
    fi
    continue
  fi
  now=$(digest_of "$tag")
  [[ $now =~ ^sha256:[0-9a-f]{64}$ ]] || { echo "the registry gives no digest for $tag" >&2; exit 1; }
  [[ $now == "$digest" ]] && continue
  echo "$tag: ${digest:-no digest} is now $now"
  sed -i -E "s#(^|[^A-Za-z0-9./-])${tag//./\\.}(@sha256:[0-9a-f]{64})?( |\$)#\\1$tag@$now\\3#" "${files[@]}"
done
exit "$failed"
