#!/usr/bin/env bash
# New secrets for an installation, a file each, in secrets/: for compose.yaml, or for a Secret of Kubernetes. What is there
# already stays as it is. The file webhook-url is empty: put a chat's incoming webhook into it if results shall be posted.
#
#   SECRETS=DIR puts the files elsewhere
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${SECRETS:-secrets}
mkdir -p "$folder"
# Nobody else gets into the folder. Within it the files are readable, because containers read them as other users.
chmod 700 "$folder"
umask 022

# generate NAME COMMAND…: what the command prints, unless it is there
generate() {
  local file=$folder/$1
  shift
  [[ -s $file ]] || "$@" >"$file"
}

# signs tokens and cookies
generate server-secret openssl rand -hex 32
# what the emcee signs in with
generate emcee-key openssl rand -base64 18
# passwords of the users of Redis: manifests/base/redis/users.acl, and replication.acl of the component redis-sentinel
for user in tallycast audience monitor replica sentinel; do
  generate "redis-$user" openssl rand -hex 24
done
# of the user admin of Grafana, in compose.yaml
generate grafana-password openssl rand -hex 12
[[ -e $folder/webhook-url ]] || : >"$folder/webhook-url"

echo "$folder has: $(cd "$folder" && echo *)"
