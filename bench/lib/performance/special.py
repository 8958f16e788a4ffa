# SPDX-License-Identifier: Apache-2.0
"""The cases that are not one load on one proxy: each is a function that gives rows.

Who is compared with whom stands in cases.py; a row has case, who, kind, round, value, and whatever
else is worth keeping."""

import contextlib
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import replace

from . import machine
from .cases import CASES
from .machine import Failed
from .place import descriptors
from .proxies import Contestant, edge_of, portico, portico_apps, portico_manifest, running, started
from .steady import run_h2load, undisturbed, watched

PATIENCE_S = 120
FEW_APPS, MANY_APPS = 10, 10000
HOSTS_OF_APP = 3
IDLE, BUSY = 20000, 200
PUSHED = 10
SOCKETS, IDLE_SOCKETS = 50, 2000


def told(case, who, kind, number, row):
    """The row with its names, which is also printed."""
    row = {'case': case, 'who': who, 'kind': kind, 'round': number, **row}
    print(f"  {number} {case:12} {who:22} {row['value']:.{CASES[case].digits + 1}f} {CASES[case].unit}",
          file=sys.stderr, flush=True)
    return row


def requests_command(place, port, options, paths=('/1k',)):
    return [place.tools / 'requests', *options, port, *paths]


def read_requests(out):
    """{good, pushed, seconds, latency_us: [P50, P90, P99, P99.9, MAX, SLICE]} of what our own client said."""
    done, latency = (line.split()[1:] for line in out.splitlines())
    return {'good': int(done[0]), 'pushed': int(done[1]), 'seconds': float(done[2]),
            'latency_us': [float(x) for x in latency]}


