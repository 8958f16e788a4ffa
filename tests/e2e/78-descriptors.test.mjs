// SPDX-License-Identifier: Apache-2.0
// Clients take every descriptor that edge may have: who is there is served on, and what monitor has
// to say, with descriptors of its own beside it, still arrives.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { PORTICO, Portico, check, isAlive, scratch, until, worker } from './lib.mjs';

const FILES = 128;
const place = scratch();
const program = path.join(place, 'few');
const log = path.join(place, 'access.log');
let p, edge;
const idle = [];
let closed = 0;

check('starts with few descriptors', async () => {
  fs.chmodSync(place, 0o777);
  fs.writeFileSync(program, `#!/bin/sh\nulimit -n ${FILES}\nexec '${PORTICO}' "$@"\n`, { mode: 0o755 });
  p = await Portico.start({
    loops: 1, accessLog: log, apps: { one: worker('h1', 'one.test') },
  }, { program });
  edge = p.role('edge');
}, 60);

check('a client that is there is answered when no other one is taken', async () => {
  for (let i = 0; i < 2 * FILES; i++) {
    idle.push(net.connect(p.ports.http, '127.0.0.1').on('error', () => {}).on('close', () => closed++));
  }
  await until('descriptors are out', async () => await p.metric('portico_accept_failures_total') > 0);
  idle[0].write('GET /whoami HTTP/1.1\r\nHost: one.test\r\n\r\n');
  const [head] = await new Promise((resolve) => idle[0].once('data', (octets) => resolve(String(octets).split('\r\n'))));
  assert.match(head, /^HTTP\/1\.1 (200|503) /); // there may be none for its worker
  assert.ok(closed < 3, `${closed} were closed, who could wait`); // the one by which it was seen, and who was answered
  await until('it is logged', () => fs.readFileSync(log, 'utf8').includes('"path":"/whoami"'));
});

check('new routes and another log file arrive', async () => {
  const before = await p.metric('portico_revision');
  const [{ pid }] = (await p.states()).one;
  process.kill(pid, 'SIGKILL');
  p.kill('SIGUSR1');
  await until('the routes of another instance are in force', async () => await p.metric('portico_revision') > before + 1
    && (await p.states()).one[0].state === 'READY');
  assert.ok(isAlive(edge), p.tail());
  for (const socket of idle) socket.destroy();
  await until('it answers', async () => (await p.h1('one.test', '/whoami', { kind: 'http' })).status === 200);
  assert.equal(p.role('edge'), edge);
  await p.stop();
}, 60);
