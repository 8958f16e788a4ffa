# SPDX-License-Identifier: Apache-2.0
"""What the kernel knows of processes: CPU time, memory, who else is busy."""

import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path


class Failed(Exception):
    """A proxy did not start, a load did not do what it should, or the machine does not allow something."""


TICK_S = 1 / os.sysconf('SC_CLK_TCK')


def children_of_all():
    """{pid: [pid of a child, ...]}"""
    children = {}
    for entry in os.scandir('/proc'):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, 'stat').read_text()
            except OSError:
                continue
            parent = int(stat.rpartition(')')[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    return children


def tree(pid):
    """pid and all that came from it, so far as they live."""
    children, found, to_visit = children_of_all(), [], [pid]
    while to_visit:
        found.append(to_visit.pop())
        to_visit += children.get(found[-1], [])
    return found


def cpu_s(pid):
    """CPU seconds of a process and all that came from it.  The scheduler counts nanoseconds for
    each thread that lives; those that have ended are in the process's clock ticks only."""
    total = 0
    for one in tree(pid):
        try:
            stat = Path(f'/proc/{one}/stat').read_text().rpartition(')')[2].split()
            exact = sum(int(Path(task.path, 'schedstat').read_text().split()[0])
                        for task in os.scandir(f'/proc/{one}/task')) / 1e9
        except OSError:
            continue
        in_ticks = (int(stat[11]) + int(stat[12])) * TICK_S
        total += max(exact, in_ticks - 2 * TICK_S)
    return total


def pss_kib(pid):
    """Memory of a process and all that came from it; what is shared counts by share."""
    total = 0
    for one in tree(pid):
        try:
            text = Path(f'/proc/{one}/smaps_rollup').read_text()
        except PermissionError as problem:
            raise Failed('only root may read how much memory processes with secrets have') from problem
        except OSError:
            continue
        found = re.search(r'^Pss:\s+(\d+)', text, re.M)
        total += int(found[1]) if found else 0
    return total


def busy_s():
    """Seconds in which the machine's processors worked, were stolen included."""
    fields = [int(x) for x in Path('/proc/stat').read_text().split('\n', 1)[0].split()[1:]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq + steal) * TICK_S


def own_s():
    """This process's CPU seconds, and of its children that have ended."""
    return sum(os.times()[:4])


class Watch:
    """CPU time of one program over a while, and of those that have no part in it."""

    def __init__(self, watched, known=()):
        """watched, known: pids; the latter's time, and ours, disturbs nobody."""
        self.watched, self.known = watched, known
        self.start = self._now()

    def _now(self):
        return (time.monotonic(), cpu_s(self.watched), sum(map(cpu_s, self.known)), own_s(), busy_s())

    def stop(self):
        """{wall_s, cpu_s, load_s, other_s}"""
        wall, cpu, known, own, busy = (b - a for a, b in zip(self.start, self._now()))
        return {'wall_s': wall, 'cpu_s': cpu, 'load_s': known + own, 'other_s': max(0.0, busy - cpu - known - own)}


def wait_quiet(most_s=3.0, share=0.1):
    """Until the machine has next to nothing to do, or for most_s."""
    end = time.monotonic() + most_s
    while time.monotonic() < end:
        before = busy_s()
        time.sleep(0.2)
        if busy_s() - before <= 0.2 * share + TICK_S:
            return


def spawn(command, cpus, **more):
    """A process of a session of its own, so that Ctrl-C reaches us alone, bound to cpus."""
    return subprocess.Popen([str(word) for word in command], start_new_session=True,
                            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
                            **{'stdin': subprocess.DEVNULL, **more})


def move(pid, cpus):
    """Binds a process and all that came from it to other processors."""
    for one in tree(pid):
        for task in os.scandir(f'/proc/{one}/task'):
            os.sched_setaffinity(int(task.name), cpus)


def end(process, patience_s=8):
    """SIGTERM, and what is left of it then, SIGKILL."""
    if process.poll() is not None:
        return
    all_pids = tree(process.pid)
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        for pid in all_pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.wait()


def free_port():
    """A TCP port on loopback that nobody listens at."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def described():
    """{cpu, processors, kernel}"""
    text = Path('/proc/cpuinfo').read_text()
    found = re.search(r'^model name\s*:\s*(.*)$', text, re.M)
    return {'cpu': found[1] if found else os.uname().machine,
            'processors': os.cpu_count(), 'kernel': f'Linux {os.uname().release}'}
