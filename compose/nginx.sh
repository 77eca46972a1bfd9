#!/bin/sh
# Runs the manifests' nginx in front of several pods: the same configuration with another way to the processes behind it.
#
#   nginx.sh NAME:PORT     a name that leads to every pod that runs
#   RESOLVER=HOST:PORT     a name server other than the container's own
#
# A pod that is made anew has another address, and one that was stopped has none. So nginx looks the name up while it
# runs, and what it knows is a second old at most. A variable makes every nginx do that; `server … resolve` needs 1.27.3.
set -eu

pods=${1:?which pods, as NAME:PORT}
# docker and podman give each network a name server of its own; some wear IPv6
resolver=${RESOLVER:-$(awk '$1 == "nameserver" { print $2 ~ /:/ ? "[" $2 "]" : $2; exit }' /etc/resolv.conf)}

rm -rf /tmp/conf
cp -r /etc/tallycast/nginx /tmp/conf
{
  # without IPv6 no question about these names leaves the machine: a hall may have no internet
  echo "resolver $resolver valid=1s ipv6=off;"
  echo "resolver_timeout 2s;"
  echo "set \$pods $pods;"
  # A pod that says goodbye or is full answers 503: another may have room. Nothing is asked twice that may have been done:
  # nginx repeats a POST or PATCH only where no connection came about. Pods are on this machine, and answer at once.
  sed -e "s|http://tallycast;|http://\$pods;|" \
    -e 's|proxy_next_upstream off;|proxy_next_upstream error timeout http_503;|' \
    -e 's|proxy_connect_timeout 3s;|proxy_connect_timeout 1s;|' \
    /etc/tallycast/nginx/site.conf
} >/tmp/conf/site.conf
exec nginx -c /tmp/conf/nginx.conf -e stderr
