#!/usr/bin/env bash
# A private certificate authority and a certificate signed by it, to try TLS: certs/{ca.crt,tls.crt,tls.key}.
#
#   scripts/certs.sh [NAME…]     further DNS names or IP addresses; CERTS=DIR puts the files elsewhere
#
# Run again, it changes nothing while the certificate has all names and is valid for a week; the authority always stays,
# so that clients that trust it need no change.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${CERTS:-certs}
names=(localhost tallycast.local '*.tallycast.local' 127.0.0.1 ::1
  tallycast-server tallycast-server.tallycast tallycast-server.tallycast.svc
  tallycast-admin tallycast-admin.tallycast tallycast-admin.tallycast.svc "$@")
week=604800

umask 077
mkdir -p "$folder"

san=""
for name in "${names[@]}"; do
  kind=DNS
  [[ $name =~ ^[0-9.]+$ || $name == *:* ]] && kind=IP
  san+="${san:+,}$kind:$name"
done

# true if the certificate in this file is valid for another week
lasts() {
  [[ -s $1 ]] && openssl x509 -in "$1" -noout -checkend "$week" >/dev/null
}

if ! lasts "$folder/ca.crt" || [[ ! -s $folder/ca.key ]]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 3650 \
    -keyout "$folder/ca.key" -out "$folder/ca.crt" -subj "/CN=Tallycast, made on this machine" \
    -addext basicConstraints=critical,CA:TRUE,pathlen:0 -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null
  rm -f "$folder/tls.crt"
fi
# it is not a secret, and a container that checks the stack reads it as another user
chmod 644 "$folder/ca.crt"

if lasts "$folder/tls.crt" && [[ -s $folder/tls.key && $(cat "$folder/.names" 2>/dev/null) == "$san" ]]; then
  echo "$folder/tls.crt is there and has all names"
  exit 0
fi

# 397 days: browsers accept no longer ones
openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -subj /CN=tallycast \
  -keyout "$folder/tls.key" -out "$folder/tls.csr" 2>/dev/null
openssl x509 -req -in "$folder/tls.csr" -CA "$folder/ca.crt" -CAkey "$folder/ca.key" -CAcreateserial -sha256 -days 397 \
  -out "$folder/tls.crt" -extfile <(printf '%s\n' "subjectAltName=$san" basicConstraints=critical,CA:FALSE \
    keyUsage=critical,digitalSignature extendedKeyUsage=serverAuth) 2>/dev/null
rm "$folder/tls.csr"
printf '%s' "$san" >"$folder/.names"
echo "made $folder/tls.crt and $folder/tls.key for ${names[*]}"
echo "clients that trust them need $folder/ca.crt"
