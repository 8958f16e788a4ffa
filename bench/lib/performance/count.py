# SPDX-License-Identifier: Apache-2.0
"""bench/count: what a request takes of edge, counted rather than timed: system calls, allocations,
instructions.  All but the number of turns of the loop is the same on a busy machine.

Each count is the difference between a small load and a large one, so that start and handshakes do
not count.  System calls are the kernel's own count (perf's tracepoints), since under strace edge is so
slow that a turn of its loop gathers more requests; instructions and allocations are callgrind's."""

import argparse
import contextlib
import os
import re
import select
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

from . import machine
from .callgrind import Profile
from .cases import CASES
from .machine import Failed
from .place import ROOT, in_place
from .proxies import FLOOR, PEERS, Contestant, edge_of, portico, started
from .special import SOCKETS, held, talked
from .steady import run_load as run_steady

# case: requests of the small load and of the large one, for callgrind; so many in the small one that as much is under
# way as ever will be: handshakes are spread over turns
LOADS = {'a': (8000, 24000), 'a-unix': (8000, 24000), 'a-h2c': (8000, 24000), 'b': (2000, 8000), 'e': (2000, 8000),
         'c': (480, 960), 'd': (4, 12), 'f': (8, 88), 'r': (8, 88), 'ws': (200, 4000)}
CALLS = ('epoll_wait', 'epoll_pwait2', 'epoll_ctl', 'recvfrom', 'recvmsg', 'read', 'readv', 'sendto', 'sendmsg',
         'write', 'writev', 'accept4', 'socket', 'connect', 'shutdown', 'close', 'getsockopt', 'setsockopt',
         'getsockname', 'getpeername', 'fcntl', 'ioctl', 'splice', 'futex', 'mmap', 'munmap', 'madvise', 'brk')
BODIES = {'c': 100 << 10, 'd': 10 << 20}  # octets
PATIENCE_S = 30
FACTOR = 10  # of both, for system calls
FEWER_CONNECTIONS = {'d': 2}  # where all would be too much under valgrind


