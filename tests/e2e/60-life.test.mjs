// SPDX-License-Identifier: Apache-2.0
// Processes die; the service does not.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { Portico, check, close2, fetch2, isAlive, openDescriptors, raw, until, worker } from './lib.mjs';

let p;
const pids = async (app) => (await p.states())[app].map(({ pid }) => pid);
const readyPids = async (app) => (await p.states())[app].filter(({ state }) => state === 'READY').map(({ pid }) => pid);

check('starts', async () => {
  p = await Portico.start({
    apps: {
      one: worker('h1', 'one.localhost', { instances: 2 }),
      two: worker('h2c', 'two.localhost', { instances: 2 }),
      lone: worker('h1', 'lone.localhost'),
      stubborn: worker('stubborn', 'stubborn.localhost'),
    },
  });
}, 60);

check('a worker that exits is started again, at the same address', async () => {
  const before = await pids('one');
  const answer = await p.h1('one.localhost', '/exit?code=3').catch((error) => error);
  assert.ok(answer instanceof Error || answer.status === 502, String(answer.status));
  await until('both are ready again', async () => {
    const now = await readyPids('one');
    return now.length === 2 && now.some((pid) => !before.includes(pid));
  });
  await p.line(/worker\.exit\b.*app=one\b/);
  for (let i = 0; i < 10; i++) assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
});

check('one that comes up and is killed, again and again, is waited for', async () => {
  for (let round = 0; round < 4; round++) {
    const before = await until('it is ready', async () => (await readyPids('lone'))[0]);
    process.kill(before, 'SIGKILL');
    await until('its end is known', async () => (await p.states()).lone[0].pid !== before);
    const { status, body } = await p.h1('lone.localhost', '/whoami');
    assert.equal(status, 200, `round ${round}: ${body}`);
  }
}, 60);

check('a worker that is killed in the middle of requests loses only its own', async () => {
  const [victim] = await readyPids('two');
  const session = await p.h2('two.localhost');
  const contents = Array.from({ length: 10 }, () => new PassThrough()); // their requests last until these end
  const open = contents.map((body) => fetch2(session, '/echo', { body }));
  await until('both work', async () => (await p.metric('portico_requests_open', { app: 'two' })) >= 10);
  process.kill(victim, 'SIGKILL');
  for (const body of contents) body.end('said');
  const answers = await Promise.all(open);
  const good = answers.filter(({ status }) => status === 200).length;
  assert.ok(good >= 5, `${good} of 10`);
  for (const { status } of answers) assert.ok([200, 502].includes(status), String(status));
  assert.equal((await fetch2(session, '/whoami')).status, 200);
  await close2(session);
  await until('both are ready again', async () => (await readyPids('two')).length === 2);
});

check('kill -9 of edge: no connection refused, service goes on, workers alive', async () => {
  const before = [...await pids('one'), ...await pids('two')];
  const edge = p.role('edge');
  const port = p.ports.http;
  let refused = 0, tried = 0, over = false;
  const knocking = (async () => {
    while (!over && p.code === undefined) {
      await new Promise((resolve) => {
        const socket = net.connect(port, '127.0.0.1');
        socket.on('connect', () => {
          tried++;
          socket.destroy();
          resolve();
        });
        socket.on('error', (error) => {
          if (error.code === 'ECONNREFUSED') refused++;
          resolve();
        });
      });
      await new Promise((resolve) => setTimeout(resolve, 3));
    }
  })();
  process.kill(edge, 'SIGKILL');
  await until('the old edge is gone', () => !isAlive(edge));
  // A connection that the old edge had accepted is lost; a new one waits in the listening socket.
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
  over = true;
  await knocking;
  assert.equal(refused, 0);
  assert.ok(tried > 0);
  assert.notEqual(p.role('edge'), edge);
  assert.deepEqual([...await pids('one'), ...await pids('two')], before);
  const session = await p.h2('two.localhost'); // the certificates came too
  assert.equal((await fetch2(session, '/whoami')).status, 200);
  await close2(session);
});

check('kill -9 of control: requests go on, and it comes back', async () => {
  const control = p.role('control');
  const workers = await pids('one');
  process.kill(control, 'SIGKILL');
  for (let i = 0; i < 20; i++) assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
  await until('control answers again', async () => (await p.admin('/healthz')).status === 200);
  await p.ready();
  assert.notEqual(p.role('control'), control);
  assert.deepEqual(await pids('one'), workers);
  for (let i = 0; i < 5; i++) assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
});

check('workers\' output is kept in files and tagged on the console', async () => {
  await p.line(/^\[one\/0\] h1 worker listens/);
  await p.line(/^\[one\/1\] h1 worker listens/);
  const found = [];
  const walk = (directory) => {
    for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
      const full = path.join(directory, entry.name);
      if (entry.isDirectory()) walk(full);
      else if (entry.name.endsWith('.log') && fs.readFileSync(full, 'utf8').includes('h1 worker listens')) found.push(full);
    }
  };
  walk(p.data);
  assert.ok(found.length >= 2, String(found));
});

check('descriptors do not grow with restarts', async () => {
  const edge = p.role('edge');
  const before = [openDescriptors(p.pid), openDescriptors(edge)];
  for (let round = 0; round < 3; round++) {
    const now = await readyPids('two');
    process.kill(now[0], 'SIGKILL');
    await until('it is replaced', async () => {
      const later = await readyPids('two');
      return later.length === 2 && !later.includes(now[0]);
    });
    await p.h1('two.localhost', '/whoami');
  }
  assert.ok(openDescriptors(p.pid) <= before[0] + 2, 'monitor');
  await until('edge closes what is dead', () => openDescriptors(edge) <= before[1] + 6);
}, 60);

check('SIGTERM lets a running request end, and ends what does not want to', async () => {
  const session = await p.h2('one.localhost');
  const contents = [new PassThrough(), new PassThrough()]; // their requests last until these end
  const running = [fetch2(session, '/echo', { body: contents[0] }), p.h1('one.localhost', '/echo', { method: 'POST', body: contents[1] })];
  for (const body of contents) body.write('said');
  await until('both have begun', async () => (await p.metric('portico_requests_open', { app: 'one' })) >= 2);
  const stopped = p.stop();
  await until('nobody new is served', () => raw(p.ports.http, 'GET / HTTP/1.1\r\nHost: one.localhost\r\nConnection: close\r\n\r\n', 2).then(
    (answer) => !answer.includes(' 200 '), () => true));
  for (const body of contents) body.end();
  for (const { status } of await Promise.all(running)) assert.equal(status, 200);
  session.close();
  await stopped;
}, 60);
