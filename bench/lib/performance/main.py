# SPDX-License-Identifier: Apache-2.0
"""bench/performance: Portico's cost beside other proxies'."""

import argparse
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import machine, report
from .cases import CASES
from .proxies import FLOOR, PEERS, Contestant, Place, portico
from .steady import Steady

ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ('worker', 'connections', 'requests', 'floor')


def arguments():
    p = argparse.ArgumentParser(
        prog='bench/performance', formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Portico's CPU time and memory beside other proxies', in turns. See doc/performance.md.",
        epilog='cases:\n' + '\n'.join(f'  {case.name:12} {case.title}' for case in CASES.values()))
    p.add_argument('cases', nargs='*', default=[], help='default: all')
    p.add_argument('--rounds', type=int, default=5)
    p.add_argument('--seconds', type=float, default=1.0, help='of each load')
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
    if a.draw and not a.report:
        p.error('--draw needs --report')
    return a


def said_by(command, line=0):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip().split('\n')[line]


def versions():
    return {'nginx': said_by(['nginx', '-v']).rpartition('/')[2],
            'haproxy': said_by(['haproxy', '-v']).split()[2],
            'h2o': said_by(['h2o', '-v']).split()[-1],
            'nghttpx': said_by(['nghttpx', '--version']).rpartition('/')[2],
            'h2load': said_by(['h2load', '--version']).rpartition('/')[2],
            'OpenSSL': said_by(['openssl', 'version']).split()[1]}


def commit():
    found = said_by(['git', '-C', str(ROOT), 'rev-parse', '--short', 'HEAD'])
    changed = said_by(['git', '-C', str(ROOT), 'status', '--porcelain', '--untracked-files=no', 'src'])
    return found + (' and changes' if changed else '')


def contestants(a):
    ours = a.build / 'src/bin/portico'
    others = [one.split('=', 1) for one in a.other]
    return ([Contestant('portico', 'ours', portico(ours))]
            + [Contestant(name, 'build', portico(Path(program).resolve())) for name, program in others]
            + [one for one in (FLOOR, *PEERS) if one.name in a.peers])


def run(a, directory):
    place = Place(directory, {a.proxy_cpu}, {a.load_cpu}, a.build / 'bench')
    place.make_certificate()
    place.start_worker()
    try:
        cases = [CASES[name] for name in a.cases]
        rows = list(Steady(place, [case for case in cases if case.is_steady], contestants(a), a.rounds,
                           a.seconds).run())
    finally:
        machine.end(place.worker)
    about = {'date': time.strftime('%Y-%m-%d'), 'commit': commit(), 'versions': versions(), **machine.described(),
             'command': 'bench/performance ' + ' '.join(map(shlex.quote, sys.argv[1:]))}
    return {case.name: {'about': about, 'rows': [row for row in rows if row['case'] == case.name]}
            for case in cases if any(row['case'] == case.name for row in rows)}


def raise_descriptors(most=1 << 17):
    """As many as may be: beyond the hard limit only root can go, and not in every container."""
    for limit in (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
            return
        except (ValueError, OSError):
            continue


def stop(_number, _frame):
    raise SystemExit(130)  # what is running is ended on the way out


def main():
    a = arguments()
    runs = report.load(a.report) if a.report else {}
    if not a.draw:
        missing = [name for name in PROGRAMS if not (a.build / 'bench' / name).exists()]
        if missing or not (a.build / 'src/bin/portico').exists():
            print(f'{a.build} lacks {", ".join(missing) or "portico"}: make bench builds it', file=sys.stderr)
            return 2
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, stop)
        raise_descriptors()
        os.environ['PATH'] += ':/usr/sbin:/sbin'
        directory = Path(tempfile.mkdtemp(prefix='portico-performance-'))
        directory.chmod(0o755)  # proxies give up root
        try:
            runs |= run(a, directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    if a.report:
        report.keep(a.report, runs)
    print(report.table({name: runs[name] for name in a.cases if name in runs}, runs))
    return 0
