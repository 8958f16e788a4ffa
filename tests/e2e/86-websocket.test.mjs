// SPDX-License-Identifier: Apache-2.0
// WebSockets in all combinations of HTTP/1.1 Upgrade and extended CONNECT (RFC 8441) on either side.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { Portico, WORKERS, check, close2, fetch2, hasProgram, openDescriptors, residentKib, sha256, until } from './lib.mjs';
import * as h2 from './workers/frames.mjs';
import { BINARY, CLOSE, PING, PONG, TEXT, acceptOf, closePayload, frame, newKey } from './workers/ws.mjs';
import { haproxyConfig, open1, open2, proxy } from './ws-lib.mjs';

process.setMaxListeners(50);
const MIB = 1 << 20;
const app = (host, mode, more = {}) => ({
  directory: WORKERS, command: 'node ws.mjs', hosts: [host], ...more, env: { WS: mode }, ...(mode === 'h1' ? {} : { http20ProxyFlag: 1 }),
});

/** Goes as soon as something has come through the tunnel. */
const goes = net.createServer((socket) => socket.on('error', () => {}).once('data', (head) => {
  const key = /^sec-websocket-key: (\S+)/im.exec(head)[1];
  socket.once('data', () => socket.destroy());
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${acceptOf(key)}\r\n\r\n`);
}));

let p;
const sessions = {};

check('starts', async () => {
  await once(goes.listen(0, '127.0.0.1').unref(), 'listening');
  p = await Portico.start({
    apps: {
      one: app('one.localhost', 'h1'),
      two: app('two.localhost', 'h2c'),
      plain: app('plain.localhost', 'h2c-plain'),
      goes: { upstreams: [`tcp://127.0.0.1:${goes.address().port}`], hosts: ['goes.localhost'] },
      off: app('off.localhost', 'h1', { webSocketsEnabled: false }),
      brief: app('brief.localhost', 'h1', { timeouts: { tunnel: '2s' } }),
      brief2: app('brief2.localhost', 'h2c', { timeouts: { tunnel: '2s' } }),
      swift: app('swift.localhost', 'h1', { timeouts: { request: '2s' } }),
      small: app('small.localhost', 'h1', { limits: { body: '1KiB' } }),
    },
  });
}, 60);

/** A WebSocket to `where` of an app by one of CLIENTS. */
async function connect(client, name, where, more = {}) {
  const host = `${name}.localhost`, kind = client.endsWith('tls') ? 'https' : 'http';
  if (client.startsWith('h1')) return open1({ port: p.ports[kind], host, ca: kind === 'https' ? p.ca : undefined, where, ...more });
  const id = `${client} ${name}`;
  if (!sessions[id] || sessions[id].destroyed || sessions[id].closed) sessions[id] = await p.h2(host, { kind });
  return open2(sessions[id], { port: p.ports[kind], host, where, ...more });
}

const CLIENTS = ['h1 plain', 'h1 tls', 'h2 plain', 'h2 tls'];
const PAIRS = CLIENTS.flatMap((client) => ['one', 'two'].map((name) => [client, name]));
let tags = 0;
const mark = () => `${++tags}`;
const forAll = (what, run, seconds) => {
  for (const [client, name] of PAIRS) check(`${client} to ${name === 'one' ? 'h1' : 'h2c'}: ${what}`, () => run(client, name), seconds);
};
const edge = () => p.role('edge');

forAll('texts, binaries, parts, pings and the close handshake', async (client, name) => {
  const ws = (await connect(client, name, '/echo')).frames();
  const echoes = async (opcode, payload) => assert.deepEqual(await ws.next(), { opcode, payload: Buffer.from(payload) });
  for (const size of [0, 1, 125, 126, 127, 65535, 65536, 300000]) {
    const octets = Buffer.alloc(size, `size ${size}`);
    ws.send(BINARY, octets);
    await echoes(BINARY, octets);
  }
  ws.send(TEXT, 'grüße, мир, 世界 🌍');
  await echoes(TEXT, 'grüße, мир, 世界 🌍');
  ws.send(TEXT, 'in ', { fin: false });
  ws.send(0, 'three ', { fin: false });
  ws.send(PING, 'between');
  ws.send(0, 'parts');
  await echoes(PONG, 'between');
  await echoes(TEXT, 'in three parts');
  ws.send(PONG, 'nobody asked');
  for (let i = 0; i < 100; i++) ws.send(TEXT, `many ${i}`);
  for (let i = 0; i < 100; i++) await echoes(TEXT, `many ${i}`);
  for (const octet of frame(TEXT, 'octet by octet')) ws.stream.write(Buffer.of(octet));
  await echoes(TEXT, 'octet by octet');
  assert.equal(await ws.close(3999, 'enough'), 3999);
  await ws.closed;
});

