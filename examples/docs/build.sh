#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Writes .br and .gz beside the pages, with whatever of brotli and gzip is here.  Optional: without
# them the pages are sent as they are.  Run it again after a change; an older form is never sent.
set -eu
cd "$(dirname "$0")/public"
for file in *.html *.css *.svg; do
    if command -v brotli >/dev/null; then brotli --force --best --no-copy-stat "$file"; fi
    if command -v gzip >/dev/null; then gzip --best --no-name <"$file" >"$file.gz"; fi
done
