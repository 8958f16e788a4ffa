#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tests/soak/run.py: a Portico of its own under steady load, while processes are killed and things
are changed, and a checker that knows every octet.

    run.py [--seconds N | --requests N] [--rate N] [--chaos LIST] [--seed N] [--keep]

--chaos  of workers (kill -9 one a second), sighup (one a second), rolling (a changed manifest every
         five), upgrade (SIGUSR2, once), edge (kill -9 twice), control (kill -9 twice); none; all
PORTICO and SOAK_CHECKER name the programs; else those of build/.

Judged here, from the checker's lines and the times of the kills.  Excused is only:
  edge     the connection was open when its edge was killed
  worker   the answer had begun, and the worker that made it was killed: a visible cut
  unsafe   a POST that was under way to a worker that was killed: it must not be sent twice
Anything else that failed, was wrong or was delivered twice makes the exit status 1.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
KINDS = ["workers", "sighup", "rolling", "upgrade", "edge", "control"]
APPS = ["one", "two", "three"]
LIES = ["octet", "short", "app", "again"]
EDGE_LATE_S = 3.0  # how long after a kill of edge its connections may still be found dead
STRANGE = re.compile(r"(ERROR|WARNING): \w*Sanitizer|runtime error:|\bpanic\b|Assertion .* failed")


def options():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--requests", type=int, default=0)
    parser.add_argument("--rate", type=int, default=250)
    parser.add_argument("--chaos", default="workers,edge,control")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--instances", type=int, default=2)
    parser.add_argument("--edge-kills", type=int, default=2)
    parser.add_argument("--upgrades", type=int, default=1)
    parser.add_argument("--kinds", default="h2,h1s,h1,h2c")
    for name, of in (("aborts", 40), ("slow", 20), ("faults", 0), ("large", 8), ("conns", 160)):
        parser.add_argument(f"--{name}", type=int, default=of)
    parser.add_argument("--keep", action="store_true", help="leave the directory for a look")
    parser.add_argument("--lie", choices=LIES, help="let workers err in this way, to test the test")
    parser.add_argument("--self-test", action="store_true", help="each lie must be found")
    parser.add_argument("--pause", action="store_true", help="wait before the end when it failed")
    parser.add_argument("--verbose", action="store_true")
    o = parser.parse_args()
    o.chaos = KINDS if o.chaos == "all" else [c for c in o.chaos.split(",") if c not in ("", "none")]
    for c in o.chaos:
        if c not in KINDS:
            parser.error(f"unknown chaos {c}")
    if not o.seconds and not o.requests:
        o.seconds = 60
    o.length = o.seconds or o.requests / o.rate
    o.seed = random.SystemRandom().randrange(1 << 31) if o.seed is None else o.seed
    return o


def programs():
    portico = pathlib.Path(os.environ.get("PORTICO", ROOT / "build/src/bin/portico")).resolve()
    checker = os.environ.get("SOAK_CHECKER") or portico.parents[2] / "tests/soak/soak_checker"
    for program in (portico, pathlib.Path(checker)):
        if not os.access(program, os.X_OK):
            sys.exit(f"run.py: {program} is not there; build it first")
    return portico, pathlib.Path(checker)


def of_proc(pid, name):
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def processes():
    return [int(p.name) for p in pathlib.Path("/proc").iterdir() if p.name.isdigit()]


