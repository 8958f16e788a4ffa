// SPDX-License-Identifier: Apache-2.0
// A worker that somebody else runs, at a unix socket, and that accepts no connection for a while: when its
// backlog is full the kernel says so at once, and says nothing when it is not any more.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { Portico, check, processes, scratch, until } from './lib.mjs';

const directory = scratch(), socket = path.join(directory, 'worker.sock');
const server = `
  process.umask(0);
  require('node:http').createServer((request, response) => response.setHeader('connection', 'close').end('served'))
    .listen({ path: process.argv[1], backlog: 1 }, () => console.log('listens'));`;
// Of a pair with that worker: its answers come when they are let go.
const held = [], other = http.createServer((request, response) => { held.push(response); });
let p, worker, waiting = [];

/** Nobody accepts: connections until the kernel takes no more. */
async function fill() {
  worker.kill('SIGSTOP');
  await until('it has stopped', () => processes().get(worker.pid).state === 'T');
  for (;;) {
    const one = net.connect(socket);
    const full = await new Promise((resolve) => {
      one.on('connect', () => resolve(false)).on('error', (error) => resolve(error.code));
    });
    if (full) return assert.equal(full, 'EAGAIN');
    waiting.push(one);
  }
}

async function empty() {
  worker.kill('SIGCONT');
  for (const one of waiting.splice(0)) one.destroy();
  await until('it accepts', async () => (await ask()).status === 200);
}

const ask = (host = 'one.localhost') => p.h1(host, '/', { kind: 'http' });
const waits = (n) => until(`${n} wait`, async () => await p.metric('portico_requests_waiting', { app: 'one' }) === n);
const connect = (app = 'one') => p.metric('portico_faults_total', { app, reason: 'connect' });

check('starts', async () => {
  fs.chmodSync(directory, 0o755);
  worker = spawn(process.execPath, ['-e', server, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(worker.stdout, 'data');
  await new Promise((resolve) => other.listen(`${socket}.other`, resolve));
  fs.chmodSync(`${socket}.other`, 0o777);
  p = await Portico.start({
    loops: 1,
    apps: {
      one: { upstreams: [`unix:${socket}`], hosts: ['one.localhost'], limits: { queue: 3 } },
      pair: { upstreams: [`unix:${socket}`, `unix:${socket}.other`], hosts: ['pair.localhost'], limits: { concurrency: 1, queue: 3 } },
      nobody: { upstreams: [`unix:${socket}.none`], hosts: ['nobody.localhost'] },
    },
  });
  await until('it is served', async () => (await ask()).status === 200);
}, 60);

check('who asks meanwhile waits, and is served', async () => {
  await fill();
  const answers = Promise.all([1, 2, 3].map(() => ask()));
  await waits(3);
  assert.equal((await ask()).status, 502); // the queue is full, too
  assert.equal(await connect(), 1);
  await empty(); // who asks whether it accepts may be one too many, too
  assert.deepEqual((await answers).map(({ status, body }) => [status, String(body)]), Array(3).fill([200, 'served']));
});

check('not for longer than a connection may take', async () => {
  await fill();
  const before = await connect();
  const { status } = await ask();
  assert.equal(status, 502);
  assert.equal(await connect(), before + 1);
  await empty();
});

check('a place where nobody accepts is not handed around, and others are served', async () => {
  await fill();
  const first = ask('pair.localhost');
  await until('it is with the other', () => held.length === 1);
  const answers = [ask('pair.localhost'), ask('pair.localhost')];
  await until('two wait', async () => await p.metric('portico_requests_waiting', { app: 'pair' }) === 2);
  assert.equal((await ask('nobody.localhost')).status, 502);
  for (let served = 0; served < 3; served++) {
    await until('the next is with it', () => held.length > served);
    held[served].end('served');
  }
  assert.deepEqual((await Promise.all([first, ...answers])).map(({ status }) => status), [200, 200, 200]);
  await empty();
});

check('where nobody listens there is nothing to wait for', async () => {
  assert.equal((await ask('nobody.localhost')).status, 502);
  assert.equal(await connect('nobody'), 2);
});

check('stops', async () => {
  await p.stop();
  worker.kill();
  other.close();
});
