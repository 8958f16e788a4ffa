# SPDX-License-Identifier: Apache-2.0
"""The steady cases: a load is run, and what the proxy spent on it is read off.

A round starts every contestant afresh and runs each case once, so that they meet the same machine.
A load is preceded by one of a single request a connection, whose CPU time and requests are taken off:
so handshakes do not count where they are not what is measured."""

import re
import subprocess
import sys
import time

from . import machine
from .cases import H2LOAD
from .machine import Failed
from .proxies import started

IDLE_CONNECTIONS = 2000
DISTURBED = 0.1  # share of the time that others may have
PROBE_REQUESTS = {'/1k': 3000, '/100k': 600, '/10m': 8}
PATIENCE_S = 60


def run_h2load(place, case, port, count):
    """(answered, seconds)"""
    command = [*H2LOAD, *(['--h1'] if case.is_http1 else []), f'-c{case.connections}', f'-m{case.streams}',
               f'-n{count}', f'https://127.0.0.1:{port}{case.path}']
    said = machine.spawn(command, place.load_cpus, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        out, _ = said.communicate(timeout=PATIENCE_S)
    finally:
        machine.end(said)
    answered = re.search(r'^status codes: (\d+) 2xx', out, re.M)
    finished = re.search(r'^finished in ([\d.]+)(us|ms|s)', out, re.M)
    if not answered or not finished or 'Cipher: TLS_AES_128_GCM_SHA256' not in out:
        raise Failed(f'h2load said:\n{out}')
    return int(answered[1]), float(finished[1]) * {'us': 1e-6, 'ms': 1e-3, 's': 1}[finished[2]]


def run_connections(place, mode, port, count):
    """(answered, seconds, resumed)"""
    start = time.monotonic()
    said = machine.spawn([place.tools / 'connections', mode, port, count], place.load_cpus,
                         stdout=subprocess.PIPE, text=True)
    try:
        out, _ = said.communicate(timeout=PATIENCE_S)
    finally:
        machine.end(said)
    _done, good, resumed = out.split()
    return int(good), time.monotonic() - start, int(resumed)


def run_load(place, case, port, count):
    """(answered, seconds) or, of connections, (answered, seconds, resumed)"""
    found = (run_h2load(place, case, port, count) if case.load == 'h2load'
             else run_connections(place, case.load, port, count))
    if found[0] != count:
        print(f'  note: {found[0]} of {count} were answered in case {case.name}', file=sys.stderr)
    return found


def watched(place, process, load):
    """{answered, seconds, cpu_s, other_s, wall_s} of one load(), and what else it tells."""
    watch = machine.Watch(process.pid, [place.worker.pid])
    answered, seconds, *resumed = load()
    time.sleep(0.05)  # what is closed late counts, too
    return {'answered': answered, 'seconds': seconds, **watch.stop(), **({'resumed': resumed[0]} if resumed else {})}


def undisturbed(measure, tries):
    """The first of measure() that nobody disturbed, else the least disturbed of them."""
    rows = []
    while len(rows) < tries:
        if tries > 1:
            machine.wait_quiet()
        rows.append(measure())
        if rows[-1]['other_s'] <= DISTURBED * rows[-1]['wall_s']:
            break
    return min(rows, key=lambda row: row['other_s'] / row['wall_s'])


def memory(place, process, port):
    """PSS of so many connections that have been used once."""
    run_connections(place, 'new', port, 200)
    time.sleep(0.3)
    before = machine.pss_kib(process.pid)
    holder = machine.spawn([place.tools / 'connections', 'hold', port, IDLE_CONNECTIONS], place.load_cpus,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        held = int(holder.stdout.readline().split()[1])
        time.sleep(1.0)  # what is freed when idle is free
        after = machine.pss_kib(process.pid)
    finally:
        machine.end(holder)
    if held < 0.99 * IDLE_CONNECTIONS:
        raise Failed(f'{held} of {IDLE_CONNECTIONS} connections could be held')
    return {'connections': held, 'before_kib': before, 'after_kib': after, 'value': (after - before) / held}


class Steady:
    def __init__(self, place, cases, contestants, plan):
        self.place, self.plan = place, plan
        self.cases = sorted(cases, key=lambda case: case.load != 'hold')  # load leaves a grown heap
        self.contestants = contestants
        self.counts = {}

    def count_for(self, contestant, case, port):
        """So many requests that a run takes the seconds that were asked for."""
        key = contestant.name, case.name
        if key not in self.counts:
            step = case.connections * case.streams or 4
            probe = PROBE_REQUESTS[case.path] if case.load == 'h2load' else 200
            answered, seconds, *_ = run_load(self.place, case, port, max(step, probe))
            self.counts[key] = max(2 * step, int(answered / seconds * self.plan.seconds) // step * step)
        return self.counts[key]

    def measure(self, contestant, case, process, port):
        if case.load == 'hold':
            return memory(self.place, process, port)
        count = self.count_for(contestant, case, port)

        def once(count):
            return watched(self.place, process, lambda: run_load(self.place, case, port, count))

        base = once(case.connections) if case.connections else once(8)
        row = undisturbed(lambda: once(count), self.plan.tries)
        spent, answered = row['cpu_s'], row['answered']
        if case.connections:
            spent, answered = spent - base['cpu_s'], answered - base['answered']
            row['base_cpu_s'] = base['cpu_s']
        row['rate'] = row['answered'] / row['seconds']
        row['value'] = spent / answered * case.scale
        return row

    def sessions(self):
        """(contestant, cases) for each start of a round."""
        for backend in dict.fromkeys(case.backend for case in self.cases):
            for contestant in self.contestants:
                cases = [case for case in self.cases if case.backend == backend and contestant.has(case)]
                if contestant.is_for_one_case:
                    yield from ((contestant, [case]) for case in cases)
                elif cases:
                    yield contestant, cases

    def run(self):
        """Rows, one a measurement."""
        for number in range(self.plan.rounds):
            for contestant, cases in self.sessions():
                try:
                    with started(self.place, contestant, cases[0]) as (process, port):
                        for case in cases:
                            row = {'case': case.name, 'who': contestant.name, 'kind': contestant.kind, 'round': number,
                                   **self.measure(contestant, case, process, port)}
                            print(f"  {number} {case.name:8} {contestant.name:10} {row['value']:.{case.digits + 1}f}"
                                  f" {case.unit}", file=sys.stderr, flush=True)
                            yield row
                except (Failed, subprocess.TimeoutExpired) as problem:
                    print(f'  {number} {contestant.name}: {problem}', file=sys.stderr)
