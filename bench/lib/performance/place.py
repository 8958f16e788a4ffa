# SPDX-License-Identifier: Apache-2.0
"""Where measurements live: a directory, a certificate, a worker, processors."""

import contextlib
import resource
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from . import machine


ROOT = Path(__file__).resolve().parents[3]
PROGRAMS = ('src/bin/portico', 'bench/worker', 'bench/connections', 'bench/requests', 'bench/floor')


def descriptors():
    """How many a process may have."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


class Place:
    """Where a run lives: a directory, a certificate, a worker, processors."""

    def __init__(self, directory, proxy_cpus, load_cpus, tools):
        self.directory, self.proxy_cpus, self.load_cpus, self.tools = directory, proxy_cpus, load_cpus, tools
        self.chain, self.key, self.both = (directory / name for name in ('cert.pem', 'key.pem', 'both.pem'))
        self.socket = directory / 'worker.sock'
        self.worker = None
        self.port = None  # the worker's

    def make_certificate(self):
        subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
             '-days', '30', '-subj', '/CN=localhost', '-addext',
             'subjectAltName=DNS:localhost,DNS:*.bench.test,IP:127.0.0.1', '-keyout', self.key, '-out', self.chain],
            check=True, stderr=subprocess.DEVNULL)
        self.both.write_text(self.chain.read_text() + self.key.read_text())
        for file in (self.chain, self.key, self.both):
            file.chmod(0o644)  # some proxies read it after they have given up root

    def start_worker(self):
        self.worker = machine.spawn([self.tools / 'worker', self.socket], self.load_cpus,
                                    stdout=subprocess.PIPE, text=True)
        self.port = int(self.worker.stdout.readline().split()[1])


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


@contextlib.contextmanager
def in_place(a):
    """A Place with a worker; all that is in it is gone at the end, however that comes."""
    missing = [name for name in PROGRAMS if not (a.build / name).exists()]
    if missing:
        raise SystemExit(f'{a.build} lacks {", ".join(missing)}: make bench builds it')
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    raise_descriptors()
    directory = Path(tempfile.mkdtemp(prefix='portico-performance-'))
    directory.chmod(0o755)  # proxies give up root
    place = Place(directory, {a.proxy_cpu}, {a.load_cpu}, a.build.resolve() / 'bench')
    try:
        place.make_certificate()
        place.start_worker()
        yield place
    finally:
        if place.worker:
            machine.end(place.worker)
        shutil.rmtree(directory, ignore_errors=True)
