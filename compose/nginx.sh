#!/bin/sh
# Runs the manifests' nginx in front of several pods: the same configuration with another upstream.
#
#   nginx.sh HOST:PORT…
set -eu

rm -rf /tmp/conf
cp -r /etc/tallycast/nginx /tmp/conf
upstream=""
for pod in "$@"; do
  # one that does not answer is left out for ten seconds; in a pod of Kubernetes there is no other to turn to
  upstream="$upstream server $pod max_fails=2 fail_timeout=10s;"
done
sed -i "s/server 127.0.0.1:8080 max_fails=0;/$upstream/" /tmp/conf/nginx.conf
exec nginx -c /tmp/conf/nginx.conf -e stderr
