#!/bin/sh
# Runs the manifests' nginx in front of several pods: the same configuration with another upstream.
#
#   nginx.sh NAME:PORT     a name that resolves to every running pod
#   RESOLVER=HOST:PORT     a name server other than the container's own
#
# A recreated pod has another address, and a stopped one has none. So nginx resolves the name while it runs, and caches it
# for a second at most. A variable makes every nginx do that; `server … resolve` needs 1.27.3.
set -eu

pods=${1:?which pods, as NAME:PORT}
# docker and podman have a name server for each network; some have IPv6 addresses
resolver=${RESOLVER:-$(awk '$1 == "nameserver" { print $2 ~ /:/ ? "[" $2 "]" : $2; exit }' /etc/resolv.conf)}

rm -rf /tmp/conf
cp -r /etc/tallycast/nginx /tmp/conf
{
  # without IPv6 no query for these names leaves the machine: a hall may have no internet
  echo "resolver $resolver valid=1s ipv6=off;"
  echo "resolver_timeout 2s;"
  echo "set \$pods $pods;"
  # A pod that drains or is full answers 503: another may have room. Requests that may have been executed are not repeated:
  # nginx repeats a POST or PATCH only if no connection was made. Pods are on this machine, and answer at once.
  sed -e "s|http://tallycast;|http://\$pods;|" \
    -e 's|proxy_next_upstream off;|proxy_next_upstream error timeout http_503;|' \
    -e 's|proxy_connect_timeout 3s;|proxy_connect_timeout 1s;|' \
    /etc/tallycast/nginx/site.conf
} >/tmp/conf/site.conf
exec nginx -c /tmp/conf/nginx.conf -e stderr
