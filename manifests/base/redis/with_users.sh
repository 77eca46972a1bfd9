#!/bin/sh
# with_users.sh COMMAND…: runs a Redis server with the users of the *.acl files beside this script.
#
#   PASSWORDS   the folder of the passwords, a file for each user: redis-NAME. Every line of it is a password, so that a
#               new one can be added before the old one goes
#   USERS       the folder in which Redis' own file is made, with hashes of the passwords
set -euf

here=$(dirname "$0")
passwords=${PASSWORDS:-/run/secrets/tallycast}
made=${USERS:-/run/redis}/users.acl

# hashes FILE: as a user's passwords
hashes() {
  if ! grep -q . "$1" 2>/dev/null; then
    echo "with_users.sh: there is no password in $1" >&2
    exit 1
  fi
  while read -r password || [ -n "$password" ]; do
    [ -z "$password" ] || printf '#%s ' "$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)"
  done <"$1"
}

umask 077
set +f
cat "$here"/*.acl | awk '/^(#|$)/ { next } /^user / && seen++ { print "" } { printf "%s ", $0 } END { print "" }' >"$made.lines"
set -f
while read -r line; do
  for word in $line; do
    case $word in
      '#'*) hashes "$passwords/${word#?}" ;;
      *) printf '%s ' "$word" ;;
    esac
  done
  echo
done <"$made.lines" >"$made"
rm "$made.lines"

exec "$@" --aclfile "$made"
