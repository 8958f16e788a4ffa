// SPDX-License-Identifier: Apache-2.0
// The wall clock jumps, for all of Portico's roles at once: a day ahead, where whatever goes by it
// would time out, and a year back, where it would hang.  Only dates follow.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import tls from 'node:tls';
import { Portico, PORTICO, check, close2, fetch2, raw, scratch, until, worker } from './lib.mjs';
import { open1 } from './ws-lib.mjs';

const DAY = 86400, YEAR = 365 * DAY;
const place = scratch();
const program = path.join(place, 'portico');
const CLOCK = path.join(path.dirname(PORTICO), '../../tests/clock/portico-clock');

let p, offset = 0, clock, serial;

/** From now on it is so many seconds later than it is. */
function jump(seconds) {
  const octets = Buffer.alloc(8);
  octets.writeBigInt64LE(BigInt(seconds));
  fs.writeSync(clock, octets, 0, 8, 0);
  offset = seconds;
}

const isNow = (date) => Math.abs(Date.parse(date) - (Date.now() + offset * 1000)) < 60_000;
/** Every role has lived on under the new time: edge has ticked, control and monitor have done something. */
async function settle() {
  await until('Date follows', async () => isNow((await p.h1('nobody.test', '/', { kind: 'http' })).headers.date));
  const { headers } = await p.admin('/healthz');
  assert.ok(isNow(headers.date), headers.date);
  const from = p.lines.length;
  p.kill('SIGHUP');
  const line = await p.line(/control\.reload apps=/, { from });
  assert.ok(isNow(line.split(' ')[0]), line);
}

/** A POST that is under way until it is told to end. */
async function held(host) {
  const request = http.request({ host: '127.0.0.1', port: p.ports.http, method: 'POST', agent: false, headers: { host } });
  request.flushHeaders();
  const [response] = await once(request, 'response');
  let text = '';
  response.setEncoding('utf8').on('data', (part) => {
    text += part;
  });
  const over = new Promise((resolve) => response.on('close', () => resolve(response.complete)));
  return {
    over,
    pid: Number(response.headers['x-pid']),
    async say(part) {
      request.write(part);
      await until(`${part} came back`, () => text.includes(part));
    },
    async end() {
      request.end();
      assert.equal(await over, true);
    },
  };
}

/** An open connection of HTTP/1.1 that is asked again and again. */
function kept(host) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  let socket;
  return {
    async ask() {
      const request = http.request({ host: '127.0.0.1', port: p.ports.http, path: '/', agent, headers: { host } });
      request.end();
      const [response] = await once(request, 'response');
      assert.equal(response.statusCode, 200);
      assert.equal(socket ?? request.socket, request.socket, 'the same connection');
      socket = request.socket;
      await once(response.resume(), 'end');
    },
    close: () => agent.destroy(),
  };
}

/** One request over a connection of its own: {serial, resumed, ticket}.  serial: of the certificate. */
async function handshake(session) {
  const socket = tls.connect({ host: '127.0.0.1', port: p.ports.https, servername: 'version.test', ca: p.ca, session, ALPNProtocols: ['http/1.1'] });
  let ticket; // none comes when a session is resumed
  socket.on('session', (octets) => {
    ticket = octets;
  });
  await once(socket, 'secureConnect');
  const resumed = socket.isSessionReused(), serial = resumed ? undefined : socket.getPeerCertificate().serialNumber;
  socket.write('GET / HTTP/1.1\r\nHost: version.test\r\nConnection: close\r\n\r\n');
  let text = '';
  socket.setEncoding('latin1').on('data', (part) => {
    text += part;
  });
  await once(socket, 'close');
  assert.match(text, /^HTTP\/1\.1 200 /);
  return { serial, resumed, ticket };
}

const pids = async (name) => (await p.states())[name].map(({ pid }) => pid).sort();
const starts = (name) => p.lines.filter((line) => line.includes(` worker.start app=${name} `)).length;

check('starts', async () => {
  fs.copyFileSync(CLOCK, program);
  fs.writeFileSync(`${program}.offset`, Buffer.alloc(8));
  clock = fs.openSync(`${program}.offset`, 'r+');
  p = await Portico.start({
    apps: {
      version: worker('version', 'version.test', { instances: 2, timeouts: { drain: '1h' }, healthCheckPath: '/health', healthCheck: { interval: '100ms' }, env: { VERSION: '1' } }),
      one: worker('busy', 'one.test', { limits: { concurrency: 1 } }),
      ws: worker('ws', 'ws.test'),
      silent: worker('h1', 'silent.test', { timeouts: { request: '3s', idle: '2s' } }),
      late: worker('version', 'late.test', { env: { START_MS: '1500' } }),
      dies: { ...worker('busy', 'dies.test'), command: 'sh -c "exit 3"' },
    },
  }, { program, ready: false });
  await p.ready(['version', 'one', 'ws', 'silent']);
}, 60);

