// SPDX-License-Identifier: Apache-2.0
// The limits of the machine: descriptors, full disks; and what systemd is told.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { check, close2, fetch2, hasProgram, openDescriptors, PORTICO, Portico, run, scratch, until, worker } from './lib.mjs';

const APPS = { one: worker('h1', 'one.test'), two: worker('h2c', 'two.test') };
const isRoot = process.getuid() === 0;

/** As the process' own user: that needs no capability. */
const limit = async (pid, descriptors) => {
  const { uid, gid } = fs.statSync(`/proc/${pid}`);
  const { code, stderr } = await run('prlimit', ['--pid', String(pid), `--nofile=${descriptors}:`], { uid, gid });
  assert.equal(code, 0, stderr);
};

const connect = (port) => new Promise((resolve, reject) => {
  const socket = net.connect(port, '127.0.0.1', () => resolve(socket));
  socket.on('error', reject);
});

const hardLimit = (pid) => Number(/^Max open files\s+\d+\s+(\d+)/m.exec(fs.readFileSync(`/proc/${pid}/limits`, 'utf8'))[1]);

// ---- descriptors ----

const p = await Portico.start({ apps: APPS, loops: 1 });

check('edge without a free descriptor: who is connected is served, who waits is served later', async () => {
  const edge = p.role('edge');
  const session = await p.h2('one.test');
  assert.equal((await fetch2(session, '/bytes?n=100')).status, 200); // a connection to the worker is there, too
  await limit(edge, openDescriptors(edge) + 20);
  const idle = [];
  for (let i = 0; i < 60; i++) idle.push(await connect(p.ports.http)); // the kernel takes them all
  await until('accept has failed', async () => (await p.metric('portico_accept_failures_total')) > 0);
  for (let i = 0; i < 20; i++) {
    const { status, body } = await fetch2(session, '/bytes?n=100000');
    assert.equal(status, 200);
    assert.equal(body.length, 100000);
  }
  const late = p.h1('one.test', '/bytes?n=100', { kind: 'http' });
  assert.equal(await Promise.race([late.then(() => 'served'), new Promise((resolve) => setTimeout(resolve, 300, 'waits'))]), 'waits');
  for (const socket of idle) socket.destroy();
  assert.equal((await late).status, 200);
  assert.equal((await p.h1('one.test', '/bytes?n=100')).status, 200);
  await limit(edge, hardLimit(edge));
  await close2(session);
});

check('no descriptor for a connection to a worker: 503, not a hang, and it is over when there is one', async () => {
  const edge = p.role('edge');
  const session = await p.h2('two.test');
  const slow = [];
  // An HTTP/1.1 worker takes a connection a request: these use up what is left, and the others wait for
  // 5 s, as for any instance that has no room.
  const one = await p.h2('one.test');
  await limit(edge, openDescriptors(edge) + 3);
  for (let i = 0; i < 12; i++) slow.push(fetch2(one, '/slow?ms=6500'));
  const answers = (await Promise.all(slow)).map(({ status }) => status);
  assert.ok(answers.every((status) => status === 200 || status === 503), answers.join());
  assert.ok(answers.includes(200) && answers.includes(503), answers.join());
  await limit(edge, hardLimit(edge));
  const again = await Promise.all(Array.from({ length: 12 }, () => fetch2(one, '/slow?ms=50')));
  assert.ok(again.every(({ status }) => status === 200), again.map(({ status }) => status).join());
  await close2(one);
  await close2(session);
});

check('control without a free descriptor: traffic is untouched', async () => {
  const control = p.role('control');
  await limit(control, openDescriptors(control));
  const waiting = connect(p.ports.admin);
  for (let i = 0; i < 20; i++) assert.equal((await p.h1('one.test', '/bytes?n=100')).status, 200);
  await limit(control, hardLimit(control));
  (await waiting).destroy();
  await until('it answers again', async () => (await p.admin('/healthz')).status === 200);
});

check('ends clean', () => p.stop());

// ---- disks ----

check('an access log that cannot be written: lines are counted, requests are served', async () => {
  const full = await Portico.start({ apps: { one: APPS.one }, accessLog: '/dev/full' });
  for (let i = 0; i < 20; i++) assert.equal((await full.h1('one.test', '/bytes?n=100')).status, 200);
  await until('20 lines are counted as dropped', async () => (await full.metric('portico_access_log_dropped_total')) === 20);
  await full.stop();
});

