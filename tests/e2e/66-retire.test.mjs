// SPDX-License-Identifier: Apache-2.0
// An instance that has no routes any more is told to end when what it has under way has ended: not
// before, and not later.  Its worker exits at SIGTERM at once, so that any haste would cut a request.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { Portico, check, isAlive, run, PORTICO, until, worker } from './lib.mjs';
import { open1 } from './ws-lib.mjs';

let p;
const HOST = 'one.localhost';
const instances = async () => (await p.states()).one ?? [];
const pids = async () => (await instances()).filter(({ state }) => state === 'READY').map(({ pid }) => pid).sort();

function edit(change) {
  const manifest = JSON.parse(fs.readFileSync(p.manifest, 'utf8'));
  change(manifest.apps);
  fs.writeFileSync(`${p.manifest}.new`, JSON.stringify(manifest, null, 1));
  fs.renameSync(`${p.manifest}.new`, p.manifest);
}

let version = 1;
/** A rolling change, as far as the new instances have the routes; gives the number of log lines before. */
async function roll(change = () => {}) {
  const from = p.lines.length;
  edit((apps) => {
    apps.one.env.VERSION = String(++version);
    change(apps);
  });
  p.kill('SIGHUP');
  await p.line(/app\.changed app=one/, { from });
  return from;
}

/** A request that is under way until its client ends it. */
function held() {
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: '127.0.0.1', port: p.ports.http, method: 'POST', path: '/', agent: false, headers: { host: HOST },
    }, (response) => {
      let text = '', wake = () => {};
      response.setEncoding('utf8').on('data', (part) => {
        text += part;
        wake();
      });
      const over = new Promise((done) => {
        response.on('close', () => done(response.complete));
        response.on('error', () => done(false));
        request.on('error', () => done(false));
      }).finally(() => wake());
      const saw = (part) => until(`${part} came back`, () => text.includes(part));
      resolve({
        pid: Number(response.headers['x-pid']),
        over, // whether it was whole
        /** It is still under way: what is sent comes back. */
        async say(part) {
          request.write(part);
          await saw(part);
        },
        async end() {
          request.end('the end');
          assert.equal(await over, true, 'the response is whole');
          assert.match(text, /the end$/);
        },
      });
    });
    request.on('error', reject);
    request.flushHeaders();
  });
}

/** Another one, at another instance: each loop of edge has a load of its own to go by. */
async function heldAwayFrom(pid) {
  for (;;) {
    const request = await held();
    if (request.pid !== pid) return request;
    await request.end();
  }
}

const stopped = (pid, cause, from) => p.line(new RegExp(`worker\\.stop app=one instance=\\d+ pid=${pid} cause=${cause}`), { from });
const stops = (pid, from = 0) => p.lines.slice(from).filter((line) => line.includes(`worker.stop app=one`) && line.includes(` pid=${pid} `));
const gone = (pid) => until(`${pid} has ended`, () => !isAlive(pid));
const settled = (count) => until('all is settled', async () => {
  const now = await instances();
  return now.length === count && now.every(({ state, inRoutes }) => state === 'READY' && inRoutes);
});

check('starts', async () => {
  p = await Portico.start({
    accessLog: 'off',
    apps: {
      one: worker('version', HOST, { instances: 2, timeouts: { drain: '1h' }, env: { VERSION: '1' } }),
      ws: worker('ws', 'ws.localhost', { timeouts: { drain: '1h' } }),
    },
  });
}, 60);

check('an idle instance is stopped as soon as its routes are gone, a busy one when its request has ended', async () => {
  const old = await pids();
  const request = await held();
  const idle = old.find((pid) => pid !== request.pid);
  const from = await roll();
  await stopped(idle, 'left', from); // the limit is an hour: nothing but the edge's word can be the cause
  await gone(idle);
  await request.say('still here');
  assert.deepEqual(stops(request.pid), []);
  await request.end();
  await stopped(request.pid, 'left', from);
  await gone(request.pid);
  await settled(2);
}, 60);

check('a response of six seconds is whole', async () => {
  const old = await pids();
  const request = p.h1(HOST, '/?ms=6000', { kind: 'http' });
  await until('it is under way', async () => (await p.metric('portico_requests_open', { app: 'one' })) === 1);
  const from = await roll();
  const { status, body } = await request;
  assert.equal(status, 200);
  const { pid } = JSON.parse(body);
  assert.ok(old.includes(pid), 'and from the one that was asked: it was not tried again elsewhere');
  await stopped(pid, 'left', from);
  await settled(2);
}, 60);

