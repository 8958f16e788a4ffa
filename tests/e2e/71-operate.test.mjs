// SPDX-License-Identifier: Apache-2.0
// The verbs for a Portico that runs, and admin.sock behind them.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { spawn } from 'node:child_process';
import { PORTICO, Portico, ask, check, isAlive, run, scratch, until, worker } from './lib.mjs';

let p;
// What a terminal takes for sequences (the second one is U+009B), and a letter.
const ODD = `sh -c "printf 'odd \\033[1m \\302\\2331m \\303\\251\\n'; exec node h1.mjs"`;
// An app that does not start when this file is there.
const BROKEN = path.join(scratch(), 'broken');
const cli = (...args) => run(PORTICO, [...args, '--data', p.data]);
const pids = async () => (await p.states()).one.filter(({ inRoutes }) => inRoutes).map(({ pid }) => pid).sort();
const local = (where, options = {}) => ask({ host: 'localhost', port: 80, path: where, socketPath: path.join(p.data, 'admin.sock'), ...options });

check('starts', async () => {
  p = await Portico.start({ accessLog: 'off', apps: {
    one: worker('version', 'one.localhost', { instances: 2, env: { VERSION: '1' } }), two: worker('h1', 'two.localhost'), odd: worker('h1', 'odd.localhost', { command: ODD }),
    shaky: worker('h1', 'shaky.localhost', { command: `sh -c '[ ! -e ${BROKEN} ] && exec node h1.mjs'` }) } });
}, 60);

check('status is a table, one app in detail, or JSON', async () => {
  const all = await cli('status');
  assert.equal(all.code, 0, all.stderr);
  assert.match(all.stdout, /^APP +STATE +READY +RESTARTS +ADDRESS$/m);
  assert.match(all.stdout, new RegExp(`^one +ready +2/2 +0 +https://one\\.localhost:${p.ports.https}/$`, 'm'));
  const one = await cli('status', 'one');
  assert.match(one.stdout, /^0 +READY +yes +\d+ +http\/1\.1 +0 +-$/m);
  assert.equal(JSON.parse((await cli('status', 'one', '-o', 'json')).stdout).name, 'one');
  assert.equal(JSON.parse((await cli('status', '-o', 'json')).stdout).apps.length, 4);
});

check('what is wrong has an exit status and a reason', async () => {
  for (const [args, reason] of [
    [['status', 'nobody'], /No app is named/],
    [['status', '-o', 'xml'], /json/],
    [['restart'], /argument is missing: APP/],
    [['scale', 'one'], /argument is missing: N/],
    [['scale', 'one', '0'], /1 to 64/],
    [['scale', 'one', '65'], /1 to 64/],
    [['restart', '../one'], /no app can be named/],
    [['reload', 'one'], /unexpected argument/],
    [['logs', 'nobody'], /has no log/],
  ]) {
    const { code, stderr } = await cli(...args);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, reason);
  }
  const nothing = await run(PORTICO, ['status', '--data', scratch()]);
  assert.equal(nothing.code, 2);
  assert.match(nothing.stderr, /no portico runs/);
  for (const verb of ['status', 'reload', 'restart', 'scale', 'logs']) assert.match((await run(PORTICO, ['help', verb])).stdout, new RegExp(`portico ${verb}`));
});

check('restart replaces the instances while requests go on', async () => {
  const old = await pids();
  let running = true;
  const failures = [];
  const clients = Promise.all([1, 2].map(async () => {
    while (running) {
      const { status } = await p.h1('one.localhost', '/?ms=10', { kind: 'http' }).catch((error) => ({ status: error.message }));
      if (status !== 200) failures.push(status);
    }
  }));
  const { code, stdout, stderr } = await cli('restart', 'one');
  running = false;
  await clients;
  assert.equal(code, 0, stderr);
  assert.match(stdout, /new instances serve/);
  assert.deepEqual(failures, []);
  assert.equal((await pids()).length, 2);
  assert.ok(old.every((pid) => !isAlive(pid)));
}, 60);

check('what cannot be printed is told, and no success', async () => {
  for (const args of [['status'], ['status', 'one', '-o', 'json'], ['push', 'stats'], ['logs', 'one'], ['help']]) {
    const { code, stderr } = await run('sh', ['-c', 'exec "$0" "$@" >/dev/full', PORTICO, ...args, ...(args[0] === 'help' ? [] : ['--data', p.data])]);
    assert.equal(code, 1, args.join(' '));
    assert.match(stderr, /portico: cannot write to standard output: No space left on device/);
  }
});

