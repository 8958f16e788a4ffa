// SPDX-License-Identifier: Apache-2.0
// Roles that are killed with -9 at any moment, under load, and what the next start finds.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { check, hasProgram, isAlive, Portico, PORTICO, processes, scratch, until, worker } from './lib.mjs';

const APPS = { one: worker('h1', 'one.test', { instances: 2 }), two: worker('h2c', 'two.test') };

/** Asks without a pause, a connection each: {count, failures, stop}. */
function load(p, host, kind) {
  const result = { count: 0, failures: [] };
  let stopped = false;
  const over = (async () => {
    while (!stopped && p.code === undefined) {
      const began = Date.now();
      try {
        const { status } = await p.h1(host, '/bytes?n=3000', { kind });
        if (status !== 200) result.failures.push(String(status));
      } catch (error) {
        result.failures.push(error.code ?? error.message);
      }
      result.slowest = Math.max(result.slowest ?? 0, Date.now() - began);
      result.count++;
    }
  })();
  return { result, stop: () => { stopped = true; return over; } };
}

const loads = (p) => [load(p, 'one.test', 'http'), load(p, 'one.test', 'https'), load(p, 'two.test', 'https'), load(p, 'one.test', 'http')];
const moment = () => new Promise((resolve) => setTimeout(resolve, Math.random() * 150));

const p = await Portico.start({ apps: APPS });

check('edge is killed six times: nothing is refused, and it serves again', async () => {
  const all = loads(p);
  for (let i = 0; i < 6; i++) {
    await moment();
    await p.killRole('edge');
    const killed = Date.now();
    const { status } = await p.h1('one.test', '/whoami', { kind: 'http' }).catch(() => p.h1('one.test', '/whoami', { kind: 'http' }));
    assert.equal(status, 200);
    await until('it has run for more than a second', () => Date.now() - killed > 1300);
  }
  for (const one of all) await one.stop();
  for (const { result } of all) {
    assert.ok(result.count > 20);
    // A client sees its own connection cut at most, once for each death.
    assert.ok(result.failures.length <= 6, result.failures.join());
    for (const failure of result.failures) assert.match(failure, /ECONNRESET|EPIPE|hang up/);
  }
}, 60);

check('control is killed ten times: traffic is untouched', async () => {
  const all = loads(p);
  const edge = p.role('edge');
  for (let i = 0; i < 10; i++) {
    await moment();
    await p.killRole('control');
  }
  await p.ready();
  for (const one of all) await one.stop();
  for (const { result } of all) assert.deepEqual(result.failures, []);
  assert.equal(p.role('edge'), edge);
}, 60);

check('control and edge are killed together: the new ones find each other', async () => {
  await Promise.all(['control', 'edge'].map((role) => p.killRole(role)));
  await until('it serves', async () => (await p.h1('two.test', '/whoami')).status === 200);
  await p.ready();
});

check('ends clean', () => p.stop());

// ---- monitor ----

const forks = path.join(scratch(), 'forks');
const SECONDS = [1, 2, 3, 4].map((n) => 10_000_000 + 10 * process.pid + n); // nobody else on this machine sleeps so long
fs.mkdirSync(forks);
fs.chmodSync(forks, 0o755);
fs.writeFileSync(path.join(forks, 'forks.sh'), `#!/bin/sh
sleep ${SECONDS[0]} &
(trap '' TERM HUP; exec sleep ${SECONDS[1]}) &
setsid sleep ${SECONDS[2]} &
env -i /usr/bin/sleep ${SECONDS[3]} &
exec node ${path.join(forks, 'h1.mjs')}
`);
for (const name of ['h1.mjs', 'routes.mjs', 'pattern.mjs']) fs.copyFileSync(new URL(`workers/${name}`, import.meta.url), path.join(forks, name));
fs.writeFileSync(path.join(forks, 'app.py'), 'def app(environ, start):\n    start("200 OK", [("Content-Length", "0")])\n    return []\n');
const FORKING = { one: { directory: forks, command: 'sh ./forks.sh', hosts: ['one.test'] } };
const PREFORKING = { py: { directory: forks, command: 'gunicorn -w 2 --worker-tmp-dir /dev/shm -b 127.0.0.1:$PORT app:app', hosts: ['py.test'] } };

