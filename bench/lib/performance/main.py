# SPDX-License-Identifier: Apache-2.0
"""bench/performance: Portico's cost beside other proxies'."""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from . import machine, report, special
from .cases import CASES
from .place import ROOT, in_place
from .proxies import FLOOR, PEERS, Contestant, portico
from .steady import Steady


def arguments():
    os.environ['PATH'] += ':/usr/sbin:/sbin'  # where Debian has some of the peers
    p = argparse.ArgumentParser(
        prog='bench/performance', formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Portico's CPU time and memory beside other proxies', in turns. See doc/performance.md.",
        epilog='cases:\n' + '\n'.join(f'  {case.name:12} {case.title}' for case in CASES.values()))
    p.add_argument('cases', nargs='*', default=[], help='default: all')
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--seconds', type=float, default=1.0, help='of each load')
    p.add_argument('--tries', type=int, default=3, help='of a run that other programs disturb; 1 takes it as it is')
    p.add_argument('--peers', default=','.join(one.name for one in (FLOOR, *PEERS)), help='separated by commas, or none')
    p.add_argument('--build', type=Path, default=ROOT / 'build', help='a release build of ours, and the tools')
    p.add_argument('--other', action='append', default=[], metavar='NAME=PROGRAM', help='another portico, beside it')
    p.add_argument('--report', type=Path, help='a directory: keep the runs of these cases, draw all that it has')
    p.add_argument('--draw', action='store_true', help='measure nothing, draw what --report has')
    p.add_argument('--proxy-cpu', type=int, default=0)
    p.add_argument('--load-cpu', type=int, default=1)
    a = p.parse_args()
    a.cases = [name for word in a.cases for name in word.split(',')] or list(CASES)
    for name in a.cases:
        if name not in CASES:
            p.error(f'there is no case {name}')
    a.peers = [] if a.peers == 'none' else a.peers.split(',')
    for name in a.peers:
        if name not in [one.name for one in (FLOOR, *PEERS)]:
            p.error(f'there is no peer {name}')
    absent = [name for name in a.peers if name != FLOOR.name and not shutil.which(name)]
    if absent:
        print(f"not installed, left out: {', '.join(absent)}", file=sys.stderr)
        a.peers = [name for name in a.peers if name not in absent]
    if a.draw and not a.report:
        p.error('--draw needs --report')
    return a


def said_by(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip().split('\n')[0]


def versions(peers):
    how = {'nginx': '-v', 'haproxy': '-v', 'h2o': '-v', 'nghttpx': '--version', 'h2load': '--version', 'openssl': 'version'}
    return {name: re.search(r'\d+(\.\d+)+', said_by([name, option]))[0]
            for name, option in how.items() if name in peers or name in ('h2load', 'openssl')}


def commit():
    """The last one that changed the program."""
    found = said_by(['git', '-C', str(ROOT), 'log', '-1', '--format=%h', '--', 'src'])
    if not re.fullmatch('[0-9a-f]+', found):
        return 'unknown'
    changed = said_by(['git', '-C', str(ROOT), 'status', '--porcelain', '--untracked-files=no', 'src'])
    return found + (' and changes' if changed else '')


def others(a):
    """All but ours: other builds of it, the floor, the peers."""
    builds = [one.split('=', 1) for one in a.other]
    return ([Contestant(name, 'build', portico(Path(program).resolve())) for name, program in builds]
            + [one for one in (FLOOR, *PEERS) if one.name in a.peers])


def run(a):
    with in_place(a) as place:
        cases = [CASES[name] for name in a.cases]
        steady = [case for case in cases if case.is_steady]
        program = a.build / 'src/bin/portico'
        contestants = [Contestant('portico', 'ours', portico(program)), *others(a)]
        rows = list(Steady(place, steady, contestants, a).run()) if steady else []
        for names, runner in special.RUNNERS.items():
            if any(name in names for name in a.cases):
                rows += runner(place, program, a, others(a))
    about = {'date': time.strftime('%Y-%m-%d'), 'commit': commit(), 'versions': versions(a.peers), **machine.described(),
             'command': 'bench/performance ' + ' '.join(map(shlex.quote, sys.argv[1:]))}
    return {case.name: {'about': about, 'rows': [row for row in rows if row['case'] == case.name]}
            for case in CASES.values() if any(row['case'] == case.name for row in rows)}


def main():
    a = arguments()
    runs = report.load(a.report) if a.report else {}
    measured = {} if a.draw else run(a)
    runs |= measured
    if a.report:
        report.keep(a.report, runs)
    print(report.table(measured or runs, runs))
    return 0
