#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Starts json-server on $PORT, as anyone would by hand.  What visitors change is kept beside no code:
# in $SHELF_DIR, or else in $HOME, where all instances share one file and follow each other's changes.
set -eu
cd "$(dirname "$0")"
where=${SHELF_DIR:-${HOME:-.}}
mkdir -p "$where"
if [ ! -e "$where/shelf.json" ]; then
    cp shelf.json "$where/.shelf.$$"
    ln "$where/.shelf.$$" "$where/shelf.json" 2>/dev/null || true # another instance was first
    rm -f "$where/.shelf.$$"
fi
exec node_modules/.bin/json-server --host 127.0.0.1 --port "${PORT:-3002}" --watch --quiet \
    "$where/shelf.json" </dev/null