def run_load(place, case, port, count):
    if case.name != 'ws':
        run_steady(place, case, port, count)
        return
    with held(place, 'socket', port, SOCKETS) as talker:
        talked(talker, count // (2 * SOCKETS))


def system_calls(place, contestant, case, loads):
    """Counter of calls a request: edge's, or all of a peer's processes'."""
    with started(place, contestant, case) as (process, port):
        pids = [edge_of(process.pid)] if contestant.kind == 'ours' else machine.tree(process.pid)
        run_load(place, case, port, loads[0])
        small, large = (calls_during(place, pids, lambda: run_load(place, case, port, requests)) for requests in loads)
    return Counter({name: (large[name] - small[name]) / (loads[1] - loads[0]) for name in large})


def calls_during(place, pids, load):
    out = place.directory / 'perf'
    events = ['raw_syscalls:sys_enter', *(f'syscalls:sys_enter_{call}' for call in CALLS)]
    with perf_control(place.directory) as (names, control, answers):
        perf = machine.spawn(['perf', 'stat', '-x,', '-o', out, '-e', ','.join(events), '-p', ','.join(map(str, pids)),
                              '--delay=-1', f'--control=fifo:{names}'], place.load_cpus, stderr=subprocess.PIPE, text=True)
        try:
            obey(perf, control, answers, 'enable')
            load()
            obey(perf, control, answers, 'disable')
            perf.send_signal(signal.SIGINT)  # SIGTERM would end it without a word
            perf.wait(PATIENCE_S)
        finally:
            machine.end(perf)
    return read_perf(out)


@contextlib.contextmanager
def perf_control(directory):
    """Two pipes by which perf is told when to count, and says that it does."""
    both = directory / 'perf.control', directory / 'perf.answers'
    for fifo in both:
        os.mkfifo(fifo)
    ends = [os.open(fifo, os.O_RDWR) for fifo in both]  # perf keeps both open, too: no end is ever seen
    try:
        yield ','.join(map(str, both)), *ends
    finally:
        for fifo, fd in zip(both, ends):
            os.close(fd)
            fifo.unlink()


def obey(perf, control, answers, word):
    os.write(control, f'{word}\n'.encode())
    while perf.poll() is None:
        if select.select([answers], [], [], 0.5)[0]:
            os.read(answers, 16)
            return
    raise Failed(f'perf: {perf.stderr.read()}')


def read_perf(out):
    """Counter by call; all that have no name here are "other"."""
    found, total = Counter(), 0
    for line in out.read_text().split('\n'):
        fields = line.split(',')
        if len(fields) > 2 and fields[0].isdigit():
            if fields[2] == 'raw_syscalls:sys_enter':
                total = int(fields[0])
            else:
                found[fields[2].removeprefix('syscalls:sys_enter_')] = int(fields[0])
    found['other'] = total - sum(found.values())
    return found


def instructions(place, contestant, case, loads, keep):
    """(instructions by part, by function, allocations by part): Counters, a request."""
    profiles = []
    for requests in loads:
        out = place.directory / f'callgrind.{case.name}.{requests}'
        os.environ['EDGE_UNDER'] = f'/usr/bin/valgrind --tool=callgrind --vgdb=no --callgrind-out-file={out}'
        os.environ['LD_PRELOAD'] = str(place.tools / 'under.so')
        try:
            with started(place, contestant, case, patience_s=60) as (_process, port):
                run_load(place, case, port, requests)
        finally:
            del os.environ['EDGE_UNDER'], os.environ['LD_PRELOAD']
        profiles.append(Profile(out))
        if keep:
            keep.mkdir(parents=True, exist_ok=True)
            (keep / out.name).write_bytes(out.read_bytes())
    small, large = profiles
    per = loads[1] - loads[0]

    def a_request(of_large, of_small):
        return Counter({key: (of_large[key] - of_small[key]) / per for key in of_large})

    return (a_request(large.instructions, small.instructions), a_request(large.functions, small.functions),
            a_request(large.allocations, small.allocations))


def calls_cells(calls):
    named = ', '.join(f'{name} {n:.2f}' for name, n in calls.most_common(6) if n >= 0.005)
    return f'{sum(calls.values()):.2f} | {named}'


def print_peers(place, names, contestants):
    print('| case | | system calls | of them |\n|---|---|---|---|')
    for name in names:
        for contestant in contestants:
            if contestant.has(CASES[name]):
                calls = system_calls(place, contestant, case_of(name), [FACTOR * n for n in LOADS[name]])
                print(f'| {name} | {contestant.name} | {calls_cells(calls)} |', flush=True)


def case_of(name):
    return replace(CASES[name], connections=FEWER_CONNECTIONS.get(name, CASES[name].connections))


def copies(row):
    """How often each octet of the body is copied: valgrind counts an instruction for each that `rep movsb`
    moves, which is what libc copies large pieces with."""
    body = BODIES.get(row['case'])
    if not body:
        return ''
    moved = sum(n for function, n in row['functions'].items() if re.search('memcpy|memmove', function))
    return f'{moved / body:.1f}'


def table(rows):
    parts = sorted({part for row in rows for part in row['parts']},
                   key=lambda part: -sum(row['parts'][part] for row in rows))
    parts = [part for part in parts if any(row['parts'][part] >= 20 for row in rows)]
    headings = ['case', 'system calls', 'of them', 'allocations', 'not by OpenSSL', 'copies of the body', 'instructions',
                'without OpenSSL', *parts]
    lines = ['| ' + ' | '.join(headings) + ' |', '|---' * len(headings) + '|']
    for row in rows:
        total, allocations = sum(row['parts'].values()), sum(row['allocations'].values())
        lines.append(f"| {row['case']} | {calls_cells(row['calls'])} | {allocations:.2f} | "
                     f"{allocations - row['allocations']['OpenSSL']:.2f} | {copies(row)} | "
                     f"{total:,.0f} | {total - row['parts']['OpenSSL']:,.0f} | "
                     + ' | '.join(f"{row['parts'][part]:,.0f}" for part in parts) + ' |')
    return '\n'.join(lines)


def main():
    p = argparse.ArgumentParser(prog='bench/count', description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('cases', nargs='*', default=[], help=f"default: a b c e d; of: {' '.join(LOADS)}")
    p.add_argument('--build', type=Path, default=ROOT / 'build', help='a release build of ours, and the tools')
    p.add_argument('--program', type=Path, help="another portico than the build's")
    p.add_argument('--peers', action='store_true', help="only system calls, the peers' and the floor's, too")
    p.add_argument('--functions', type=int, default=0, metavar='N', help='the N functions with most instructions, too')
    p.add_argument('--keep', type=Path, help="a directory for callgrind's files")
    p.add_argument('--proxy-cpu', type=int, default=0)
    p.add_argument('--load-cpu', type=int, default=1)
    a = p.parse_args()
    a.cases = a.cases or ['a', 'b', 'c', 'e', 'd']
    for name in a.cases:
        if name not in LOADS:
            p.error(f'{name} is not counted')
    contestant = Contestant('portico', 'ours', portico((a.program or a.build / 'src/bin/portico').resolve()))
    rows = []
    with in_place(a) as place:
        place.directory.chmod(0o1777)  # callgrind writes as edge's user
        if a.peers:
            print_peers(place, a.cases, [contestant, FLOOR, *PEERS])
            return 0
        for name in a.cases:
            case, loads = case_of(name), LOADS[name]
            calls = system_calls(place, contestant, case, [FACTOR * n for n in loads])
            parts, functions, allocations = instructions(place, contestant, case, loads, a.keep)
            rows.append({'case': name, 'calls': calls, 'parts': parts, 'functions': functions, 'allocations': allocations})
            print(f'{name}: done', file=sys.stderr)
            if a.functions:
                print(f'\n{name}: instructions a request')
                for function, n in functions.most_common(a.functions):
                    print(f'  {n:10,.0f}  {function}')
    print('A request:\n\n' + table(rows))
    return 0
