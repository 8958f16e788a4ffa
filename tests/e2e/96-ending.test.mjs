// SPDX-License-Identifier: Apache-2.0
// Ends of processes and of patience while requests run: drain, kill -9 of roles, clients that stand
// still, heads without end.
import assert from 'node:assert/strict';
import net from 'node:net';
import { PassThrough } from 'node:stream';
import { Portico, check, fetch2, residentKib, run, until, worker } from './lib.mjs';
import { Hpack } from './strict-h2.mjs';
import * as h2 from './workers/frames.mjs';

const { TYPE } = h2;
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const closed = (socket) => new Promise((resolve) => socket.on('close', resolve));
let p, flood, h1, floods = true;

check('starts', async () => {
  // an h2c worker that does not stop giving informational heads, whether anybody wants them or not
  flood = await h2.h2cServer((send, f, socket) => {
    if (f.type !== TYPE.HEADERS) return;
    const more = () => {
      for (let i = 0; i < 50 && floods && socket.writable; i++) {
        if (!socket.write(h2.head(f.id, { ':status': 103, 'x-filler': 'f'.repeat(8000) }))) {
          socket.once('drain', more);
          return;
        }
      }
      if (floods && socket.writable) setImmediate(more);
    };
    more();
  });
  h1 = net.createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (part) => {
      if (part.includes('GET /cut')) setTimeout(() => socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'), 30);
    });
  });
  await new Promise((resolve) => h1.listen(0, '127.0.0.1', resolve));
  p = await Portico.start({
    loops: 1,
    apps: {
      one: worker('h1', 'one.localhost', { instances: 2, timeouts: { request: '2s', idle: '1s' } }),
      two: worker('h2c', 'two.localhost', { timeouts: { request: '2s', idle: '1s' } }),
      dies: { ...worker('', 'dies.localhost', { timeouts: { request: '1s', idle: '1s' } }), command: './dies.sh' },
      calm: worker('h1', 'calm.localhost'),
      calm2: worker('h2c', 'calm2.localhost'),
      flood: { upstreams: [`tcp://127.0.0.1:${flood.address().port}`], hosts: ['flood.localhost'], http20ProxyFlag: 1 },
      cut: { upstreams: [`tcp://127.0.0.1:${h1.address().port}`], hosts: ['cut.localhost'] },
    },
  }, { ready: false });
  await p.ready(['one', 'two', 'calm', 'calm2']);
}, 60);

check('a worker cannot fill the memory with heads that the client does not read', async () => {
  const before = residentKib(p.role('edge'));
  const c = await h2.h2Client(p.ports.http);
  c.socket.pause();
  for (let i = 0; i < 20; i++) c.send(h2.head(1 + 2 * i, h2.request(p.authority('flood.localhost', 'http'), '/'), true));
  await later(2500);
  const grown = residentKib(p.role('edge')) - before;
  c.socket.destroy();
  floods = false; // it would take the processor from all that follows
  assert.ok(grown < 65536, `${grown} KiB`);
}, 30);

// By Python: when octets and a reset come together, Node's client reports a plain end.
const READ_TO_THE_END = `
import socket, sys
for i in range(20):
    s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
    s.sendall(b'GET /cut HTTP/1.0\\r\\nHost: cut.localhost\\r\\n\\r\\n')
    try:
        while s.recv(65536):
            pass
        print('end')
    except ConnectionResetError:
        print('reset')
`;

check('content until the close that is cut ends with a reset: HTTP/1.0 sees no other sign', async () => {
  const { stdout } = await run('python3', ['-c', READ_TO_THE_END, String(p.ports.http)]);
  assert.equal(stdout, 'reset\n'.repeat(20));
}, 90);

check('clients that stand still hold a worker no longer than the time limit', async () => {
  const upload = net.connect(p.ports.http, '127.0.0.1'), half = net.connect(p.ports.http, '127.0.0.1');
  let said = '';
  upload.on('error', () => {}).setEncoding('latin1').on('data', (part) => (said += part));
  half.on('error', () => {}).resume();
  upload.write('POST /echo HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: 1000\r\n\r\nsome');
  half.write('GET /whoami HTTP/1.1\r\nHost: one.localhost\r\n\r\nGET /whoami HTTP/1.1\r\nHo'); // idle says 1 s by now
  const c = await h2.h2Client(p.ports.http, { first: h2.settings({ 4: 0 }) });
  c.send(h2.head(1, h2.request(p.authority('one.localhost', 'http'), '/bytes?n=100000'), true));
  c.send(h2.head(3, h2.request(p.authority('two.localhost', 'http'), '/echo', { ':method': 'POST' })));
  const ping = setInterval(() => c.send(h2.frame(TYPE.PING, 0, 0, Buffer.alloc(8))), 200);
  await Promise.all([closed(upload), closed(half), ...[1, 3].map((id) => c.until((f) => f.type === TYPE.RST && f.id === id))]);
  clearInterval(ping);
  for (const id of [1, 3]) assert.ok(c.frames.some((f) => f.type === TYPE.RST && f.id === id), 'an answer that is not read');
  assert.match(said, /^HTTP\/1\.1 408 /);
  const hpack = new Hpack(), heads = c.frames.filter((f) => f.type === TYPE.HEADERS).map((f) => [f.id, Object.fromEntries(hpack.read(f.payload))]);
  assert.deepEqual(heads.map(([id, head]) => [id, head[':status']]), [[1, '200'], [3, '408']]);
  c.socket.destroy();
}, 40);

