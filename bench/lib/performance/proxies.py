# SPDX-License-Identifier: Apache-2.0
"""The proxies that are compared: how each is configured and started.

All alike: one thread, TLS 1.3 with one P-256 certificate, HTTP/2 and HTTP/1.1 to the client,
connections to the worker kept and reused without a limit that is reached, no access log, no cache,
no timeout that ends what is idle, and room for as many connections as are opened.  Everything else
is as each comes."""

import contextlib
import json
import socket
import ssl
import time
from pathlib import Path

from . import machine
from .machine import Failed
from .place import descriptors

BACKENDS = ('tcp', 'unix', 'h2c')


def nginx(place, port, backend, _case=None):
    server = f'unix:{place.socket}' if backend == 'unix' else f'127.0.0.1:{place.port}'
    temporary = ' '.join(f'{kind}_temp_path {place.directory}/nginx-{kind};'
                         for kind in ('client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'))
    file = place.directory / 'nginx.conf'
    file.write_text(f'''
daemon off;
worker_processes 1;
pid {place.directory}/nginx.pid;
error_log {place.directory}/nginx.error crit;
events {{
    worker_connections {descriptors() - 1000};
}}
http {{
    access_log off;
    {temporary}
    proxy_max_temp_file_size 0;
    keepalive_requests {10**9};
    keepalive_time 1d;
    keepalive_timeout 1h;
    upstream workers {{
        server {server};
        keepalive 4096;
        keepalive_requests {10**9};
        keepalive_time 1d;
    }}
    map $http_upgrade $connection_to_worker {{
        websocket upgrade;
        default "";
    }}
    server {{
        listen 127.0.0.1:{port} ssl http2 backlog=4096;
        ssl_protocols TLSv1.3;
        ssl_certificate {place.chain};
        ssl_certificate_key {place.key};
        http2_max_concurrent_streams 128;
        location / {{
            proxy_pass http://workers;
            proxy_http_version 1.1;
            proxy_set_header Connection $connection_to_worker;
            proxy_set_header Upgrade $http_upgrade;
            proxy_read_timeout 1h;
        }}
    }}
}}
''')
    return ['nginx', '-p', place.directory, '-c', file]


def haproxy(place, port, backend, _case=None):
    server = f'unix@{place.socket}' if backend == 'unix' else f'127.0.0.1:{place.port}'
    file = place.directory / 'haproxy.cfg'
    file.write_text(f'''
global
    nbthread 1
    maxconn {descriptors() // 2 - 500}
    tune.h2.max-concurrent-streams 128
defaults
    mode http
    http-reuse always
    timeout connect 10s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    timeout http-keep-alive 1h
frontend clients
    bind 127.0.0.1:{port} ssl crt {place.both} ssl-min-ver TLSv1.3 alpn h2,http/1.1 backlog 4096
    default_backend workers
backend workers
    server worker {server}{' proto h2' if backend == 'h2c' else ''}
''')
    return ['haproxy', '-db', '-q', '-f', file]


def h2o(place, port, backend, _case=None):
    url = f'http://[unix:{place.socket}]/' if backend == 'unix' else f'http://127.0.0.1:{place.port}/'
    hour_ms = 3600 * 1000
    file = place.directory / 'h2o.conf'
    file.write_text(f'''
num-threads: 1
max-connections: {descriptors() - 1000}
http1-request-timeout: 3600
http2-idle-timeout: 3600
http2-max-concurrent-requests-per-connection: 128
proxy.timeout.io: {hour_ms}
proxy.timeout.keepalive: {hour_ms}
listen:
  host: 127.0.0.1
  port: {port}
  ssl:
    certificate-file: {place.chain}
    key-file: {place.key}
    minimum-version: TLSv1.2
    neverbleed: OFF
    ocsp-update-interval: 0
hosts:
  default:
    paths:
      /:
        proxy.reverse.url: "{url}"
''')
    return ['h2o', '-c', file]


