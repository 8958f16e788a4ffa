# SPDX-License-Identifier: Apache-2.0
"""What is measured, and what for: one row a case.  How is in steady.py and special.py."""

from dataclasses import dataclass

H2LOAD = ['h2load', '-t1', '--tls13-ciphers=TLS_AES_128_GCM_SHA256']
GIB = 1 << 30


@dataclass(frozen=True)
class Case:
    name: str
    title: str
    unit: str           # of the value
    goal: float         # the most that our value may be, as a ratio to the reference's
    reference: str = 'best peer'
    against: tuple = ()  # other cases whose best counts as well
    goal_value: float = None  # the most that our value may be, where the goal is not a ratio
    digits: int = 1
    backend: str = 'tcp'
    # Steady cases: a load that is run and watched.
    load: str = ''      # h2load, new, resume, hold; or special.py knows
    path: str = '/1k'
    connections: int = 0  # whose handshakes are taken off
    streams: int = 1
    is_http1: bool = False
    scale: float = 1.0  # from CPU seconds a request to the unit

    @property
    def is_steady(self):
        return self.load in ('h2load', 'new', 'resume', 'hold')


US, MS = 1e6, 1e3
_ALL_A = ('a', 'a-unix', 'a-h2c')

CASES = {case.name: case for case in (
    Case('a', '1 KiB, HTTP/2, 50 connections × 32 streams', 'CPU µs/request', 0.70,
         load='h2load', connections=50, streams=32, scale=US),
    Case('a-unix', 'a, the worker on a unix socket', 'CPU µs/request', 0.60, against=_ALL_A, backend='unix',
         load='h2load', connections=50, streams=32, scale=US),
    Case('a-h2c', 'a, HTTP/2 to the worker', 'CPU µs/request', 0.60, against=_ALL_A, backend='h2c',
         load='h2load', connections=50, streams=32, scale=US),
    Case('b', '1 KiB, HTTP/2, 50 × 1', 'CPU µs/request', 0.80, load='h2load', connections=50, scale=US),
    Case('e', '1 KiB, HTTP/1.1 over TLS, 50', 'CPU µs/request', 0.80, load='h2load', connections=50,
         is_http1=True, scale=US),
    Case('c', '100 KiB, HTTP/2, 20 × 8', 'CPU µs/request', 0.80, load='h2load', path='/100k', connections=20,
         streams=8, scale=US),
    Case('d', '10 MiB, HTTP/2, 4 × 1', 'CPU s/GiB', 0.80, load='h2load', path='/10m', connections=4, digits=2,
         scale=GIB / (10 << 20)),
    Case('f', 'new TLS connection + 1 request', 'CPU ms', 1.00, load='new', digits=3, scale=MS),
    Case('r', 'resumed TLS connection + 1 request', 'CPU ms', 1.00, load='resume', digits=3, scale=MS),
    Case('g', 'memory of an idle HTTP/2 connection', 'PSS KiB', 1.00, goal_value=16.0, load='hold'),
    Case('loops', 'a, two loops to one, on two processors', 'CPU µs/request', 1.10, '1 loop', scale=US),
    Case('p99', "1 KiB, HTTP/2, at half of the best peer's rate", 'p99 latency, µs', 1.00, digits=0),
    Case('apps', '10,000 apps with 3 hosts each to 10', 'CPU µs/request of edge', 1.05, '10 apps', scale=US),
    Case('apps-change', 'a change of one of 10,000 apps', 'ms until in force', 1.00, 'none', goal_value=100.0),
    Case('idle', '200 busy connections beside 20,000 idle', 'CPU µs/request', 1.10, 'alone', scale=US),
    Case('push', 'a page with 10 × 10 KiB, pushed to asked for', 'CPU µs/page', 1.10, 'asked for',
         backend='h2c', digits=0, scale=US),
    Case('ws', 'WebSocket messages of 128 octets', 'CPU µs/message', 0.80, digits=2),
    Case('ws-memory', 'memory of an idle WebSocket over HTTP/1.1', 'PSS KiB', 0.80),
)}
