#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check-limits.py PORTICO DOC: doc/limits.md is what `portico help limits` prints."""
import pathlib
import subprocess
import sys

printed = subprocess.run([sys.argv[1], "help", "limits"], capture_output=True, text=True, check=True)
if printed.stdout != pathlib.Path(sys.argv[2]).read_text():
    sys.exit("doc/limits.md is not what the tables say: build/portico help limits > doc/limits.md")