forAll('close codes arrive as they are, and what is wrong is judged by the worker alone', async (client, name) => {
  for (const [octets, code] of [
    [frame(CLOSE), 1005], [frame(CLOSE, closePayload(1000)), 1000], [frame(CLOSE, closePayload(1014, 'x'.repeat(123))), 1014],
    [frame(CLOSE, closePayload(1006)), 1002], [frame(CLOSE, 'x'), 1002], [frame(TEXT, Buffer.of(0xff)), 1007], [frame(3, ''), 1002],
    [frame(TEXT, 'bare', { mask: false }), 1002], [frame(TEXT, 'bits', { rsv: 4 }), 1002], [frame(BINARY, '', { length: 2 ** 40 }), 1009],
  ]) {
    const ws = (await connect(client, name, '/echo')).frames();
    ws.stream.write(octets);
    const answer = await ws.next();
    assert.equal(answer.opcode, CLOSE);
    assert.equal(answer.payload.length ? answer.payload.readUInt16BE() : 1005, code);
    assert.equal(await ws.next(), null);
    ws.stream.end();
    await ws.closed;
  }
});

forAll('octets that come with the handshake, either way', async (client, name) => {
  const big = Buffer.alloc(200000, 'early');
  for (const early of [Buffer.from('x'), big]) {
    const ws = (await connect(client, name, '/hello', { with: Buffer.concat([frame(TEXT, early), frame(PING, 'too')]) })).frames();
    assert.deepEqual(await ws.next(), { opcode: TEXT, payload: Buffer.from('hello') });
    const answer = await ws.next();
    assert.equal(answer.opcode, TEXT);
    assert.ok(answer.payload.equals(early));
    assert.deepEqual(await ws.next(), { opcode: PONG, payload: Buffer.from('too') });
    await ws.close();
  }
});

forAll('a message of 16 MiB', async (client, name) => {
  const ws = (await connect(client, name, '/echo')).frames();
  const octets = Buffer.alloc(16 * MIB);
  for (let i = 0; i < octets.length; i += 4) octets.writeUInt32LE((i * 2654435761) >>> 0, i);
  ws.send(BINARY, octets);
  const answer = await ws.next();
  assert.equal(answer.opcode, BINARY);
  assert.equal(sha256(answer.payload), sha256(octets));
  await ws.close();
}, 60);

forAll('the client ends its side first and gets all that is still to come', async (client, name) => {
  for (const size of [0, 1, 3 * MIB]) {
    const tag = mark(), octets = Buffer.alloc(size, 'half');
    const ws = (await connect(client, name, `/raw?tag=${tag}`)).octets();
    if (size) ws.stream.end(octets);
    else ws.stream.end();
    assert.equal(sha256(await ws.rest()), sha256(octets));
    await p.line(new RegExp(`@${tag} end after ${size}$`));
    await ws.closed;
    await p.line(new RegExp(`@${tag} closed`));
  }
});

forAll('the worker ends its side first and gets all that is still to come', async (client, name) => {
  for (const size of [0, 1, 3 * MIB]) {
    const tag = mark(), octets = Buffer.alloc(size, 'other half');
    const ws = (await connect(client, name, `/bye?tag=${tag}`)).octets();
    assert.equal(String(await ws.rest()), 'bye');
    if (size) ws.stream.write(octets);
    ws.stream.end();
    await p.line(new RegExp(`@${tag} heard ${size} ${sha256(octets)}$`));
    await ws.closed;
  }
});

