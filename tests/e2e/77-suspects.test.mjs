// SPDX-License-Identifier: Apache-2.0
// Who abuses one connection after the other gets little for the next, and has to wait for it; others at the
// same address are served, and those at other addresses notice nothing.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import { Raw } from './attacks.mjs';
import { Portico, check, fetch2, until } from './lib.mjs';
import * as h2 from './workers/frames.mjs';

const ABUSES = 20, RESETS = 16;
const server = http.createServer((request, response) => request.url === '/never' || response.end('ok'));
let p;

/** How many streams a client may reset before it is cut off, or one more than twice what others may: each is idle, and costs nobody
 *  else anything. */
async function resetsOf(localAddress) {
  const raw = await Raw.open(p.ports.http, { localAddress });
  let sent = 0;
  await raw.send(h2.head(1, h2.request(p.authority('one.localhost', 'http'), '/'), true));
  await raw.until(() => raw.frames.some((f) => f.type === h2.TYPE.HEADERS));
  while (!raw.goaway && sent <= 2 * RESETS) {
    const seen = raw.frames.length;
    sent++;
    await raw.send(h2.reset(1, 8), h2.frame(h2.TYPE.PING, 0, 0, Buffer.alloc(8)));
    await raw.until(() => raw.frames.length > seen);
  }
  assert.equal(raw.goaway?.code, sent <= 2 * RESETS ? 0xb : undefined);
  raw.end();
  return sent;
}

check('starts', async () => {
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  p = await Portico.start({
    loops: 2,
    trustedProxies: '127.0.0.4',
    limits: { abusesPerAddress: `${ABUSES} + 1/s`, http2Resets: `${RESETS} + 1/s`, http2Pings: '10000 + 10000/s' },
    apps: { one: { upstreams: [`tcp://127.0.0.1:${server.address().port}`], hosts: ['one.localhost'] } },
  });
  await until('it is served', async () => (await p.h1('one.localhost', '/', { kind: 'http' })).status === 200);
}, 60);

const suspects = () => p.metric('portico_client_connections_suspect_total');

check('one abuse after the other: then there is a quarter of it', async () => {
  for (let i = 0; i < ABUSES - 1; i++) assert.ok(await resetsOf('127.0.0.1') > RESETS);
  assert.equal(await suspects(), 0);
  await until('it is suspect', async () => await resetsOf('127.0.0.1') < RESETS / 2);
  for (let i = 0; i < 3; i++) assert.ok(await resetsOf('127.0.0.1') <= RESETS / 2);
  assert.ok(await suspects() > 3);
});

const settings = (raw) => raw.until(() => raw.frames.some((f) => f.type === h2.TYPE.SETTINGS));

check('and it waits, while others do not', async () => {
  // A machine that is busy for so long may hear both at once.
  await until('who comes later is heard first', async () => {
    const suspect = await Raw.open(p.ports.http), other = await Raw.open(p.ports.http, { localAddress: '127.0.0.2' });
    const order = [];
    await Promise.all([settings(suspect).then(() => order.push('suspect')), settings(other).then(() => order.push('other'))]);
    suspect.end();
    other.end();
    return order[0] === 'other';
  });
});

check('whoever else is at that address is served, a hundred requests at once', async () => {
  const session = await p.h2('one.localhost');
  const answers = await Promise.all(Array.from({ length: 100 }, () => fetch2(session, '/')));
  assert.ok(answers.every(({ status }) => status === 200));
  session.close();
});

check('another address has what it had', async () => {
  const before = await suspects();
  assert.ok(await resetsOf('127.0.0.2') > RESETS);
  assert.equal(await suspects(), before);
});

check('to leave just before that, or with requests open, is no better', async () => {
  const before = await suspects();
  for (let i = 0; await suspects() === before; i++) {
    assert.ok(i < 4 * ABUSES);
    const raw = await Raw.open(p.ports.http, { localAddress: '127.0.0.3' });
    for (let k = 0; k < RESETS / 2; k++) await raw.send(h2.head(2 * k + 1, h2.request(p.authority('one.localhost', 'http'), '/never'), true));
    for (let k = 0; k < RESETS / 4; k++) await raw.send(h2.reset(2 * k + 1, 8));
    await raw.send(h2.frame(h2.TYPE.PING, 0, 0, Buffer.alloc(8)));
    await raw.until(() => raw.frames.some((f) => f.type === h2.TYPE.PING));
    raw.end();
  }
});

/** A connection over which `octets` go; over at the first answer, or when it is closed. */
const say = (octets, localAddress) => new Promise((resolve) => {
  const socket = net.connect({ port: p.ports.https, host: '127.0.0.1', localAddress }, () => socket.write(octets));
  socket.on('data', () => socket.destroy()).on('error', () => {}).on('close', resolve);
});

/** What Node's client says first. */
async function clientHello() {
  const listener = net.createServer();
  await new Promise((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const client = tls.connect({ port: listener.address().port, host: '127.0.0.1', servername: 'one.localhost', ALPNProtocols: ['h2'] }).on('error', () => {});
  const [socket] = await once(listener, 'connection');
  const [octets] = await once(socket, 'data');
  socket.destroy();
  client.destroy();
  listener.close();
  return octets;
}

check('ten TLS handshakes that do not end are as bad as one abuse', async () => {
  const hello = await clientHello(), before = await suspects();
  for (let i = 0; i < 10 * (ABUSES - 1); i++) await say(i % 2 ? hello : 'what is not TLS', '127.0.0.5');
  assert.equal(await suspects(), before);
  for (let i = 0; await suspects() === before; i++) {
    assert.ok(i < 40 * ABUSES);
    await say(hello, '127.0.0.5');
  }
});

check('handshakes that end are none', async () => {
  const before = await suspects();
  for (let i = 0; i < 11 * ABUSES; i++) {
    const socket = tls.connect({ port: p.ports.https, host: '127.0.0.1', localAddress: '127.0.0.6', servername: 'one.localhost', ALPNProtocols: ['h2'], rejectUnauthorized: false });
    await once(socket.on('error', () => {}), 'data'); // SETTINGS: our Finished has arrived
    socket.destroy();
  }
  assert.equal(await suspects(), before);
});

check('a trusted proxy is no suspect, whoever comes through it, and may reset what many give up', async () => {
  const before = await suspects();
  for (let i = 0; i < 2 * ABUSES; i++) assert.ok(await resetsOf('127.0.0.4') > 2 * RESETS);
  assert.equal(await suspects(), before);
});

check('stops', async () => {
  await p.stop();
  server.close();
  server.closeAllConnections();
});
