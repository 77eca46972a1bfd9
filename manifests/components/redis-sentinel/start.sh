#!/bin/sh
# start.sh redis | sentinel: starts one of the two in a pod of the StatefulSet. Needs POD_NAME.
set -eu

nodes=tallycast-redis-sentinel-nodes
me=$POD_NAME.$nodes
# Sentinels keep what they know beside the data, so that it outlives them all.
memory=/data/sentinel.conf
passwords=/run/secrets/tallycast

# The primary: as the sentinels say; otherwise the last one that the sentinel of this pod knew; otherwise the first pod.
primary() {
  name=$(redis-cli -h tallycast-redis-sentinel -p 26379 sentinel get-master-addr-by-name tallycast 2>/dev/null | head -n 1) || true
  if [ -z "$name" ] && [ -s "$memory" ]; then
    name=$(awk '$1 == "sentinel" && $2 == "monitor" { print $4 }' "$memory")
  fi
  echo "${name:-tallycast-redis-sentinel-0.$nodes}"
}

case $1 in
  redis)
    # not as an argument, which others on the node can see
    (umask 077 && echo "masterauth $(head -n 1 "$passwords/redis-replica")" >/run/redis/replica.conf)
    set -- /etc/tallycast/redis/redis.conf --include /run/redis/replica.conf --masteruser replica \
      --replica-announce-ip "$me" --min-replicas-to-write 1 --min-replicas-max-lag 10
    first=$(primary)
    [ "$first" = "$me" ] || set -- "$@" --replicaof "$first" 6379
    exec sh /etc/tallycast/redis/with_users.sh redis-server "$@"
    ;;
  sentinel)
    if [ ! -s "$memory" ]; then
      cat >"$memory" <<END
port 26379
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $me
sentinel monitor tallycast $(primary) 6379 2
sentinel down-after-milliseconds tallycast 3000
sentinel failover-timeout tallycast 15000
sentinel parallel-syncs tallycast 1
END
    fi
    # Its login may be a newer one than the last time. Who asks a sentinel has no login: they may ask who the primary is,
    # and sentinels may talk to each other.
    (umask 077 && grep -v -e '^sentinel auth-' -e '^user ' "$memory" >"$memory.new")
    cat >>"$memory.new" <<END
sentinel auth-user tallycast sentinel
sentinel auth-pass tallycast $(head -n 1 "$passwords/redis-sentinel")
user default on nopass &* -@all +ping +info +role +subscribe +publish +client|setname +sentinel|get-master-addr-by-name +sentinel|is-master-down-by-addr
END
    mv "$memory.new" "$memory"
    exec redis-server "$memory" --sentinel
    ;;
esac
