#!/usr/bin/env bash
# package.sh TAG TARGET: packs the binaries of target/dist into packages/, after a check that their version is that of the tag.
# For Linux, debug information is a separate archive; macOS and Windows keep that out of programs anyway.
set -euo pipefail
cd "$(dirname "$0")/../.."

tag=${1:?which tag}
target=${2:?which target}
suffix=""
[[ $target == *windows* ]] && suffix=.exe

version=$("target/dist/tallycast$suffix" --version)
if [[ "v${version##* }" != "$tag" ]]; then
  echo "the tag is $tag, and the binary says $version: raise the version in Cargo.toml before tagging" >&2
  exit 1
fi

name=tallycast-${tag#v}-$target
rm -rf "packages/$name" "packages/$name-debuginfo"
mkdir -p "packages/$name"
cp "target/dist/tallycast$suffix" "target/dist/loadtest$suffix" README.md LICENSE CHANGELOG.md "packages/$name/"
cp -r config "packages/$name/"
mkdir "packages/$name/nginx"
cp manifests/base/nginx/*.conf "packages/$name/nginx/"
if [[ $target == *linux* ]]; then
  scripts/split_debuginfo.sh "packages/$name/tallycast" "packages/$name/loadtest"
  mkdir "packages/$name-debuginfo"
  mv "packages/$name"/*.debug "packages/$name-debuginfo/"
fi
cd packages
if [[ -d $name-debuginfo ]]; then
  tar --create --gzip --file "$name-debuginfo.tar.gz" "$name-debuginfo"
  rm -r "$name-debuginfo"
fi
if [[ -n $suffix ]]; then
  7z a -bso0 "$name.zip" "$name"
else
  tar --create --gzip --file "$name.tar.gz" "$name"
fi
rm -r "$name"