function sleepers() {
  return [...processes()].filter(([pid, { state }]) => {
    if (state === 'Z') return false;
    try {
      const [program, seconds] = fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
      return /(^|\/)sleep$/.test(program) && SECONDS.includes(Number(seconds));
    } catch {
      return false;
    }
  }).map(([pid]) => pid);
}

const descendants = (pid) => {
  const all = processes();
  const found = [];
  for (const [child, { ppid }] of all) if (ppid === pid) found.push(child);
  return found;
};

const listens = (port) => new Promise((resolve) => {
  const socket = net.connect(port, '127.0.0.1', () => { socket.destroy(); resolve(true); });
  socket.on('error', () => resolve(false));
});

/** Another start on the data of one whose monitor was killed. */
async function startAfter(first, apps) {
  const second = new Portico(fs.readFileSync(first.manifest, 'utf8'), { args: ['--data', first.data], apps });
  second.data = first.data;
  await second.listening();
  await second.ready();
  return second;
}

check('monitor is killed: all that it started ends with it, and the next start ends what those had forked', async () => {
  const first = await Portico.start({ apps: FORKING });
  const children = descendants(first.pid);
  assert.ok(children.length >= 3); // control, edge and the worker
  await until('the forks run', () => sleepers().length === 4);
  const strange = processes();
  first.kill('SIGKILL');
  await until('edge, control and workers are gone', () => !children.some(isAlive));
  assert.equal(await listens(first.ports.http), false);
  assert.equal(sleepers().length, 4, 'nobody is left who could end these');
  const second = await startAfter(first, FORKING);
  await second.line(/monitor\.stray/);
  await until('only the new forks run', () => sleepers().length === 4 && sleepers().every((pid) => strange.get(pid) === undefined));
  assert.equal((await second.h1('one.test', '/whoami', { kind: 'http' })).status, 200);
  await second.stop();
  assert.deepEqual(sleepers(), []);
  assert.deepEqual(fs.readdirSync(first.data).filter((name) => name === 'run'), [], 'no socket is left');
}, 60);

check('monitor is killed above a server that forks before it serves: the next start serves', async () => {
  const first = await Portico.start({ apps: PREFORKING });
  first.kill('SIGKILL');
  await until('it is gone', () => !isAlive(first.pid));
  const second = await startAfter(first, PREFORKING);
  assert.equal((await second.h1('py.test', '/', { kind: 'http' })).status, 200);
  await second.stop();
}, 60, !hasProgram('gunicorn') && 'gunicorn is not installed');

check('monitor is killed at random moments of its start: the next one starts', async () => {
  const home = await Portico.start({ apps: APPS });
  await home.stop();
  for (let i = 0; i < 6; i++) {
    const one = new Portico(fs.readFileSync(home.manifest, 'utf8'), { args: ['--data', home.data], apps: APPS });
    await one.line(/monitor\.start/);
    await new Promise((resolve) => setTimeout(resolve, i * 60 * Math.random() * 2));
    one.kill('SIGKILL');
    await until('it is gone', () => !isAlive(one.pid));
  }
  const last = new Portico(fs.readFileSync(home.manifest, 'utf8'), { args: ['--data', home.data], apps: APPS });
  last.data = home.data;
  await last.listening();
  await last.ready();
  assert.equal((await last.h1('one.test', '/whoami')).status, 200);
  await last.stop();
  assert.deepEqual(home.strays(), []);
}, 60);

// As root edge has a user of its own, whose processes are counted.
check('edge that cannot have its threads says so, and ends in order', async () => {
  const program = path.join(scratch(), 'few');
  fs.writeFileSync(program, `#!/bin/bash\nulimit -u 4\nexec '${PORTICO}' "$@"\n`, { mode: 0o755 });
  const few = new Portico({ loops: 8, apps: { one: worker('h1', 'one.test') } }, { program });
  assert.match(await few.line(/role\.exit role=edge/), / status=70 /);
  await few.stop();
}, 60, process.getuid() !== 0 && 'needs root');