check('a WebSocket that was refused, by a client that does not read why, ends with the time limit, too', async () => {
  const c = await h2.h2Client(p.ports.http, { first: h2.settings({ 4: 0 }) });
  const handshake = { ':method': 'CONNECT', ':protocol': 'websocket', 'sec-websocket-version': '13' };
  for (const id of [1, 3]) c.send(h2.head(id, h2.request(p.authority('dies.localhost', 'http'), '/ws', handshake)));
  for (const id of [1, 3]) {
    assert.ok(await c.until((f) => f.type === TYPE.HEADERS && f.id === id), 'no answer');
    assert.ok(await c.until((f) => f.type === TYPE.RST && f.id === id), 'no end');
  }
  assert.equal(await p.metric('portico_gateway_failures_total', { app: 'dies' }), 2);
  c.socket.destroy();
}, 40);

check('kill -9 of edge and control while requests run', async () => {
  for (const role of ['edge', 'control', 'edge']) {
    const pid = p.role(role), running = Array.from({ length: 10 }, () => p.h1('one.localhost', '/slow?ms=300', { kind: 'http' }).catch((error) => error));
    await later(100);
    process.kill(pid, 'SIGKILL');
    const ends = await Promise.all(running);
    if (role === 'control') assert.ok(ends.every(({ status }) => status === 200));
    await until(`${role} is back`, () => p.role(role) && p.role(role) !== pid);
    await until('it serves', async () => (await p.h1('one.localhost', '/whoami', { kind: 'http' })).status === 200);
    await until('gauges are right again', async () => (await p.metric('portico_requests_open')) === 0);
  }
}, 60);

check('at the end what runs is finished, and what is on its way is served', async () => {
  const session = await p.h2('calm.localhost'), idle = await h2.h2Client(p.ports.http);
  const head = h2.request(p.authority('calm.localhost', 'http'), '/whoami');
  idle.send(h2.head(1, head, true));
  assert.ok(await idle.until((f) => f.id === 1 && f.type === TYPE.DATA && f.flags & 1));
  idle.autoAck = false;
  const contents = Array.from({ length: 3 }, () => new PassThrough()); // their requests last until these end
  for (const content of contents) content.write('some');
  const running = [
    fetch2(session, '/echo', { body: contents[0] }), fetch2(session, '/bytes?n=3000000'),
    p.h1('calm.localhost', '/echo', { method: 'POST', body: contents[1] }), p.h1('calm2.localhost', '/echo', { method: 'POST', body: contents[2] }),
  ];
  const late = net.connect(p.ports.http, '127.0.0.1');
  let said = '';
  late.setEncoding('latin1').on('data', (part) => (said += part));
  const lateClosed = closed(late);
  late.write('GET /whoami HTTP/1.1\r\nHost: calm.loc');
  await until('all have begun', async () => (await p.metric('portico_requests_total', { app: 'calm' })) === 4
    && (await p.metric('portico_requests_total', { app: 'calm2' })) === 1 && (await p.metric('portico_client_connections_open')) === 5);
  p.kill('SIGTERM');
  assert.ok(await idle.until((f) => f.type === TYPE.GOAWAY));
  const ping = await idle.until((f) => f.type === TYPE.PING);
  idle.send(h2.head(3, head, true), h2.frame(TYPE.PING, 1, 0, ping.payload)); // sent before GOAWAY was seen
  late.write('alhost\r\n\r\n');
  for (const content of contents) content.end(Buffer.alloc(1000000, 'u'));
  const answers = await Promise.all(running);
  assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200, 200]);
  assert.equal(answers[1].body.length, 3000000);
  assert.ok(await idle.until((f) => f.id === 3 && f.type === TYPE.DATA && f.flags & 1), 'what met the GOAWAY');
  await lateClosed;
  assert.match(said, /^HTTP\/1\.1 200 /);
  session.close();
  idle.socket.destroy();
  flood.close();
  h1.close();
  await p.stop();
}, 40);