check('what is under way lives through a day ahead and a year back', async () => {
  const busy = await held('one.test');
  const waiting = [p.h1('one.test', '/', { kind: 'http' }), p.h1('one.test', '/')];
  await until('two wait', async () => (await p.metric('portico_requests_waiting', { app: 'one' })) === 2);
  const idle = kept('version.test'), session = await p.h2('version.test');
  await idle.ask();
  assert.equal((await fetch2(session, '/')).status, 200);
  const socket = await open1({ port: p.ports.https, host: 'ws.test', ca: p.ca, where: '/raw' });
  socket.octets();
  const first = await handshake();
  serial = first.serial;
  assert.ok(serial);

  for (const [round, seconds] of [DAY, -YEAR, 0, -YEAR, DAY].entries()) {
    // An instance that drains, with an hour's time.
    const leaving = await held('version.test');
    const manifest = JSON.parse(fs.readFileSync(p.manifest, 'utf8'));
    manifest.apps.version.env.VERSION += 'x';
    fs.writeFileSync(p.manifest, JSON.stringify(manifest));
    const from = p.lines.length;
    p.kill('SIGHUP');
    await p.line(/app\.changed app=version/, { from });
    const [died, slow] = [starts('dies'), p.h1('version.test', '/?ms=1500', { kind: 'http' })];

    jump(seconds);
    await settle();

    await busy.say('still here');
    await leaving.say('and here');
    assert.equal(p.lines.slice(from).some((line) => line.includes(`pid=${leaving.pid} cause=`)), false);
    socket.stream.write('ping');
    assert.equal(String(await socket.next()), 'ping');
    await idle.ask();
    assert.equal((await fetch2(session, '/')).status, 200);
    assert.equal(await p.metric('portico_requests_waiting', { app: 'one' }), 2);
    assert.equal((await slow).status, 200);
    await until('health checks go on', async () => (await p.states()).version.filter(({ state }) => state === 'READY').length === 2);
    // Once ahead and once back; the pauses grow, up to half a minute.
    if (round < 2) await until('what ends is started again', () => starts('dies') > died);
    await leaving.end();
    await p.line(new RegExp(`worker\\.stop app=version .* pid=${leaving.pid} cause=left`), { from });
    // The certificate is the one from before.  A ticket from another time does no harm, whether it is
    // taken or not; one of this time is.
    const fresh = await handshake();
    assert.equal(fresh.serial, serial);
    await handshake(first.ticket);
    assert.equal((await handshake(fresh.ticket)).resumed, true);
  }
  await busy.end();
  for (const { status } of await Promise.all(waiting)) assert.equal(status, 200);
  socket.stream.end();
  await close2(session);
  idle.close();
  assert.equal(p.lines.some((line) => /role\.exit|worker\.kill/.test(line)), false);
}, 120);

check('limits that had begun before a jump back come when they are due', async () => {
  jump(0);
  await settle();
  await p.ready(['late']);
  // Each of these would come a year too late.
  const silent = p.h1('silent.test', '/never', { kind: 'http' });
  const idle = raw(p.ports.http, 'GET /whoami HTTP/1.1\r\nHost: silent.test\r\n\r\n');
  await until('it is asked', async () => (await p.metric('portico_requests_open', { app: 'silent' })) >= 1);
  const leaving = await held('version.test');
  const manifest = JSON.parse(fs.readFileSync(p.manifest, 'utf8'));
  manifest.apps.version.env.VERSION += 'y';
  manifest.apps.version.timeouts.drain = '3s';
  fs.writeFileSync(p.manifest, JSON.stringify(manifest));
  const from = p.lines.length;
  p.kill('SIGHUP');
  await p.line(/app\.changed app=version/, { from });
  const before = starts('late');
  process.kill((await p.states()).late[0].pid, 'SIGKILL');
  await until('it starts again', () => starts('late') > before);
  const late = p.h1('late.test', '/', { kind: 'http' }); // waits until it listens

  jump(-YEAR);
  await settle();
  assert.equal((await silent).status, 504, 'timeouts.request');
  assert.match(await idle, /^HTTP\/1\.1 200 /);
  assert.doesNotMatch(await idle, /still open/, 'timeouts.idle');
  assert.equal((await late).status, 200);
  await p.line(new RegExp(`worker\\.stop app=version .* pid=${leaving.pid} cause=limit`), { from });
  assert.equal(await leaving.over, false);
}, 90);

check('a worker, control and edge that die at another time are started again', async () => {
  for (const seconds of [DAY, -YEAR]) {
    const [pid] = await pids('one');
    const control = p.role('control'), edge = p.role('edge');
    process.kill(pid, 'SIGKILL');
    jump(seconds);
    assert.equal((await p.h1('one.test', '/', { kind: 'http' })).status, 200);
    await p.ready(['one']);
    process.kill(control, 'SIGKILL');
    await until('another control', () => p.role('control') && p.role('control') !== control);
    process.kill(edge, 'SIGKILL');
    await until('another edge', () => p.role('edge') && p.role('edge') !== edge);
    await until('it serves', async () => (await p.h1('one.test', '/')).status === 200);
    await settle();
    assert.equal((await handshake()).serial, serial, 'certificates are looked at again, and none is made anew');
  }
  const lines = p.access.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line));
  const years = new Set(lines.map((line) => new Date(Object.values(line).find((value) => /^\d{4}-\d\d-\d\dT/.test(value))).getUTCFullYear()));
  assert.ok(years.size >= 2, `the access log's times follow, too: ${[...years]}`);
}, 90);

check('ends clean', () => p.stop());