/** Runs fn with a file system of 1 MiB. */
async function onSmallDisk(fn) {
  const disk = scratch();
  assert.equal((await run('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=755', 'tmpfs', disk])).code, 0);
  try {
    await fn(disk);
  } finally {
    await run('umount', ['-l', disk]);
  }
}

const mayMount = isRoot && await run('unshare', ['-m', 'true']).then(({ code }) => code === 0);
const mounting = (name, body, seconds) => check(name, body, seconds, !mayMount && 'needs root that may mount');

mounting('a disk that fills up and is emptied: the access log goes on with whole lines', async () => {
  await onSmallDisk(async (disk) => {
    const log = path.join(disk, 'access.log');
    const q = await Portico.start({ apps: { one: APPS.one }, accessLog: log });
    await q.h1('one.test', '/bytes?n=1');
    await until('the first line is there', () => fs.existsSync(log) && fs.statSync(log).size > 0);
    const filler = path.join(disk, 'filler');
    assert.throws(() => fs.writeFileSync(filler, Buffer.alloc(2 << 20)), /ENOSPC/);
    // What is left of the last page takes some more.
    for (let i = 0; i < 60; i++) assert.equal((await q.h1('one.test', '/bytes?n=1')).status, 200);
    // Lines are counted when they are tried, which may be after their answers have come.
    const dropped = await until('lines were dropped', async () => {
      const n = await q.metric('portico_access_log_dropped_total');
      return n > 20 && n;
    });
    assert.ok(dropped <= 60, String(dropped));
    fs.rmSync(filler);
    await q.h1('one.test', '/bytes?n=1');
    await q.h1('one.test', '/bytes?n=77');
    const lines = await until('the last line is there', () => {
      const all = fs.readFileSync(log, 'utf8').trimEnd().split('\n');
      return JSON.parse(all.at(-1)).response_octets === 77 && all;
    });
    const whole = lines.filter((line) => {
      try {
        JSON.parse(line);
        return true;
      } catch {
        return false;
      }
    });
    assert.ok(lines.length - whole.length <= 1, 'at most one line was cut by the end of the disk');
    // Once a second what was lost is counted.
    await until('every line was written or counted', async () => whole.length + await q.metric('portico_access_log_dropped_total') === 63);
    await q.stop();
  });
});

mounting('a worker whose log finds no room is not blocked', async () => {
  await onSmallDisk(async (disk) => {
    fs.writeFileSync(path.join(disk, 'chatty.sh'), '#!/bin/sh\nwhile :; do head -c 65536 /dev/zero | tr "\\0" x; echo; sleep 0.02; done &\nexec node h1.mjs\n');
    const home = scratch();
    for (const name of ['h1.mjs', 'routes.mjs', 'pattern.mjs']) fs.copyFileSync(new URL(`workers/${name}`, import.meta.url), path.join(home, name));
    fs.copyFileSync(path.join(disk, 'chatty.sh'), path.join(home, 'chatty.sh'));
    fs.rmSync(path.join(disk, 'chatty.sh'));
    const q = await Portico.start({ apps: { one: { directory: home, command: 'sh ./chatty.sh', hosts: ['one.test'] } } }, { ready: false, args: ['--data', disk] });
    q.data = disk;
    await q.ready();
    await until('the disk is full', () => { const s = fs.statfsSync(disk); return s.bfree === 0; });
    for (let i = 0; i < 30; i++) assert.equal((await q.h1('one.test', '/bytes?n=1000', { kind: 'http' })).status, 200);
    assert.equal((await q.states()).one[0].state, 'READY');
    await q.stop();
  });
}, 60);

// ---- systemd ----

/** What a service manager hears: lines of datagrams, by Python, as Node has no such sockets. */
async function listener() {
  const where = path.join(scratch(), 'notify');
  const child = spawn('python3', ['-u', '-c', `
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(${JSON.stringify(where)})
os.chmod(${JSON.stringify(where)}, 0o777)
print("listens")
while True:
    print(s.recv(4096).decode().replace("\\n", " "))
`], { stdio: ['ignore', 'pipe', 'inherit'] });
  process.on('exit', () => child.kill());
  const heard = [];
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text) => {
    const parts = (rest + text).split('\n');
    rest = parts.pop();
    heard.push(...parts);
  });
  await until('it listens', () => heard.includes('listens'));
  return { where, heard, stop: () => child.kill() };
}