forAll('a worker that does not read holds the client back, not edge\'s memory', async (client, name) => {
  const tag = mark(), before = residentKib(edge()), total = 48 * MIB;
  const ws = (await connect(client, name, `/stall?tag=${tag}`)).octets();
  const part = Buffer.alloc(65536, 'stall'), hash = createHash('sha256');
  let given = 0, settled = 0;
  const pump = (async () => {
    for (; given < total; given += part.length) {
      hash.update(part);
      await new Promise((resolve, reject) => ws.stream.write(part, (error) => (error ? reject(error) : resolve())));
    }
    ws.stream.end();
  })();
  await until('nothing more is taken', () => {
    const same = given === settled;
    settled = given;
    return same && new Promise((resolve) => setTimeout(() => resolve(given === settled), 300));
  });
  assert.ok(given < total, `all of ${total} was taken`);
  const growth = residentKib(edge()) - before;
  assert.ok(growth < 16 * 1024, `edge grew by ${growth} KiB`);
  await p.h1(`${name}.localhost`, '/go');
  await pump;
  await p.line(new RegExp(`@${tag} heard ${total} ${hash.digest('hex')}$`));
  assert.equal((await ws.rest()).length, 0);
}, 60);

forAll('a client that does not read holds the worker back, not edge\'s memory', async (client, name) => {
  const tag = mark(), before = residentKib(edge());
  const ws = await connect(client, name, `/flood?n=48&tag=${tag}`);
  await p.line(new RegExp(`@${tag} open$`));
  let peak = 0;
  for (let i = 0; i < 30; i++) { // as long as it may take to go wrong
    peak = Math.max(peak, residentKib(edge()) - before);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(peak < 16 * 1024, `edge grew by ${peak} KiB`);
  assert.ok(!p.lines.some((line) => line.includes(`@${tag} flood of`)), 'all of it went somewhere');
  ws.frames();
  for (let i = 0; i < 48 * 16; i++) assert.equal((await ws.next()).payload.length, 65536);
  await p.line(new RegExp(`@${tag} flood of 768 is out$`));
  ws.stream.end();
  assert.equal(await ws.next(), null);
}, 60);

// ---- the handshake ----

forAll('subprotocol, extensions, Origin, cookies and the forwarding fields', async (client, name) => {
  const ws = (await connect(client, name, '/head?q=1', { headers: {
    'sec-websocket-protocol': 'v1.chat, v2.chat', 'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits', origin: 'https://elsewhere.example',
    cookie: 'k=v; l=w', 'x-forwarded-for': '6.6.6.6', authorization: 'Bearer secret', 'x-own': 'kept',
  } })).frames();
  assert.equal(ws.headers['sec-websocket-protocol'], 'v2.chat');
  assert.equal(ws.headers['sec-websocket-extensions'], 'permessage-deflate; client_max_window_bits');
  assert.deepEqual(ws.headers['set-cookie'], ['a=1', 'b=2']);
  assert.equal(ws.headers['x-from'], 'worker');
  const head = JSON.parse((await ws.next()).payload);
  const secure = client.endsWith('tls');
  const wanted = {
    'sec-websocket-protocol': 'v1.chat, v2.chat', 'sec-websocket-extensions': 'permessage-deflate; client_max_window_bits',
    'sec-websocket-version': '13', origin: 'https://elsewhere.example', cookie: 'k=v; l=w', authorization: 'Bearer secret', 'x-own': 'kept',
    'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': secure ? 'https' : 'http', 'x-original-url': '/head?q=1',
    'x-forwarded-host': `${name}.localhost:${p.ports[secure ? 'https' : 'http']}`,
  };
  for (const [field, value] of Object.entries(wanted)) assert.equal(head[field], value, field);
  if (name === 'one') {
    assert.equal(head.method, 'GET');
    assert.equal(head.upgrade, 'websocket');
    assert.match(head.connection, /^upgrade$/i);
    assert.equal(Buffer.from(head['sec-websocket-key'], 'base64').length, 16);
    assert.equal(head.host, wanted['x-forwarded-host']);
  } else {
    assert.equal(head[':method'], 'CONNECT');
    assert.equal(head[':protocol'], 'websocket');
    assert.equal(head[':authority'], wanted['x-forwarded-host']);
    for (const field of ['upgrade', 'connection', 'sec-websocket-key', 'content-length']) assert.equal(head[field], undefined, field);
  }
  await ws.close();
});

forAll('a worker that refuses is heard, with its body', async (client, name) => {
  const answer = await connect(client, name, '/refuse');
  assert.equal(answer.status, 403);
  assert.equal(answer.body, 'not you\n');
  assert.equal(answer.headers['x-from'], 'worker');
});

for (const client of CLIENTS) {
  check(`${client}: a worker that answers 200 instead of 101 has not switched`, async () => {
    const answer = await connect(client, 'one', '/ok');
    assert.equal(answer.status, client.startsWith('h1') ? 200 : 502); // to HTTP/2, 200 would say that it had
    assert.match(answer.body, client.startsWith('h1') ? /^no switch\n$/ : /did not switch/);
  });
  check(`${client}: a wrong or missing Sec-WebSocket-Accept is 502`, async () => {
    for (const where of ['/wrong', '/none']) assert.equal((await connect(client, 'one', where)).status, 502, where);
  });
  check(`${client}: an h2c worker without the setting is 502 that names it`, async () => {
    for (let i = 0; i < 3; i++) {
      const answer = await connect(client, 'plain', '/echo');
      assert.equal(answer.status, 502);
      assert.match(answer.body, /SETTINGS_ENABLE_CONNECT_PROTOCOL/);
    }
    assert.equal((await p.h1('plain.localhost', '/')).status, 200);
  });
  check(`${client}: webSocketsEnabled: false is 403 that names it`, async () => {
    const answer = await connect(client, 'off', '/echo');
    assert.equal(answer.status, 403);
    assert.match(answer.body, /webSocketsEnabled/);
  });
  check(`${client}: the app's limit on content is not for tunnels`, async () => {
    const ws = (await connect(client, 'small', '/echo', { with: frame(TEXT, 'x'.repeat(5000)) })).frames();
    assert.equal((await ws.next()).payload.length, 5000);
    ws.send(BINARY, Buffer.alloc(100000));
    assert.equal((await ws.next()).payload.length, 100000);
    await ws.close();
  });
}

check('an Accept that another hop left on a 200 goes no further', async () => {
  for (const client of CLIENTS) {
    const ws = (await connect(client, 'two', '/echo?accept=1')).frames(); // open1 and open2 look
    await ws.close();
  }
});

check('handshakes that are none: key, version, method, HTTP/1.0', async () => {
  const attempt = (more) => connect('h1 plain', 'one', '/echo', more);
  for (const key of ['', 'short', newKey().slice(0, 23), `${newKey()}AAAA`, '!'.repeat(24), `${'A'.repeat(23)}=`]) {
    assert.equal((await attempt({ headers: { 'Sec-WebSocket-Key': key } })).status, 400, JSON.stringify(key));
  }
  assert.equal((await attempt({ headers: { 'Sec-WebSocket-Key': undefined } })).status, 400);
  assert.equal((await attempt({ headers: { 'Sec-WebSocket-Key': [newKey(), newKey()] } })).status, 400);
  for (const version of [undefined, '8', '14', '13, 8', 'x']) {
    const { status, headers } = await attempt({ headers: { 'Sec-WebSocket-Version': version } });
    assert.equal(status, 400, String(version)); // RFC 6455 4.4
    assert.equal(headers['sec-websocket-version'], '13');
  }
  assert.equal((await attempt({ method: 'POST', headers: { 'Content-Length': '0' } })).status, 400);
  assert.equal((await attempt({ version: '1.0' })).status, 200); // Upgrade is not for HTTP/1.0: ignored
  for (const client of ['h2 plain', 'h2 tls']) {
    assert.equal((await connect(client, 'one', '/echo', { headers: { 'sec-websocket-version': '12' } })).status, 400);
    assert.equal((await connect(client, 'one', '/echo', { headers: { 'sec-websocket-version': undefined } })).status, 400);
  }
});

check('a worker that goes in the middle of a DATA frame leaves a connection that goes on', async () => {
  const client = await h2.h2Client(p.ports.http), authority = p.authority('goes.localhost', 'http'), before = edge();
  client.send(h2.head(1, { ...h2.request(authority, '/'), ':method': 'CONNECT', ':protocol': 'websocket', 'sec-websocket-version': '13' }));
  const { payload } = await client.until((f) => f.id === 1 && f.type === h2.TYPE.HEADERS);
  assert.equal(payload[0], 0x88); // :status 200
  const octets = h2.data(1, Buffer.alloc(1000, 'x'));
  client.send(octets.subarray(0, 19)); // the frame's head and ten octets
  assert.ok(await client.until((f) => f.id === 1 && f.type === h2.TYPE.DATA && f.flags & h2.END_STREAM));
  for (let at = 19; at < octets.length; at += 100) {
    client.send(octets.subarray(at, at + 100));
    await p.h1('one.localhost', '/', { kind: 'http' }); // meanwhile it is read
  }
  client.send(h2.head(3, h2.request(p.authority('one.localhost', 'http'), '/'), true));
  assert.ok(await client.until((f) => f.id === 3 && f.type === h2.TYPE.HEADERS));
  client.socket.destroy();
  assert.equal(edge(), before);
});

check('an Upgrade to something else is ignored, h2c among it', async () => {
  for (const upgrade of ['h2c', 'foo', 'TLS/1.0', 'websocket, foo', 'h2c, websocket']) {
    const settings = upgrade.startsWith('h2c') ? { Connection: 'Upgrade, HTTP2-Settings', 'HTTP2-Settings': 'AAMAAABkAAQCAAAAAAIAAAAA' } : {};
    const answer = await connect('h1 plain', 'one', '/', { headers: { Upgrade: upgrade, ...settings } });
    assert.equal(answer.status, 200, upgrade);
    assert.equal(answer.body, 'plain none\n', upgrade);
  }
  const answer = await connect('h1 plain', 'one', '/', { headers: { Connection: undefined } }); // not an option of this hop
  assert.equal(answer.body, 'plain none\n');
  const ws = (await connect('h1 plain', 'one', '/echo', { headers: { Upgrade: 'WebSocket', Connection: 'keep-alive, UPGRADE' } })).frames();
  await ws.close();
});

check('extended CONNECT to another protocol is refused, and plain CONNECT', async () => {
  const session = await p.h2('one.localhost');
  const refused = await fetch2(session, '/', { headers: { ':method': 'CONNECT', ':protocol': 'connect-udp', ':scheme': 'https', ':authority': p.authority('one.localhost') } });
  assert.equal(refused.status, 501);
  await close2(session);
});

// ---- ends ----

forAll('a client that is killed in the middle of a message: the worker sees the end', async (client, name) => {
  const tag = mark();
  const ws = await connect(client, name, `/echo?tag=${tag}`);
  ws.stream.write(frame(BINARY, Buffer.alloc(100000)).subarray(0, 50000));
  await p.line(new RegExp(`@${tag} open$`));
  if (client.startsWith('h2')) ws.stream.close(8);
  else ws.destroy();
  await p.line(new RegExp(`@${tag} (closed|error|end without a close)`));
  await until('the exchange is over', async () => (await p.metric('portico_requests_open', { app: name })) === 0);
});

forAll('a worker that is killed: the client sees an end without a Close', async (client, name) => {
  const victim = (await p.states())[name][0].pid;
  const ws = (await connect(client, name, '/echo')).frames();
  ws.send(TEXT, 'before');
  assert.equal(String((await ws.next()).payload), 'before');
  ws.stream.write(frame(BINARY, Buffer.alloc(1000)).subarray(0, 500));
  process.kill(victim, 'SIGKILL');
  const last = await ws.next().catch(() => null);
  assert.equal(last, null);
  ws.stream.end();
  await ws.closed;
  await until('another one is ready', async () => {
    const [{ state, pid }] = (await p.states())[name];
    return state === 'READY' && pid && pid !== victim;
  });
}, 60);

for (const client of CLIENTS) {
  for (const name of ['brief', 'brief2']) {
    check(`${client} to ${name}: timeouts.tunnel cuts what moves no octet, and never by a Close`, async () => {
      const idle = await p.metric('portico_tunnels_idle_total', { app: name });
      const failures = await p.metric('portico_gateway_failures_total', { app: name });
      const where = `/idle-${client.replace(' ', '-')}-${name}`, tag = mark();
      const ws = (await connect(client, name, `${where}?tag=${tag}`)).frames();
      for (let i = 0; i < 10; i++) { // beyond the limit by what passes
        await new Promise((resolve) => setTimeout(resolve, 250));
        ws.send(PING, 'alive');
        assert.equal((await ws.next()).opcode, PONG);
      }
      const last = await ws.next().catch((error) => error);
      if (client === 'h1 plain') assert.equal(last.code, 'ECONNRESET'); // not an end: that would say that all was said
      else assert.ok(last === null || last instanceof Error, String(last));
      await ws.closed;
      if (client.startsWith('h2')) assert.equal(ws.stream.rstCode, 8); // CANCEL
      const line = JSON.parse(await p.line(new RegExp(`"path":"${where}"`), { of: p.access }));
      assert.equal(line.app, name);
      assert.equal(line.fault, 'tunnel-idle');
      assert.equal(line.status, client.startsWith('h1') ? 101 : 200);
      await p.line(new RegExp(`@${tag} closed`)); // the worker knows, too
      assert.equal(await p.metric('portico_tunnels_idle_total', { app: name }), idle + 1);
      assert.equal(await p.metric('portico_gateway_failures_total', { app: name }), failures);
    });
    check(`${client} to ${name}: a client that takes nothing moves nothing`, async () => {
      const at = p.access.length, ws = await connect(client, name, '/flood?n=64');
      const line = JSON.parse(await p.line(new RegExp(`"app":"${name}".*"path":"/flood"`), { of: p.access, from: at }));
      assert.equal(line.fault, 'tunnel-idle');
      assert.ok(line.response_octets < 64 * MIB);
      ws.destroy();
    });
    check(`${client} to ${name}: one direction is enough to keep a tunnel`, async () => {
      const tag = mark(), ws = (await connect(client, name, `/bye?tag=${tag}`)).octets();
      assert.equal(String(await ws.rest()), 'bye'); // its side is over
      for (let i = 0; i < 10; i++) {
        await new Promise((resolve) => setTimeout(resolve, 250));
        ws.stream.write('x');
      }
      ws.stream.end();
      await p.line(new RegExp(`@${tag} heard 10 ${sha256('x'.repeat(10))}$`));
      await ws.closed;
    });
  }
  check(`${client}: timeouts.request ends with the handshake`, async () => {
    const ws = (await connect(client, 'swift', '/echo')).frames();
    await new Promise((resolve) => setTimeout(resolve, 2500));
    ws.send(PING, 'still there');
    assert.equal((await ws.next()).opcode, PONG);
    await ws.close();
    assert.equal((await connect(client, 'swift', '/never')).status, 504);
  });
}

check('the access log has one line a WebSocket, with its octets', async () => {
  for (const [client, name] of PAIRS) {
    const where = `/logged-${client.replace(' ', '-')}-${name}`;
    const ws = (await connect(client, name, `${where}?access_token=secret`)).frames();
    ws.send(TEXT, 'x'.repeat(1000));
    await ws.next();
    await ws.close();
    const line = JSON.parse(await p.line(new RegExp(`"path":"${where}"`), { of: p.access }));
    assert.equal(line.status, client.startsWith('h1') ? 101 : 200);
    assert.equal(line.method, client.startsWith('h1') ? 'GET' : 'CONNECT');
    assert.equal(line.app, name);
    assert.equal(line.request_octets, 8 + 1000 + 8);
    assert.equal(line.response_octets, 4 + 1000 + 4);
    assert.equal(line.fault, undefined);
    assert.ok(line.head_us <= line.duration_us);
  }
});

// ---- proxies in a row ----

const without = (program) => !hasProgram(program) && `${program} is not installed`;

/** What must pass through any row of proxies. */
async function exercise(ws) {
  ws.frames();
  const big = Buffer.alloc(MIB, 'row');
  ws.send(TEXT, 'first');
  assert.equal(String((await ws.next()).payload), 'first');
  ws.send(PING, 'through all');
  assert.deepEqual(await ws.next(), { opcode: PONG, payload: Buffer.from('through all') });
  ws.send(BINARY, big);
  assert.equal(sha256((await ws.next()).payload), sha256(big));
  assert.equal(await ws.close(4000), 4000);
}

for (const [title, kind, options] of [
  ['HTTP/2 over TLS', 'https', 'ssl verify none alpn h2 sni req.hdr(host),field(1,:)'],
  ['h2c', 'http', 'proto h2'],
  ['HTTP/1.1', 'http', ''],
]) {
  check(`behind HAProxy that speaks ${title} to us`, async () => {
    const { port, stop } = await proxy('haproxy', haproxyConfig(`127.0.0.1:${p.ports[kind]} ${options}`)), from = p.access.length;
    for (const name of ['one', 'two']) {
      for (let i = 0; i < 3; i++) await exercise(await open1({ port, host: `${name}.localhost` }));
      const refused = await open1({ port, host: `${name}.localhost`, where: '/refuse' });
      assert.equal(refused.status, 403);
    }
    if (options) { // it was extended CONNECT that we saw
      await until('six are told', () => p.access.slice(from).filter((line) => line.includes('"method":"CONNECT"') && line.includes('"status":200')).length === 6);
    }
    await stop();
  }, 30, without('haproxy'));
}

for (const [title, args] of [['HTTP/1.1', ''], ['h2c', ';proto=h2'], ['HTTP/2 over TLS', ';proto=h2;tls;sni=one.localhost']]) {
  check(`behind nghttpx that speaks ${title} to us`, async () => {
    const kind = args.includes('tls') ? 'https' : 'http';
    const { port, stop } = await proxy('nghttpx', (front) => ['--conf=/dev/null', `-f127.0.0.1,${front};no-tls`, `-b127.0.0.1,${p.ports[kind]};/${args}`, '-k', '--workers=1', '--errorlog-file=/dev/stderr', '--accesslog-file=/dev/null']);
    for (const name of args.includes('tls') ? ['one'] : ['one', 'two']) await exercise(await open1({ port, host: `${name}.localhost` }));
    await stop();
  }, 30, without('nghttpx'));
}

/** A second Portico before `upstream`. */
async function before(upstream, more = {}) {
  const front = await Portico.start({ apps: {
    one: { upstreams: [`tcp://127.0.0.1:${upstream}`], hosts: ['one.localhost'], ...more },
    two: { upstreams: [`tcp://127.0.0.1:${upstream}`], hosts: ['two.localhost'], ...more },
  } }, { ready: false });
  await until('it has its certificates', () => fs.existsSync(front.caFile));
  return front;
}

for (const flag of [0, 1]) {
  check(`two Porticos in a row, ${flag ? 'h2c' : 'HTTP/1.1'} between them`, async () => {
    const front = await before(p.ports.http, { http20ProxyFlag: flag });
    for (const name of ['one', 'two']) {
      for (const kind of ['http', 'https']) {
        const host = `${name}.localhost`, port = front.ports[kind];
        await exercise(await open1({ port, host, ca: kind === 'https' ? front.ca : undefined }));
        const session = await front.h2(host, { kind });
        await exercise(await open2(session, { host, port }));
        await exercise(await open2(session, { host, port }));
        await close2(session);
      }
    }
    await front.stop();
  }, 60);
}

check('in front of HAProxy, by HTTP/1.1 and h2c', async () => {
  const { port, stop } = await proxy('haproxy', haproxyConfig(`127.0.0.1:${p.ports.http}`));
  for (const flag of [0, 1]) {
    const front = await before(port, { http20ProxyFlag: flag });
    const session = await front.h2('one.localhost');
    await exercise(await open1({ port: front.ports.http, host: 'one.localhost' }));
    await exercise(await open2(session, { host: 'one.localhost', port: front.ports.https }));
    await close2(session);
    await front.stop();
  }
  await stop();
}, 60, without('haproxy'));

check('in front of nghttpx, by HTTP/1.1 and h2c', async () => {
  const { port, stop } = await proxy('nghttpx', (front) => ['--conf=/dev/null', `-f127.0.0.1,${front};no-tls`, `-b127.0.0.1,${p.ports.http};/`, '--workers=1', '--errorlog-file=/dev/stderr', '--accesslog-file=/dev/null']);
  for (const flag of [0, 1]) {
    const front = await before(port, { http20ProxyFlag: flag });
    const session = await front.h2('one.localhost');
    await exercise(await open1({ port: front.ports.http, host: 'one.localhost' }));
    await exercise(await open2(session, { host: 'one.localhost', port: front.ports.https }));
    await close2(session);
    await front.stop();
  }
  await stop();
}, 60, without('nghttpx'));

// ---- the end ----

check('nothing is left open when they are gone', async () => {
  for (const session of Object.values(sessions)) await close2(session);
  for (const name of ['one', 'two']) {
    await until(`${name} has no request open`, async () => (await p.metric('portico_requests_open', { app: name })) === 0);
  }
  await until('edge has closed its clients', () => openDescriptors(edge()) < 100);
});

check('SIGTERM leaves WebSockets the limit, then ends them', async () => {
  const open = [];
  for (const [client, name] of PAIRS) open.push((await connect(client, name, '/echo')).frames());
  const from = p.lines.length, done = p.stop();
  for (const ws of open) ws.stream.on('error', () => {});
  await p.line(/monitor\.stop signal=15/, { from });
  const first = open.shift();
  first.send(TEXT, 'still here');
  assert.equal(String((await first.next()).payload), 'still here');
  await first.close();
  for (const ws of open) {
    assert.equal(await ws.next().catch(() => null), null);
    ws.stream.destroy();
  }
  await done;
}, 60);