class Portico:
    """One that runs in a directory of its own."""

    def __init__(self, program, o):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="portico-soak-"))
        self.home.chmod(0o755)
        self.log = self.home / "deliveries"
        self.log.mkdir()
        self.log.chmod(0o1777)  # each app has a user of its own
        self.manifest = self.home / "portico.json"
        self.instances = {app: o.instances for app in APPS}
        self.rolls = dict.fromkeys(APPS, 0)
        self.o, self.lines, self.ports, self.said = o, [], {}, threading.Condition()
        self.write_manifest()
        self.process = subprocess.Popen(
            [program, "up", "--manifest", self.manifest, "--data", self.home / "data"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace")
        threading.Thread(target=self.read, daemon=True).start()

    def write_manifest(self):
        def app(name):
            return {
                "directory": str(HERE), "hosts": [f"{name}.localhost"],
                "instances": self.instances[name],
                "command": "python3 worker.py" if name == "three" else "node worker.mjs",
                "http20ProxyFlag": 1 if name == "two" else 0,
                "env": {"APP": name, "PROTOCOL": "h2c" if name == "two" else "h1",
                        "SOAK_SEED": str(self.o.seed), "SOAK_LOG": str(self.log),
                        **({"SOAK_LIE": self.o.lie} if self.o.lie else {}),
                        "SOAK_ROLL": str(self.rolls[name])}}

        listen = {k: f"127.0.0.1:{self.ports.get(k, 0)}" for k in ("https", "http", "admin")}
        text = json.dumps({"listen": listen, "loops": 2,
                           "accessLog": str(self.home / "access.log"),
                           "apps": {name: app(name) for name in APPS}}, indent=1)
        fresh = self.manifest.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.manifest)

    def read(self):
        for line in self.process.stdout:
            with self.said:
                self.lines.append((time.monotonic(), line.rstrip("\n")))
                if self.o.verbose:
                    print("    " + line.rstrip("\n"), flush=True)
                self.said.notify_all()

    def wait_line(self, pattern, seconds=30):
        end, at = time.monotonic() + seconds, 0
        with self.said:
            while True:
                for _, line in self.lines[at:]:
                    found = re.search(pattern, line)
                    if found:
                        return found
                at = len(self.lines)
                if self.process.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"run.py: no line {pattern}:\n" + self.tail(60))
                self.said.wait(0.5)

    def tail(self, n):
        return "\n".join(line for _, line in self.lines[-n:])

    def admin(self, path, seconds=5):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['admin']}{path}",
                                    timeout=seconds) as answer:
            return answer.read().decode()

    def ready_workers(self):
        apps = json.loads(self.admin("/apps"))["apps"]
        return [(a["name"], i["pid"]) for a in apps for i in a["instances"]
                if i["state"] == "READY" and i.get("pid")]

    def start(self):
        for kind in ("https", "http", "admin"):
            self.ports[kind] = int(
                self.wait_line(rf"listen\b.*\bkind={kind}\b.*\baddress=\S*:(\d+)")[1])
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                if len(self.ready_workers()) == sum(self.instances.values()):
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit("run.py: the workers are not ready:\n" + self.tail(60))

    def role(self, name):
        """The newest process of a role below monitor, or None."""
        found = []
        for pid in processes():
            stat = of_proc(pid, "stat")
            if not stat or b"role\0" + name.encode() + b"\0" not in of_proc(pid, "cmdline") + b"\0":
                continue
            rest = stat[stat.rindex(b")") + 2:].split()
            if int(rest[1]) == self.process.pid and rest[0] not in (b"Z", b"X"):
                found.append((int(rest[19]), pid))
        return max(found)[1] if found else None

    def strays(self):
        mark = f"SOAK_LOG={self.log}".encode()
        return [pid for pid in processes() if mark in of_proc(pid, "environ").split(b"\0")]


