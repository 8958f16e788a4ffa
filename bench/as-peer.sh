#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Portico as a plain reverse proxy in front of one worker, to be measured beside others:
#
#   bench/as-peer.sh PORT CERT KEY BACKEND [h2c]
#
# PORT: https on 127.0.0.1; CERT, KEY: PEM files; BACKEND: 127.0.0.1:9000 or a unix socket's path.
# One loop, access log off, all in the foreground; SIGTERM ends it.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
port=$1 cert=$2 key=$3 backend=$4 flag=0
[ "${5:-}" = h2c ] && flag=1
case $backend in
/*) backend="unix:$backend" ;;
*) backend="tcp://$backend" ;;
esac
dir=$(mktemp -d "${TMPDIR:-/tmp}/portico-bench.XXXXXX")
chmod 755 "$dir"
cat > "$dir/portico.yaml" <<EOF
listen:
  https: 127.0.0.1:$port
loops: ${LOOPS:-1}
accessLog: "off"
apps:
  bench:
    upstreams: ["$backend"]
    hosts: [localhost, 127.0.0.1]
    http20Enabled: true
    http20ProxyFlag: $flag
    certificate: {chain: $cert, key: $key}
EOF
exec "${PORTICO:-$here/build/portico}" up --manifest "$dir/portico.yaml" --data "$dir/data"
