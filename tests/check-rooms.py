#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when a file under src/ includes a header of a room that tests/rooms.txt does not allow, or
when nothing needs what that allows."""
import pathlib
import re
import sys

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
allowed = {}
for line in (root / "tests/rooms.txt").read_text().splitlines():
    if line and not line.startswith("#"):
        room, _, rest = line.partition(":")
        allowed[room] = set(rest.split())

bad = seen = 0
unneeded = {(room, other) for room, others in allowed.items() for other in others}
for path in sorted((root / "src").rglob("*.[ch]")):
    room = path.relative_to(root / "src").parts[0]
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = re.match(r'\s*#\s*include\s+"(?:([^"/]+)/)?([^"]+)"', line)
        if not found:
            continue
        seen += 1
        if found[1] is None:
            print(f'{path}:{number}: include "{found[2]}" names no room; write "{room}/{found[2]}"')
        elif room not in allowed or found[1] not in allowed[room] | {room}:
            print(f"{path}:{number}: room {room} may not include from {found[1]} (tests/rooms.txt)")
        else:
            unneeded.discard((room, found[1]))
            continue
        bad += 1
for room, other in sorted(unneeded):
    print(f"tests/rooms.txt: room {room} includes nothing from {other}")
    bad += 1
if not seen:
    print("no include was found: the check looked in the wrong place")
sys.exit(1 if bad or not seen else 0)