class Chaos:
    """What is done to it, and when: the same for the same seed, but for who is alive just then."""

    def __init__(self, portico, o):
        self.portico, self.o, self.random = portico, o, random.Random(o.seed)
        self.kills = []  # (time, what, app, pid)
        self.counts = collections.Counter()
        every = {"workers": 1.0, "sighup": 1.0, "rolling": 5.0}
        at = []
        for kind in o.chaos:
            if kind in every:
                step = every[kind]
                at += [(step * (i + 0.5 + 0.3 * self.random.random()), kind)
                       for i in range(int(o.length / step))]
        kills = o.edge_kills
        if "edge" in o.chaos:
            at += [(o.length * (i + 1) / (kills + 1), "edge") for i in range(kills)]
        if "upgrade" in o.chaos:
            at += [(o.length * (i + 0.5) / o.upgrades, "upgrade") for i in range(o.upgrades)]
        if "control" in o.chaos:
            at += [(o.length * 0.2, "control"), (o.length * 0.8, "control")]
        self.due = sorted(at)

    def kill(self, what, app, pid):
        if pid is None:
            self.counts[f"{what} not there"] += 1
            return
        try:
            self.kills.append((time.monotonic(), what, app, pid))
            os.kill(pid, signal.SIGKILL)
            self.counts[f"{what} killed"] += 1
        except ProcessLookupError:
            self.kills.pop()

    def do(self, kind):
        p = self.portico
        if kind == "workers":
            try:
                ready = p.ready_workers()
            except OSError:  # control is being started again
                ready = []
            self.kill("worker", *(self.random.choice(ready) if ready else ("", None)))
        elif kind in ("edge", "control"):
            self.kill(kind, "", p.role(kind))
        else:
            if kind == "rolling":
                app = self.random.choice(APPS)
                if self.random.random() < 0.5:
                    p.rolls[app] += 1
                else:
                    p.instances[app] = self.o.instances + (p.instances[app] == self.o.instances)
                p.write_manifest()
            self.counts[kind] += 1
            os.kill(p.process.pid, signal.SIGUSR2 if kind == "upgrade" else signal.SIGHUP)

    def run(self, began, is_over, sample):
        following = began
        while not is_over():
            now = time.monotonic()
            if self.due and now - began >= self.due[0][0]:
                kind = self.due.pop(0)[1]
                self.do(kind)
                continue
            if now >= following:
                sample()
                following += 1
            until = min(following, began + self.due[0][0] if self.due else following)
            time.sleep(max(0.005, min(until - time.monotonic(), 0.2)))


class Judge:
    def __init__(self, kills):
        self.edge = [t for t, what, _, _ in kills if what == "edge"]
        self.workers = [(t, app, pid) for t, what, app, pid in kills if what == "worker"]

    def excuse(self, e):
        """The name of what excuses the outcome, or None."""
        if e["event"] not in ("failed", "cut"):
            return None
        opened, began, over = (e[k] / 1e6 for k in ("opened_us", "began_us", "over_us"))
        lost = e["event"] == "cut" or e["status"] == 0  # no answer of the front end's own
        if lost and any(opened <= t + 0.05 and t <= over <= t + EDGE_LATE_S for t in self.edge):
            return "edge"
        killed = [(t, pid) for t, app, pid in self.workers
                  if app == e["app"] and began - 0.1 <= t <= over]
        if e["event"] == "cut" and e["from_app"] and any(pid == e["pid"] for _, pid in killed):
            return "worker"
        if e["event"] == "failed" and e["method"] == "POST" and killed and e["status"] == 502:
            return "unsafe"
        return None


def deliveries(directory):
    seen = collections.Counter()
    for file in directory.iterdir():
        for line in file.read_text().split("\n"):
            if line:
                seen[line] += 1
    return seen


