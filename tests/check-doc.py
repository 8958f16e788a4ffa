#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""check-doc.py PORTICO TOPIC DOC: DOC is what `portico help TOPIC` prints."""
import pathlib
import subprocess
import sys

program, topic, doc = sys.argv[1:]
printed = subprocess.run([program, "help", topic], capture_output=True, text=True, check=True)
if printed.stdout != pathlib.Path(doc).read_text():
    sys.exit(f"{doc} is not what the tables say: build/portico help {topic} > doc/{topic}.md")