check('a service manager is told: ready, alive, reloading, ready again, stopping', async () => {
  const manager = await listener(), program = path.join(scratch(), 'portico');
  fs.copyFileSync(PORTICO, program);
  Object.assign(process.env, { NOTIFY_SOCKET: manager.where, WATCHDOG_USEC: '400000' });
  const q = await Portico.start({ apps: { one: APPS.one } }, { program });
  delete process.env.NOTIFY_SOCKET;
  delete process.env.WATCHDOG_USEC;
  await until('READY', () => manager.heard.find((line) => line.includes(`READY=1 MAINPID=${q.pid}`)));
  await until('WATCHDOG twice', () => manager.heard.filter((line) => line === 'WATCHDOG=1').length >= 2);
  const from = manager.heard.length;
  q.kill('SIGUSR2');
  await q.line(/upgrade\.done/);
  await until('RELOADING, then READY', () => {
    const news = manager.heard.slice(from);
    const reloading = news.findIndex((line) => /^RELOADING=1 MONOTONIC_USEC=\d+/.test(line));
    return reloading >= 0 && news.slice(reloading).some((line) => line.startsWith('READY=1'));
  });
  const later = manager.heard.length;
  await until('the new program keeps the watchdog', () => manager.heard.slice(later).includes('WATCHDOG=1'));
  fs.unlinkSync(program);
  fs.writeFileSync(program, 'no program', { mode: 0o755 });
  const last = manager.heard.length;
  q.kill('SIGUSR2');
  await q.line(/upgrade\.refused/);
  await until('READY, as what ran goes on', () => manager.heard.slice(last).some((line) => line.startsWith('READY=1')));
  await q.stop();
  await until('STOPPING', () => manager.heard.includes('STOPPING=1'));
  manager.stop();
});

check('sockets that are handed over are served, and stay through an upgrade; one too many is closed', async () => {
  const home = scratch();
  const starter = path.join(home, 'starter.py');
  // As systemd: descriptors from 3 on, LISTEN_PID is the program's own.
  fs.writeFileSync(starter, `
import os, socket, sys
fds = []
for n in range(3):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0)); s.listen(64); fds.append(s)
text = open(sys.argv[3]).read()
ports = [s.getsockname()[1] for s in fds]
text = text.replace("HTTPS", str(ports[0])).replace("HTTP", str(ports[1]))
open(sys.argv[3], "w").write(text)
high = [os.dup(s.fileno()) for s in fds]
high = [os.dup2(fd, 100 + i) for i, fd in enumerate(high)]
for i, fd in enumerate(high): os.dup2(fd, 3 + i)
os.closerange(6, 200)
os.environ.update(LISTEN_FDS="3", LISTEN_PID=str(os.getpid()))
os.execv(os.environ["PORTICO"], ["portico"] + sys.argv[1:])
`);
  const launch = path.join(home, 'launch');
  fs.writeFileSync(launch, `#!/bin/sh\nexec python3 ${starter} "$@"\n`);
  fs.chmodSync(launch, 0o755);
  const { PORTICO } = await import('./lib.mjs');
  process.env.PORTICO = PORTICO;
  const q = await Portico.start({
    listen: { https: '127.0.0.1:HTTPS', http: '127.0.0.1:HTTP', admin: '127.0.0.1:0' }, apps: { one: APPS.one },
  }, { program: launch });
  await q.line(/handed over that no address/);
  for (const kind of ['http', 'https']) assert.equal((await q.h1('one.test', '/whoami', { kind })).status, 200);
  q.kill('SIGUSR2');
  await q.line(/upgrade\.done/);
  for (const kind of ['http', 'https']) assert.equal((await q.h1('one.test', '/whoami', { kind })).status, 200);
  assert.equal((JSON.parse((await q.h1('one.test', '/env')).body)).LISTEN_FDS, undefined);
  await q.stop();
});

check('systemd finds no fault in the unit', async () => {
  const home = scratch();
  const unit = path.join(home, 'portico.service');
  const text = fs.readFileSync(new URL('../../install/portico.service.in', import.meta.url), 'utf8');
  fs.writeFileSync(unit, text.replaceAll('@bindir@/portico', '/bin/true'));
  const { code, stderr } = await run('systemd-analyze', ['verify', '--man=no', unit]);
  assert.equal(stderr.split('\n').filter((line) => line.includes('portico.service')).join('\n'), '');
  assert.equal(code, 0, stderr);
}, 30, !hasProgram('systemd-analyze') && 'systemd-analyze is not installed');