def print_end(o, end, excused, bad, chaos, edges, twice):
    total = end["total"]
    outcomes = list(total)
    print(f"\n{'':8}" + "".join(f"{x:>14}" for x in outcomes))
    for kind, counts in end["kinds"].items():
        print(f"{kind:8}" + "".join(f"{counts[x]:>14}" for x in outcomes))
    print(f"{'all':8}" + "".join(f"{total[x]:>14}" for x in outcomes))
    seconds = (end["over_us"] - end["began_us"]) / 1e6
    print(f"\n{end['begun']} requests in {seconds:.1f} s ({end['late']} waited for a connection), "
          f"{end['connections']} connections, {end['handshakes']} handshakes "
          f"({end['resumed']} resumed)")
    print(f"{end['octets_down'] / 2**20:.0f} MiB down and {end['octets_up'] / 2**20:.0f} MiB up, "
          "every octet checked; up to "
          f"{end['under_way_top']} requests at once")
    print("until the head: " + ", ".join(f"{k} {v / 1000:.1f} ms" for k, v in end["head_us"].items()))
    print("chaos: " + (", ".join(f"{v} {k}" for k, v in sorted(chaos.counts.items())) or "none"))
    for pid, s in edges.items():
        print(f"edge {pid}: resident {s['rss'][0]} KiB at first, {max(s['rss'])} at most, "
              f"{s['rss'][-1]} at last; descriptors {s['fds'][0]}, {max(s['fds'])}, {s['fds'][-1]}")
    print("excused: " + (", ".join(f"{v} {k}" for k, v in sorted(excused.items())) or "none"))
    print(f"delivered twice: {len(twice)}; not excused: {len(bad)}")


def self_test(o):
    """A checker that finds nothing proves nothing: each kind of wrong answer must be found."""
    o.chaos, o.seconds, o.requests, o.length, status = [], 3, 0, 3, 0
    for o.lie in LIES:
        o.found_wrong = False
        run(o)
        if not o.found_wrong:
            print(f"the lie was not found: {o.lie}")
            status = 1
    print("FAILED" if status else "passed: every lie was found")
    return status


def print_example(o, chaos, seen, e):
    over = e["over_us"] / 1e6
    near = min(chaos.kills, key=lambda k: abs(k[0] - over), default=None)
    at = (f"; {over - near[0]:+.3f} s after {near[1]} {near[2]} {near[3]} was killed" if near else "")
    delivered = seen.get(f"{o.seed}-{e['id']}", 0)
    print(f"          {json.dumps(e)} delivered={delivered}{at}")


def main():
    o = options()
    return self_test(o) if o.self_test else run(o)


def run(o):
    program, checker = programs()
    print(f"soak: seed {o.seed}, {o.length:.0f} s at {o.rate} requests a second, chaos: "
          f"{', '.join(o.chaos) or 'none'}", flush=True)
    p = Portico(program, o)
    chaos, edges, faults, events = Chaos(p, o), {}, [], []
    try:
        p.start()

        def sample():
            pid = p.role("edge")
            found = re.search(rb"VmRSS:\s+(\d+)", of_proc(pid, "status")) if pid else None
            if not found:
                return
            s = edges.setdefault(pid, {"rss": [], "fds": []})
            s["rss"].append(int(found[1]))
            try:
                s["fds"].append(len(os.listdir(f"/proc/{pid}/fd")))
            except OSError:
                s["rss"].pop()

        limit = ["--requests", str(o.requests)] if o.requests else ["--seconds", str(o.seconds)]
        load = subprocess.Popen(
            [checker, "--ca", p.home / "data/tls/ca.crt", "--https", str(p.ports["https"]),
             "--http", str(p.ports["http"]), "--rate", str(o.rate), "--seed", str(o.seed),
             "--run", str(o.seed), "--aborts", str(o.aborts), "--slow", str(o.slow),
             "--faults", str(o.faults), "--large", str(o.large), "--conns", str(o.conns),
             "--kinds", o.kinds, *limit, *(f"{app}={app}.localhost" for app in APPS)],
            stdout=subprocess.PIPE, text=True)
        began = time.monotonic()

        def listen():
            for line in load.stdout:
                events.append(json.loads(line))

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        chaos.run(began, lambda: load.poll() is not None or p.process.poll() is not None, sample)
        if p.process.poll() is not None:
            faults.append(f"portico ended with {p.process.returncode} under load")
            load.kill()
        load.wait()
        listener.join()
        if p.process.poll() is None:
            if not o.lie:
                settle(p, faults, o)
            sample()
            stop(p, faults)
        return judge(o, p, chaos, edges, faults, events, load.returncode)
    finally:
        if p.process.poll() is None:
            p.process.kill()
        if o.keep:
            print(f"kept: {p.home}")
        else:
            shutil.rmtree(p.home, ignore_errors=True)


