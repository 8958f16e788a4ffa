#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The wall clock may jump: it is for what people read (dates, log lines, certificates), never for a
limit.  Fails when a file reads it that is not listed here with its reason."""
import pathlib
import re
import sys

ALLOWED = {
    "base/clock.c": "where it is read",
    "base/log.c": "the stamp of a log line",
    "edge/shard.c": "Date fields and the access log's stamps",
    "control/admin.c": "the Date field",
    "authority/authority.c": "validity of certificates",
    "static/transfer.c": "Date, and whether a file was written just now",
}
READS = re.compile(r"clock_wall_us\s*\(|CLOCK_REALTIME|gettimeofday\s*\(|(?<![\w.>])time\s*\((?:NULL|&)")

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".") / "src"
bad, seen = 0, set()
for path in sorted(root.rglob("*.c")):
    name = str(path.relative_to(root))
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not READS.search(line):
            continue
        seen.add(name)
        if name not in ALLOWED:
            print(f"{path}:{number}: reads the wall clock; limits go by clock_mono_us, the loop's "
                  "now or a timerfd (tests/check-clock.py)")
            bad += 1
for name in sorted(set(ALLOWED) - seen):
    print(f"{name} is allowed to read the wall clock and does not: take it from the list")
    bad += 1
sys.exit(1 if bad else 0)