check('an app whose name is no text is not there', async () => {
  const path = Buffer.from('/apps/\xff', 'latin1').toString('latin1');
  const { status, body } = await local(path);
  assert.equal(status, 404);
  assert.equal(JSON.parse(body).error.status, 404);
});

check('restart of what does not start any more ends with a reason, and leaves what serves', async () => {
  const [{ pid }] = (await p.states()).shaky;
  fs.writeFileSync(BROKEN, '');
  const { code, stderr } = await cli('restart', 'shaky');
  assert.equal(code, 1);
  assert.match(stderr, /the new instances of shaky do not start; the old ones go on\. `portico logs shaky` says more/);
  assert.equal((await p.h1('shaky.localhost', '/whoami')).status, 200);
  assert.ok(isAlive(pid));
  fs.unlinkSync(BROKEN);
  assert.equal((await cli('restart', 'shaky')).code, 0);
  assert.ok(!isAlive(pid));
}, 60);

check('scale counts until the next reload', async () => {
  const before = await pids();
  const { code, stdout } = await cli('scale', 'one', '3');
  assert.equal(code, 0);
  assert.match(stdout, /until the next reload/);
  await until('there are three', async () => (await pids()).length === 3);
  assert.ok((await pids()).filter((pid) => before.includes(pid)).length === 2);
  assert.equal((await cli('reload')).code, 0);
  await until('there are two again', async () => (await p.states()).one.length === 2);
  assert.deepEqual(await pids(), before);
}, 60);

check('a worker does not steer the operator\'s terminal', async () => {
  await p.line(/^\[odd\/0\] odd \?\[1m \?\?1m é$/);
  const { stdout } = await run('script', ['-qec', `${PORTICO} logs odd --data ${p.data}`, '/dev/null']);
  assert.match(stdout, /^\[odd\.0\] odd \?\[1m \?\?1m é\r$/m);
  assert.match((await cli('logs', 'odd')).stdout, /^\[odd\.0\] odd \x1b\[1m \u009b1m é$/m); // no terminal: as it is
});

check('logs of one app, of all, and as they come', async () => {
  const one = await cli('logs', 'one');
  assert.equal(one.code, 0);
  assert.match(one.stdout, /^\[one\.\d+\] version worker listens$/m);
  assert.doesNotMatch(one.stdout, /^\[two/m);
  assert.match((await cli('logs')).stdout, /^\[two\.0\] /m);
  const tail = spawn(PORTICO, ['logs', 'one', '-f', '--data', p.data], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  tail.stdout.on('data', (more) => {
    text += more;
  });
  await until('it shows what is there', () => text.includes('listens'));
  const count = text.split('listens').length;
  await cli('restart', 'one');
  await until('it shows what comes', () => text.split('listens').length >= count + 2);
  tail.kill('SIGTERM');
}, 60);

check('admin.sock: only its owner may open it, and only there something can be changed', async () => {
  assert.equal(fs.statSync(path.join(p.data, 'admin.sock')).mode & 0o777, 0o600);
  assert.equal((await ask({ port: p.ports.admin, host: '127.0.0.1', path: '/reload', method: 'POST' })).status, 403);
  assert.equal((await local('/reload')).status, 405);
  assert.equal((await local('/apps/one')).status, 200);
  for (const body of ['', '{', '{"instances": "3"}', '{"instances": 1000}', 'x'.repeat(3000)]) {
    assert.equal((await local('/apps/one/scale', { method: 'POST', body })).status, 400, body);
  }
  assert.equal((await local('/apps/one/scale', { method: 'POST', body: 'x'.repeat(5000) })).status, 413);
  assert.equal((await local('/apps/nobody/restart', { method: 'POST' })).status, 404);
});

check('who holds connections to the admin listener keeps nobody out', async () => {
  const held = [];
  for (let i = 0; i < 100; i++) {
    const socket = net.connect(p.ports.admin, '127.0.0.1', () => socket.write('GET /metrics HT')); // and no more
    held.push(socket.on('error', () => {}));
    await once(socket, 'connect');
  }
  assert.equal((await p.admin('/healthz')).status, 200);
  const { code, stderr } = await cli('status');
  assert.equal(code, 0, stderr);
  for (const socket of held) socket.destroy();
});

check('ends clean, and takes its socket away', async () => {
  await p.stop();
  assert.equal(fs.existsSync(path.join(p.data, 'admin.sock')), false);
});