def connections_to(addresses):
    """How many connections of Unix sockets there are to one of the addresses."""
    rows = [line.split() for line in of_proc("net", "unix").decode().splitlines()[1:]]
    return sum(row[5] == "03" and f"unix:{row[-1]}" in addresses for row in rows)


def settle(p, faults, o):
    """Nothing is under way any more, and the front end knows it."""
    time.sleep(6)  # idle connections to HTTP/1.1 workers go; those of h2c stay
    h2c = {i["address"] for a in json.loads(p.admin("/apps"))["apps"]
           if a["http20ProxyFlag"] for i in a["instances"]}
    text = p.admin("/metrics")
    for name, wanted in (("requests_open", 0), ("client_connections_open", 0),
                         ("worker_connections_open", connections_to(h2c))):
        values = re.findall(rf"^portico_{name}(?:\{{.*\}})? (\d+)$", text, re.M)
        if not values or any(int(value) != wanted for value in values):
            faults.append(f"with no client left: {name} is {values}, not {wanted}")
    if o.pause and faults:
        input(f"edge is {p.role('edge')}; press enter\n")


def stop(p, faults):
    p.process.send_signal(signal.SIGTERM)
    try:
        p.process.wait(40)
    except subprocess.TimeoutExpired:
        faults.append("SIGTERM did not end it in 40 s")
        p.process.kill()
        p.process.wait()
    if p.process.returncode != 0:
        faults.append(f"portico ended with {p.process.returncode}")
    time.sleep(0.2)
    if p.strays():
        faults.append(f"processes are left: {p.strays()}")


def judge(o, p, chaos, edges, faults, events, checker_status):
    end = events.pop() if events and events[-1]["event"] == "end" else None
    if not end:
        print(p.tail(60))
        print(f"the checker ended with {checker_status} and no sums")
        return 1
    for _, line in p.lines:
        if STRANGE.search(line):
            faults.append(line)
        found = re.search(r"\brole\.exit role=(\w+) .*\bsignal=(\d+)", line)
        if found and found[2] not in ("0", "9"):
            faults.append(line)
    judgement, excused, bad = Judge(chaos.kills), collections.Counter(), []
    seen = deliveries(p.log)
    twice = [i for i, n in seen.items() if n > 1]
    for e in events:
        why = judgement.excuse(e)
        if why == "unsafe" and f"{o.seed}-{e['id']}" not in seen:
            why = "unsafe, sent but not read"
        if why:
            excused[why] += 1
        else:
            bad.append(e)
    print_end(o, end, excused, bad, chaos, edges, twice)
    groups = collections.defaultdict(list)
    for e in bad:
        groups[e["event"], e["kind"], e.get("app"), e.get("method"), e.get("status"), e["why"],
               e.get("note", "").split("  app:")[0]].append(e)
    for group, alike in sorted(groups.items(), key=lambda g: -len(g[1]))[:20]:
        print(f"  {len(alike):5} × " + " ".join(str(x) for x in group))
        print_example(o, chaos, seen, alike[0])
    for i in twice[:10]:
        print(f"  delivered twice: {i}")
    for fault in faults[:20]:
        print(f"  fault: {fault}")
    (p.home / "events.json").write_text(json.dumps(
        {"events": events, "kills": chaos.kills, "end": end}, indent=1))
    (p.home / "portico.log").write_text("\n".join(f"{t:.6f} {line}" for t, line in p.lines))
    bad_end = bool(bad or twice or faults or checker_status not in (0, 1))
    o.found_wrong = bool(twice or any(e["event"] == "wrong" for e in bad))
    print("FAILED" if bad_end else "passed: nothing was lost")
    return 1 if bad_end else 0


if __name__ == "__main__":
    sys.exit(main())
