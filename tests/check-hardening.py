#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fails when the built program lacks what makes a fault in it harder to use.

usage: check-hardening.py PROGRAM [fortified]"""
import re
import subprocess
import sys

program, kinds = sys.argv[1], sys.argv[2:]


def read(*options):
    return subprocess.run(["readelf", "-W", *options, program], check=True, capture_output=True,
                          text=True, env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"}).stdout


header, segments, dynamic = read("-h"), read("-l"), read("-d")
symbols = read("--dyn-syms")
# "LOAD 0x0 0x0 0x0 0x94 0x94 R E 0x1000": the flags stand between the sizes and the alignment
flags = [(kind, set(text.replace(" ", ""))) for kind, text in re.findall(
    r"^\s+([A-Z_]+)\s+(?:0x[0-9a-f]+\s+){5}([RWE ]{3})\s", segments, re.M)]
kinds_of = {kind for kind, _ in flags}
stack = [text for kind, text in flags if kind == "GNU_STACK"]
checks = {
    "segments were read": "LOAD" in kinds_of and len(flags) > 5,
    "position-independent (PIE)": "DYN" in header and re.search(r"FLAGS_1.*\bPIE\b", dynamic),
    "relocations read-only (RELRO)": "GNU_RELRO" in kinds_of,
    "bound at the start (BIND_NOW)": re.search(r"FLAGS_1.*\bNOW\b", dynamic),
    "no executable stack": stack and "E" not in stack[0],
    "no segment both writable and executable": not any({"W", "E"} <= text for _, text in flags),
    "no relocations in the text": "TEXTREL" not in dynamic,
    "no library path of its own": not re.search(r"\((RPATH|RUNPATH)\)", dynamic),
    "stack protector": "__stack_chk_fail" in symbols,
}
if "fortified" in kinds:
    checks["fortified calls"] = len(set(re.findall(r"\b__\w+_chk\b", symbols)) - {"__stack_chk_fail"}) > 2
if "X86-64" in header:
    # The note that says so is only made where the C library's start files have it, too.
    marks = open(program, "rb").read().count(b"\xf3\x0f\x1e\xfa")  # endbr64
    checks["targets of indirect branches are marked"] = marks > 100
for what, holds in checks.items():
    if not holds:
        print(f"{program}: not so: {what}")
sys.exit(0 if all(checks.values()) else 1)