def nghttpx(place, port, backend, _case=None):
    server = f'unix:{place.socket}' if backend == 'unix' else f'127.0.0.1,{place.port}'
    if backend == 'h2c':
        server += ';;proto=h2'
    return ['nghttpx', '--conf=/dev/null', f'--frontend=127.0.0.1,{port}', f'--backend={server}', '--workers=1',
            '--no-ocsp', '--tls-min-proto-version=TLSv1.3', '--backlog=4096',
            '--frontend-http2-max-concurrent-streams=128', '--frontend-http2-read-timeout=1h',
            '--frontend-read-timeout=1h', '--backend-read-timeout=1h', '--backend-keep-alive-timeout=1h',
            f'--errorlog-file={place.directory}/nghttpx.error', place.key, place.chain]


def portico_apps(place, backend):
    """The one app of most cases."""
    upstream = f'tcp://127.0.0.1:{place.port}' if backend == 'tcp' else f'unix:{place.socket}'
    return {'bench': {'upstreams': [upstream], 'hosts': ['localhost', '127.0.0.1'],
                      'http20ProxyFlag': 1 if backend == 'h2c' else 0, 'timeouts': {'idle': '1h'},
                      'certificate': {'chain': str(place.chain), 'key': str(place.key)}}}


def portico_manifest(place, port, apps, loops=1):
    # JSON is YAML.
    return json.dumps({'listen': {'https': f'127.0.0.1:{port}'}, 'loops': loops, 'accessLog': 'off',
                       'limits': {'connectionsPerAddress': 0}, 'apps': apps}, separators=(',', ':'))


def portico(program):
    def command(place, port, backend, _case=None):
        file = place.directory / 'portico.yaml'
        file.write_text(portico_manifest(place, port, portico_apps(place, backend)))
        return [program, 'up', '--manifest', file, '--data', place.directory / 'data']
    return command


def floor(place, port, backend, case):
    worker = place.socket if backend == 'unix' else place.port
    return [place.tools / 'floor', port, place.chain, place.key, worker, case.path]


def _answers(port):
    """Whether a request gets through to the worker."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(('127.0.0.1', port), timeout=5) as plain:
        with context.wrap_socket(plain, server_hostname='localhost') as s:
            s.sendall(b'GET /128 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n')
            return s.recv(12) == b'HTTP/1.1 200'


class Contestant:
    """One that is compared.  kind: peer; ours; build, another of ours; or floor.
    command(place, port, backend, case) gives its command line, after writing its configuration."""

    def __init__(self, name, kind, command, backends=BACKENDS, cases=None):
        self.name, self.kind, self.command, self.backends, self.cases = name, kind, command, backends, cases
        self.is_for_one_case = kind == 'floor'

    def has(self, case):
        return case.backend in self.backends and (self.cases is None or case.name in self.cases)


# nginx 1.22 and h2o 2.2 speak no HTTP/2 to workers.
FLOOR = Contestant('floor', 'floor', floor, ('tcp', 'unix'), ('a', 'a-unix', 'b', 'e'))
PEERS = [
    Contestant('nginx', 'peer', nginx, ('tcp', 'unix')),
    Contestant('haproxy', 'peer', haproxy),
    Contestant('h2o', 'peer', h2o, ('tcp', 'unix')),
    Contestant('nghttpx', 'peer', nghttpx),
]


@contextlib.contextmanager
def running(place, name, command, port, cpus=None, answers=_answers, patience_s=30):
    """The process, once it answers; ended at the end."""
    log = place.directory / f'{name}.log'
    with open(log, 'ab') as out:
        process = machine.spawn(command, cpus or place.proxy_cpus, stdout=out, stderr=out)
    try:
        until = time.monotonic() + patience_s
        while True:
            if process.poll() is not None:
                raise Failed(f'{name} ended:\n{log.read_text()[-2000:]}')
            with contextlib.suppress(OSError):
                if answers(port):
                    break
            if time.monotonic() > until:
                raise Failed(f'{name} does not answer:\n{log.read_text()[-2000:]}')
            time.sleep(0.05)
        yield process
    finally:
        machine.end(process)


@contextlib.contextmanager
def started(place, contestant, case, **more):
    """(process, port) of a contestant, for this case and others with the same kind of backend."""
    port = machine.free_port()
    command = contestant.command(place, port, case.backend, case)
    with running(place, contestant.name, command, port, **more) as process:
        yield process, port


def edge_of(pid):
    """The pid of the edge below a portico."""
    for one in machine.tree(pid):
        words = Path(f'/proc/{one}/cmdline').read_bytes().split(b'\0')
        if b'role' in words and b'edge' in words:
            return one
    raise Failed('there is no edge')
