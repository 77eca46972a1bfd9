#!/bin/sh
# ask.sh USER COMMAND…: redis-cli as one of the users of users.acl. Fails if Redis answers with an error.
set -eu
user=$1
shift
REDISCLI_AUTH=$(head -n 1 "${PASSWORDS:-/run/secrets/tallycast}/redis-$user")
export REDISCLI_AUTH
exec redis-cli -e --user "$user" "$@"