check('with no instance to spare: restart, scale-in, and an app that is removed', async () => {
  const cli = (...args) => run(PORTICO, [...args, '--data', p.data]);
  let a = await held(), b = await heldAwayFrom(a.pid);
  const restarted = cli('restart', 'one');
  await until('the new ones have the routes', async () => (await instances()).filter(({ inRoutes, pid }) => inRoutes && pid !== a.pid && pid !== b.pid).length === 2);
  await a.say('a');
  await b.end();
  await stopped(b.pid, 'left');
  await a.end();
  await stopped(a.pid, 'left');
  assert.equal((await restarted).code, 0);
  await settled(2);

  a = await held();
  b = await heldAwayFrom(a.pid);
  const scaled = cli('scale', 'one', '1');
  await until('one is to end', async () => (await instances()).some(({ state }) => state === 'DRAINING'));
  const leaves = (await instances()).find(({ state }) => state === 'DRAINING').pid;
  const [first, second] = a.pid === leaves ? [a, b] : [b, a];
  await first.say('under way');
  await second.end();
  await first.say('and still');
  assert.deepEqual(stops(leaves), []);
  await first.end();
  await stopped(leaves, 'left');
  await gone(leaves);
  assert.equal((await scaled).code, 0);
  await settled(1);
  assert.deepEqual(await pids(), [second.pid]);

  const last = await held();
  const kept = JSON.parse(fs.readFileSync(p.manifest, 'utf8')).apps.one;
  edit((apps) => {
    delete apps.one;
  });
  p.kill('SIGHUP');
  await until('there are no routes', async () => (await p.h1(HOST, '/', { kind: 'http' })).status === 404);
  await last.say('the last');
  await last.end();
  await stopped(last.pid, 'left');
  await gone(last.pid);
  edit((apps) => {
    apps.one = kept;
  });
  p.kill('SIGHUP');
  await settled(2);
}, 90);

check('a request that does not end is bounded by timeouts.drain, and so is a WebSocket', async () => {
  const request = await held();
  const socket = await open1({ port: p.ports.https, host: 'ws.localhost', ca: p.ca, where: '/raw' });
  socket.octets();
  socket.stream.write('one');
  assert.equal(String(await socket.next()), 'one');
  const pid = (await p.states()).ws[0].pid;
  let from = p.lines.length;
  edit((apps) => {
    apps.ws.env.AGAIN = '1';
  });
  p.kill('SIGHUP');
  await p.line(/app\.changed app=ws/, { from });
  from = await roll((apps) => {
    apps.one.timeouts.drain = '1500ms';
  });
  await stopped(request.pid, 'limit', from);
  assert.equal(await request.over, false, 'it was cut');
  await gone(request.pid);
  // The other app's limit is another one, and its tunnel goes on.
  socket.stream.write('two');
  assert.equal(String(await socket.next()), 'two');
  assert.equal(p.lines.some((line) => line.includes('worker.stop app=ws')), false);
  socket.stream.end();
  await p.line(new RegExp(`worker\\.stop app=ws instance=\\d+ pid=${pid} cause=left`));
  edit((apps) => {
    apps.one.timeouts.drain = '1h';
  });
  await settled(2);
}, 60);

check('control that is killed in between: nobody is stopped before the edge has said so', async () => {
  const request = await held();
  const old = await pids();
  const idle = old.find((pid) => pid !== request.pid);
  let from = await roll();
  await stopped(idle, 'left', from);
  const control = p.role('control');
  process.kill(control, 'SIGKILL');
  await until('another one is there', () => p.role('control') && p.role('control') !== control);
  await until('it knows of the one that drains', async () => (await instances()).some(({ pid, state }) => pid === request.pid && state === 'DRAINING'));
  await request.say('after control');
  assert.deepEqual(stops(request.pid), []);
  await request.end();
  await stopped(request.pid, 'left', from);
  await settled(2);

  // Right when the change has the routes: whoever comes after it must finish it.
  const again = await held();
  const before = await pids();
  from = await roll();
  process.kill(p.role('control'), 'SIGKILL');
  await stopped(before.find((pid) => pid !== again.pid), 'left', from);
  await again.say('after another control');
  await again.end();
  await stopped(again.pid, 'left', from);
  await settled(2);
}, 90);

check('edge that is killed in between takes its requests with it, and holds nobody up', async () => {
  const request = await held();
  let from = await roll();
  await until('its neighbour was stopped', () => p.lines.slice(from).some((line) => /worker\.stop app=one .* cause=left/.test(line)));
  process.kill(p.role('edge'), 'SIGKILL');
  assert.equal(await request.over, false);
  await stopped(request.pid, 'left', from);
  await until('another edge serves', async () => (await p.h1(HOST, '/', { kind: 'http' })).status === 200);
  await settled(2);

  const before = await pids();
  from = await roll();
  process.kill(p.role('edge'), 'SIGKILL');
  for (const pid of before) await stopped(pid, 'left', from);
  await until('another edge serves', async () => (await p.h1(HOST, '/', { kind: 'http' })).status === 200);
  await settled(2);
}, 90);

check('an edge that drains after an upgrade is asked, too, and a new monitor goes on where the old one was', async () => {
  const early = await held();
  assert.equal((await run(PORTICO, ['upgrade', '--data', p.data])).code, 0);
  const late = await heldAwayFrom(early.pid); // in the new edge
  const from = await roll();
  await early.say('in the old edge');
  await late.say('in the new edge');
  const upgraded = await run(PORTICO, ['upgrade', '--data', p.data]); // while both are asked
  assert.equal(upgraded.code, 0, upgraded.stderr);
  await early.say('still');
  await late.say('still');
  assert.deepEqual([...stops(early.pid), ...stops(late.pid)], []);
  await early.end();
  await stopped(early.pid, 'left', from);
  await late.say('and now');
  await late.end();
  await stopped(late.pid, 'left', from);
  await settled(2);
  await until('one edge is left', async () => (await p.metric('portico_requests_open')) === 0);
}, 90);

check('ends clean', () => p.stop());