def requests(place, port, options, paths=('/1k',)):
    said = machine.spawn(requests_command(place, port, options, paths), place.load_cpus,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = said.communicate(timeout=PATIENCE_S)
    finally:
        machine.end(said)
    if said.returncode:
        raise Failed(err)
    return read_requests(out)


@contextlib.contextmanager
def ours(place, program, name, apps, loops=1, cpus=None, **more):
    """(process, port) of a Portico with a manifest and data of its own."""
    port = machine.free_port()
    file = place.directory / f'{name}.yaml'
    file.write_text(portico_manifest(place, port, apps, loops))
    command = [program, 'up', '--manifest', file, '--data', place.directory / f'data-{name}']
    with running(place, name, command, port, cpus, **more) as process:
        yield process, port


def steady_count(case, load, seconds, first):
    """So many requests that load(count) takes the seconds that were asked for."""
    step = case.connections * case.streams
    answered, took = load(first // step * step)
    return max(2, int(answered / took * seconds) // step) * step


def cost(place, process, load, count, case, plan):
    """A row of load(count): CPU time a request, handshakes taken off."""
    base = watched(place, process, lambda: load(case.connections))
    row = undisturbed(lambda: watched(place, process, lambda: load(count)), plan.tries)
    row['rate'] = row['answered'] / row['seconds']
    row['value'] = (row['cpu_s'] - base['cpu_s']) / (row['answered'] - base['answered']) * case.scale
    return row


def loops(place, program, plan, _peers):
    """Two loops beside one, on both processors, with worker and load there as well."""
    case = replace(CASES['loops'], connections=50, streams=32)
    both = place.proxy_cpus | place.load_cpus
    everywhere = replace_cpus(place, both)
    count = None
    for number in range(plan.rounds):
        for loop_count, who, kind in ((1, '1 loop', 'base'), (2, '2 loops', 'ours')):
            with ours(place, program, f'loops-{loop_count}', portico_apps(place, 'tcp'), loop_count, both) as (p, port):
                def load(n):
                    return run_h2load(everywhere, case, port, n)
                count = count or steady_count(case, load, plan.seconds, 4800)
                yield told('loops', who, kind, number, cost(place, p, load, count, case, plan))


def replace_cpus(place, cpus):
    """The same place, with its load on these processors."""
    other = object.__new__(type(place))
    other.__dict__ |= place.__dict__ | {'load_cpus': cpus}
    return other


def p99(place, program, plan, peers):
    """Latency at half the rate that the best peer can at most, arrivals at random times."""
    contestants = [Contestant('portico', 'ours', portico(program))] + [one for one in peers if one.kind == 'peer']
    case, rates = CASES['p99'], {}
    for contestant in contestants:
        with started(place, contestant, case) as (_process, port):
            requests(place, port, ['-n', 2000])
            found = requests(place, port, ['-n', 30000])
            rates[contestant.name] = found['good'] / found['seconds']
    best = max((rate for name, rate in rates.items() if name != 'portico'), default=rates['portico'])
    for number in range(plan.rounds):
        for contestant in contestants:
            with started(place, contestant, case) as (process, port):
                requests(place, port, ['-n', 2000])

                def once():
                    def load():
                        found = requests(place, port, ['-r', best / 2, '-n', int(best / 2 * max(4, plan.seconds))])
                        once.latency = found['latency_us']
                        return found['good'], found['seconds']
                    row = watched(place, process, load)
                    return row | {'value': once.latency[5], 'latency_us': once.latency, 'wanted_rate': best / 2,
                                  'highest_rate': rates[contestant.name], 'rate': row['answered'] / row['seconds']}
                yield told('p99', contestant.name, contestant.kind, number, undisturbed(once, plan.tries))


def hosts_of(app):
    return [f'a{app}-{i}.bench.test' for i in range(HOSTS_OF_APP)]


def many_apps(place, count):
    """So many apps with one worker, which serves them all."""
    one = {'upstreams': [f'tcp://127.0.0.1:{place.port}'], 'timeouts': {'idle': '1h'},
           'certificate': {'chain': str(place.chain), 'key': str(place.key)}}
    return {f'app-{i}': {**one, 'hosts': hosts_of(i)} for i in range(count)}


def answers_for(host):
    """Whether the app of this host is in force, as a function of the port."""
    def ask(port):
        with secure(port, host) as s:
            return status_of(s, host) == 200
    return ask


def secure(port, host):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(socket.create_connection(('127.0.0.1', port), timeout=10), server_hostname=host)


def status_of(s, host):
    s.sendall(f'GET /128 HTTP/1.1\r\nHost: {host}\r\n\r\n'.encode())
    got = b''
    while True:
        got += s.recv(65536)
        head, end, body = got.partition(b'\r\n\r\n')
        length = re.search(rb'content-length: (\d+)', head, re.I)
        if end and length and len(body) >= int(length[1]):
            return int(got.split()[1])


def apps(place, program, plan, _peers):
    """A request with 10,000 apps to one with 10: edge's CPU time, over the same number of apps in use.
    Then one of the 10,000 gets another host, while requests come at a steady rate."""
    case = replace(CASES['apps'], connections=50, streams=32)
    with contextlib.ExitStack() as stack:
        running_ones = []
        for count, kind in ((FEW_APPS, 'base'), (MANY_APPS, 'ours')):
            started_at = time.monotonic()
            process, port = stack.enter_context(ours(
                place, program, f'apps-{count}', many_apps(place, count),
                answers=answers_for(hosts_of(count - 1)[0]), patience_s=PATIENCE_S))
            file = place.directory / f'hosts-{count}'
            used = [host for app in range(0, count, count // FEW_APPS) for host in hosts_of(app)]
            file.write_text('\n'.join(used) + '\n')
            print(f'  {count} apps: up after {time.monotonic() - started_at:.1f} s', file=sys.stderr)
            running_ones.append((f'{count:,} apps', kind, process, edge_of(process.pid), port, file))
        wanted = None
        for number in range(plan.rounds):
            for who, kind, _process, edge, port, file in running_ones:
                def load(n):
                    found = requests(place, port, ['-n', n, '-a', file])
                    return found['good'], found['seconds']
                wanted = wanted or steady_count(case, load, plan.seconds, 4800)
                yield told('apps', who, kind, number, cost(place, edge_only(edge), load, wanted, case, plan))
        _who, _kind, process, edge, port, file = running_ones[-1]
        yield from changes(place, plan, process, port, file)


class edge_only:
    """What watched() wants of a process."""

    def __init__(self, pid):
        self.pid = pid


def changes(place, plan, process, port, file):
    """Milliseconds from SIGHUP until the new host is served; and the longest that a request took
    meanwhile, at 2,000 a second.  On both processors: control works beside edge."""
    machine.move(process.pid, place.proxy_cpus | place.load_cpus)
    manifest = place.directory / f'apps-{MANY_APPS}.yaml'
    for number in range(plan.rounds):
        text = json.loads(manifest.read_text())
        new = f'new{number}.bench.test'
        text['apps'][f'app-{MANY_APPS // 2}']['hosts'][0] = new
        manifest.write_text(json.dumps(text, separators=(',', ':')))
        quiet = requests(place, port, ['-r', 2000, '-n', 4000, '-a', file])
        said = machine.spawn(requests_command(place, port, ['-r', 2000, '-n', 6000, '-a', file]), place.load_cpus,
                             stdout=subprocess.PIPE, text=True)
        try:
            with secure(port, hosts_of(0)[0]) as s:
                time.sleep(0.5)
                begun = time.monotonic()
                process.send_signal(signal.SIGHUP)
                while status_of(s, new) != 200:
                    time.sleep(0.001)
                    if time.monotonic() - begun > 60:
                        raise Failed('the change did not come into force')
                took = time.monotonic() - begun
            out, _ = said.communicate(timeout=PATIENCE_S)
        finally:
            machine.end(said)
        longest = read_requests(out)['latency_us'][4]
        yield told('apps-change', 'portico', 'ours', number,
                   {'value': took * 1e3, 'longest_us': longest, 'longest_without_us': quiet['latency_us'][4]})


@contextlib.contextmanager
def held(place, mode, port, count):
    """The process, while it holds so many connections."""
    holder = machine.spawn([place.tools / 'connections', mode, port, count], place.load_cpus,
                           stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        ready = int(holder.stdout.readline().split()[1])
        if ready < 0.99 * count:
            raise Failed(f'{ready} of {count} connections could be held')
        yield holder
    finally:
        machine.end(holder)


def idle(place, program, plan, _peers):
    """A request of one of 200 busy connections, with and without idle ones beside them."""
    case = replace(CASES['idle'], connections=BUSY, streams=1)
    count = min(IDLE, descriptors() - 1500)
    if count < IDLE:
        print(f'  note: descriptors allow {count} idle connections, not {IDLE}', file=sys.stderr)
    with ours(place, program, 'alone', portico_apps(place, 'tcp')) as (alone, alone_port), \
            ours(place, program, 'beside', portico_apps(place, 'tcp')) as (beside, port), \
            held(place, 'hold', port, count // 2), held(place, 'hold', port, count - count // 2):
        wanted = None
        for number in range(plan.rounds):
            for who, kind, process, at in (('alone', 'base', alone, alone_port),
                                           (f'{count:,} idle', 'ours', beside, port)):
                def load(n):
                    return run_h2load(place, case, at, n)
                wanted = wanted or steady_count(case, load, plan.seconds, 4000)
                yield told('idle', who, kind, number, cost(place, process, load, wanted, case, plan))


def push(place, program, plan, _peers):
    """A page of 10 KiB with ten promises of 10 KiB each, relayed from an h2c worker; and the same page
    with ten requests, where nothing is pushed."""
    def app(policy):
        one = portico_apps(place, 'h2c')
        one['bench']['push'] = policy
        return one

    parts = [f'/10k?page=#&part={i}' for i in range(PUSHED)]
    with ours(place, program, 'pushed', app('always')) as (pushing, pushing_port), \
            ours(place, program, 'plain', app('off')) as (plain, plain_port):
        pages = None
        for number in range(plan.rounds):
            for who, kind, process, port, words, paths in (
                    ('asked for', 'base', plain, plain_port, ('-b',), ['/page', *parts]),
                    ('pushed', 'ours', pushing, pushing_port, ('-b', '-p'), ['/page'])):
                def load(n):
                    found = requests(place, port, ['-c', 10, *words, '-n', n], paths)
                    if found['pushed'] != (n * PUSHED if kind == 'ours' else 0):
                        raise Failed(f"{found['pushed']} pushes with {n} pages")
                    return n, found['seconds']
                if pages is None:
                    answered, took = load(200)
                    pages = int(answered / took * plan.seconds)
                case = replace(CASES['push'], connections=10)
                yield told('push', who, kind, number, cost(place, process, load, pages, case, plan))


def talked(talker, rounds):
    """(messages, seconds) of so many messages, and their answers, on each of a holder's sockets."""
    start = time.monotonic()
    talker.stdin.write(f'{rounds}\n')
    talker.stdin.flush()
    messages = int(talker.stdout.readline().split()[1])
    if messages != 2 * SOCKETS * rounds:
        raise Failed(f'{messages} messages of {2 * SOCKETS * rounds}')
    return messages, time.monotonic() - start


def ws(place, program, plan, peers):
    """Messages of 128 octets, both ways, on 50 WebSockets; and what an idle one holds."""
    contestants = [Contestant('portico', 'ours', portico(program))]
    contestants += [one for one in peers if one.kind == 'build' or one.name in ('haproxy', 'nginx')]
    wanted = None
    for number in range(plan.rounds):
        for contestant in contestants:
            with started(place, contestant, CASES['ws']) as (process, port):
                with held(place, 'socket', port, 200):
                    time.sleep(0.2)
                time.sleep(0.5)
                before = machine.pss_kib(process.pid)
                with held(place, 'socket', port, IDLE_SOCKETS):
                    time.sleep(1.0)
                    value = (machine.pss_kib(process.pid) - before) / IDLE_SOCKETS
                yield told('ws-memory', contestant.name, contestant.kind, number, {'value': value})
                with held(place, 'socket', port, SOCKETS) as talker:
                    def talk(rounds):
                        return talked(talker, rounds)
                    messages, took = talk(100)
                    wanted = wanted or int(100 / took * plan.seconds)

                    def once():
                        # The talker's time is a program's that disturbs nobody.
                        watch = machine.Watch(process.pid, [place.worker.pid, talker.pid])
                        messages, seconds = talk(wanted)
                        row = {'answered': messages, 'seconds': seconds, **watch.stop()}
                        return row | {'value': row['cpu_s'] / messages * 1e6, 'rate': messages / seconds}
                    yield told('ws', contestant.name, contestant.kind, number, undisturbed(once, plan.tries))


# The cases that each gives.
RUNNERS = {('loops',): loops, ('p99',): p99, ('apps', 'apps-change'): apps, ('idle',): idle, ('push',): push,
           ('ws', 'ws-memory'): ws}
