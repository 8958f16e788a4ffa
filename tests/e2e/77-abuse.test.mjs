// SPDX-License-Identifier: Apache-2.0
// Abuse has a price for the abuser: each attack ends with the refusal that the tables name, the
// counter of its reason rises, few of its requests reach a worker, memory stays where it was, and
// another client is served meanwhile.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { Portico, check, close2, residentKib, until, whole } from './lib.mjs';
import { Raw, attacks } from './attacks.mjs';
import * as h2 from './workers/frames.mjs';

const { END_HEADERS, END_STREAM } = h2;
const WORKER_SECTION = 63_000; // octets that the h2c worker takes of a field section: less than we do
const GROWTH_KIB = 48 << 10; // with AddressSanitizer's share
// A burst, what refills during the attack, and what was open when the connection ended.
const REACHED_MOST = 500 + 300;
const DEAR_MOST = (500 + 100) / 10; // what counts as ten resets
// As many as streams at once, some whose request had left when it was reset, and the bystander's.
const CONNECTS_MOST = 100 + 100 + 10;

let p;
const reached = new Map(); // path -> requests
const servers = [], sessions = new Set();
const listen = (server) => {
  servers.push(server);
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
};
const large = Buffer.alloc(1 << 20, 'l');

function answer(request, response) {
  reached.set(request.url, (reached.get(request.url) ?? 0) + 1);
  request.resume();
  request.on('error', () => {});
  response.on('error', () => {});
  if (request.url === '/never') return;
  if (request.url === '/hints') {
    for (let i = 0; i < 16; i++) response.writeEarlyHints?.({ link: '</a.css>; rel=preload; as=style', 'x-large': 'x'.repeat(60000) });
    return;
  }
  if (request.url === '/wait') request.on('end', () => response.end('all of it'));
  else response.end(request.url === '/large' ? large : 'ok');
}

check('starts', async () => {
  const one = await listen(http.createServer(answer));
  // Node ends a session with more than maxSessionMemory MB unsent, whoever the slow reader is.
  const two = await listen(http2.createServer({ maxSessionMemory: 1000, settings: { maxHeaderListSize: WORKER_SECTION } }, answer));
  two.on('session', (session) => {
    sessions.add(session);
    session.on('error', () => {});
  });
  const three = await h2.h2cServer((send, f, socket) => {
    if (f.type === h2.TYPE.HEADERS) floodFrom(socket, f.id, hostile);
  });
  servers.push(three);
  const at = (server) => [`tcp://127.0.0.1:${server.address().port}`];
  p = await Portico.start({
    loops: 1,
    // Who is suspect gets less, and no attack is to stop short for that: see 77-suspects.
    limits: { requestHead: '1s', handshake: '1s', connectionsPerAddress: 40, abusesPerAddress: '1000000 + 1000000/s' },
    apps: {
      one: { upstreams: at(one), hosts: ['one.localhost'], timeouts: { request: '2s', idle: '2s' } },
      two: { upstreams: at(two), hosts: ['two.localhost'], http20ProxyFlag: 1, timeouts: { request: '2s', idle: '2s' } },
      strict: { upstreams: at(one), hosts: ['strict.localhost'], tls: { minVersion: '1.3' } },
      hostile: { upstreams: at(three), hosts: ['hostile.localhost'], http20ProxyFlag: 1 },
    },
  });
  for (const host of ['one', 'two']) {
    await until(`${host} is served`, async () => (await p.h1(`${host}.localhost`, '/', { kind: 'http' })).status === 200);
  }
  await until('edge is known', () => p.role('edge'));
}, 60);

const total = (metric, reasons) => Promise.all(reasons.split('|').map((reason) => p.metric(metric, { reason })))
  .then((all) => all.reduce((a, b) => a + b, 0));

/** The attack, and another client who is served meanwhile. */
async function withBystander(during) {
  let done = false;
  const attack = during.finally(() => {
    done = true;
  });
  do {
    assert.equal((await p.h1('one.localhost', '/bystander', { kind: 'http' })).status, 200);
  } while (!done);
  return attack;
}

for (const app of ['one', 'two']) {
  const names = attacks({ port: 0, authority: '' }).map(({ name }) => name);
  for (const [i, name] of names.entries()) {
    check(`${name} (${app})`, async () => {
      const path = `/attack/${app}/${i}`;
      const attack = attacks({ port: p.ports.http, authority: p.authority(`${app}.localhost`, 'http'), path })[i];
      const pid = p.role('edge'), memory = residentKib(pid);
      const before = attack.reason && await total('portico_http2_refusals_total', attack.reason);
      const dear = attack.dear && await total('portico_http2_refusals_total', attack.dear);
      const connects = await p.metric('portico_worker_connects_total');
      const raw = await withBystander(attack.run());
      if (attack.survives) {
        assert.equal(raw.goaway, undefined);
        assert.ok(raw.frames.some((f) => f.type === h2.TYPE.HEADERS), 'no answer');
      } else {
        if (!attack.deaf) assert.equal(raw.goaway?.code, attack.code, `GOAWAY with another code; resets: ${raw.resets().slice(0, 5)}`);
        await until('the reason is counted', async () => await total('portico_http2_refusals_total', attack.reason) > before);
      }
      if (attack.dear) {
        const refused = await total('portico_http2_refusals_total', attack.dear) - dear;
        assert.ok(refused > 0 && refused <= DEAR_MOST, `${refused} were decoded`);
      }
      const connected = await p.metric('portico_worker_connects_total') - connects;
      assert.ok(connected <= (attack.connects ? REACHED_MOST : CONNECTS_MOST), `${connected} connections to workers were opened`);
      const got = reached.get(path) ?? 0;
      if (!attack.served) assert.ok(got <= (attack.reached ? REACHED_MOST : 0), `${got} requests reached a worker`);
      assert.equal(p.role('edge'), pid);
      assert.ok(residentKib(pid) - memory < GROWTH_KIB, `edge grew by ${residentKib(pid) - memory} KiB`);
    });
  }
}

// ---- windows: what a client does not take is not collected for it without bound ----

/** Streams that ask for a megabyte each and take it as `take` says, on `conns` connections. */
async function slowReaders(host, conns, streams, first, take = () => {}) {
  const raws = await Promise.all(Array.from({ length: conns }, () => Raw.open(p.ports.http, { first })));
  const authority = p.authority(`${host}.localhost`, 'http');
  for (const raw of raws) {
    take(raw);
    for (let i = 0; i < streams; i++) await raw.send(h2.head(2 * i + 1, h2.request(authority, '/large'), true));
  }
  return raws;
}

for (const host of ['one', 'two']) {
  check(`a hundred streams that take nothing, four times, end when time is up (${host})`, async () => {
    const pid = p.role('edge'), memory = residentKib(pid);
    const raws = await slowReaders(host, 4, 100, h2.settings({ 4: 0 }));
    await until('all have begun', async () => raws.every((raw) => raw.frames.filter((f) => f.type === h2.TYPE.HEADERS).length === 100));
    assert.equal((await p.h1(`${host}.localhost`, '/', { kind: 'http' })).status, 200);
    const peak = residentKib(pid) - memory;
    // Most as stalled; where the worker was late, its client was told so, and did not take that either.
    await until('all have ended', async () => await p.metric('portico_requests_open', { app: host }) === 0);
    assert.ok(await p.metric('portico_faults_total', { app: host, reason: 'client-stalled' }) > 0);
    for (const raw of raws) {
      await raw.until(() => raw.resets().length >= 100);
      assert.ok(raw.resets().length >= 100, `${raw.resets().length} were reset`);
      raw.end();
    }
    assert.ok(peak < 400 * (16 + 64) + 4 * 1024 + GROWTH_KIB, `edge grew by ${peak} KiB`);
  }, 60);

  check(`an answer of our own that is not taken ends, too (${host})`, async () => {
    const before = await p.metric('portico_faults_total', { app: host, reason: 'worker-timeout' });
    const raw = await Raw.open(p.ports.http, { first: h2.settings({ 4: 0 }) });
    await raw.send(h2.head(1, h2.request(p.authority(`${host}.localhost`, 'http'), '/never'), true));
    await raw.until(() => raw.resets().length);
    assert.ok(raw.frames.some((f) => f.type === h2.TYPE.HEADERS), 'the 504');
    await until('it is counted', async () => await p.metric('portico_faults_total', { app: host, reason: 'worker-timeout' }) > before);
    raw.end();
  });

  check(`a hundred streams of hints that nobody reads (${host})`, async () => {
    const pid = p.role('edge'), memory = residentKib(pid);
    const raw = await Raw.open(p.ports.http, { deaf: true });
    const before = reached.get('/hints') ?? 0;
    for (let i = 0; i < 100; i++) await raw.send(h2.head(2 * i + 1, h2.request(p.authority(`${host}.localhost`, 'http'), '/hints'), true));
    await until('all have been asked', () => (reached.get('/hints') ?? 0) >= before + 100);
    await until('all have ended', async () => await p.metric('portico_requests_open', { app: host }) === 0);
    assert.ok(residentKib(pid) - memory < GROWTH_KIB, `edge grew by ${residentKib(pid) - memory} KiB`);
    raw.end();
  });

  check(`an octet at a time (${host})`, async () => {
    const pid = p.role('edge'), memory = residentKib(pid);
    let octets = 0;
    const [raw] = await slowReaders(host, 1, 50, h2.settings({ 4: 1 }), (one) => {
      one.onFrame = (f) => {
        if (f.type !== h2.TYPE.DATA) return;
        octets += f.payload.length;
        if (octets < 3000) one.send(h2.windowUpdate(f.id, 1));
      };
    });
    await raw.until(() => octets >= 3000 || raw.goaway);
    assert.equal(raw.goaway, undefined, 'who takes little at a time is slow, not hostile');
    raw.end();
    assert.ok(residentKib(pid) - memory < 50 * 256 + GROWTH_KIB);
    await until('they are gone', async () => (await p.metric('portico_requests_open', { app: host })) === 0);
  });
}

// ---- what clients share: an h2c worker's connection ----

/** Another client's request is half sent while `attack` runs, and is answered afterwards. */
async function withHalfARequest(attack) {
  const session = await p.h2('two.localhost', { kind: 'http' });
  const before = reached.get('/wait') ?? 0;
  const stream = session.request({ ':method': 'POST', ':path': '/wait', ':authority': 'two.localhost' }, { endStream: false });
  const answered = whole(stream);
  await until('it has arrived', () => (reached.get('/wait') ?? 0) > before);
  await attack();
  stream.end('x');
  assert.equal(String((await answered).body), 'all of it');
  await close2(session);
}

check('heads of an octet for each 4 KB end nobody else\'s requests', () => withHalfARequest(async () => {
  const authority = p.authority('two.localhost', 'http');
  const asked = h2.block(h2.request(authority, '/'));
  const entry = Buffer.concat([Buffer.from([0x40]), h2.block({ x: 'b'.repeat(3900) }).subarray(1)]);
  const ends = END_HEADERS | END_STREAM;
  const all = Array.from({ length: 100 }, (_, i) => h2.frame(h2.TYPE.HEADERS, ends, 2 * i + 1, Buffer.concat([asked, i ? Buffer.alloc(15, 0xbe) : entry])));
  const raws = await Promise.all(Array.from({ length: 4 }, () => Raw.open(p.ports.http)));
  for (const raw of raws) await raw.send(...all);
  for (const raw of raws) {
    const count = (type) => raw.frames.filter((f) => f.type === type).length;
    await raw.until(() => count(h2.TYPE.HEADERS) + count(h2.TYPE.RST) === 100 || raw.goaway); // more than may be open at once are refused
    assert.ok(count(h2.TYPE.HEADERS) >= 10, `${count(h2.TYPE.HEADERS)} were answered, ${count(h2.TYPE.RST)} refused`);
    raw.end();
  }
  assert.equal(await p.metric('portico_worker_http2_refusals_total', { reason: 'queue' }), 0);
}));

check('a head that is too large for its worker does not get there', () => withHalfARequest(async () => {
  const session = await p.h2('two.localhost', { kind: 'http' });
  const ask = async (octets) => {
    const stream = session.request({ ':path': '/large-head', ':authority': 'two.localhost', 'x-large': 'x'.repeat(octets) });
    return (await whole(stream)).status;
  };
  assert.equal(await ask(WORKER_SECTION - 1500), 200); // there is room for what we say of the client
  assert.equal(reached.get('/large-head'), 1);
  assert.equal(await ask(WORKER_SECTION), 431);
  assert.equal(reached.get('/large-head'), 1);
  assert.equal(await p.metric('portico_faults_total', { app: 'two', reason: 'fields-too-large' }), 1);
  await close2(session);
}));

// ---- a worker that attacks: it is one app's, and edge is everybody's ----

const WORKER_FLOODS = [
  ['SETTINGS', 'budget.settings', () => h2.settings({ 3: 100 })],
  ['SETTINGS that change the HPACK table', 'budget.settings', (i) => h2.settings({ 1: i & 1 ? 0 : 0xffffffff })],
  ['acknowledgements of nothing', 'budget.settings', () => h2.frame(h2.TYPE.SETTINGS, h2.ACK, 0)],
  ['GOAWAY', 'budget.settings', (i, id) => h2.goaway(id)],
  ['PING', 'budget.pings', () => h2.frame(h2.TYPE.PING, 0, 0, Buffer.alloc(8))],
  ['WINDOW_UPDATE', 'budget.window', () => h2.windowUpdate(0, 1)],
  ['PRIORITY', 'budget.priority', (i, id) => h2.frame(h2.TYPE.PRIORITY, 0, id, Buffer.alloc(5, 1))],
  ['frames of unknown types', 'budget.priority', () => h2.frame(0x42, 0, 0, Buffer.alloc(64))],
  ['empty DATA', 'budget.empty', (i, id) => (i ? h2.data(id, '') : h2.head(id, { ':status': 200 }))],
  ['CONTINUATION without end', 'block.size', (i, id) => (i ? h2.frame(h2.TYPE.CONT, 0, id, Buffer.alloc(16384, 0x41)) : h2.frame(h2.TYPE.HEADERS, 0, id, h2.block({ ':status': 200 })))],
  ['empty CONTINUATION', 'block.size|budget.empty', (i, id) => (i ? h2.frame(h2.TYPE.CONT, 0, id) : h2.frame(h2.TYPE.HEADERS, 0, id, h2.block({ ':status': 200 })))],
  ['an HPACK bomb', 'block.size', (i, id) => h2.frame(h2.TYPE.HEADERS, h2.END_HEADERS, id, Buffer.concat([h2.block({ ':status': 200 }), Buffer.from([0x40, 1, 0x78, 0x7f, 0xa1, 0x1e]), Buffer.alloc(4000, 0x62), Buffer.alloc(8000, 0xbe)]))],
];
let hostile; // makes the next frame of the worker that attacks

/** Frames in runs, until edge has closed the connection. */
async function floodFrom(socket, id, make) {
  for (let i = 0; i < 100000 && socket.writable;) {
    const run = [];
    for (let k = 0; k < 64; k++, i++) run.push(make(i, id));
    if (!socket.write(Buffer.concat(run))) await new Promise((resolve) => socket.once('drain', resolve).once('close', resolve));
    else await new Promise((resolve) => setImmediate(resolve));
  }
}

for (const [name, reason, make] of WORKER_FLOODS) {
  check(`a worker's ${name}: its connection ends, others are served`, async () => {
    const before = await total('portico_worker_http2_refusals_total', reason), pid = p.role('edge'), memory = residentKib(pid);
    hostile = make;
    const { status } = await withBystander(p.h1('hostile.localhost', '/', { kind: 'http' }).catch(() => ({ status: 'cut' })));
    assert.equal(status, name === 'empty DATA' ? 'cut' : 502);
    assert.ok(await total('portico_worker_http2_refusals_total', reason) > before);
    assert.equal(p.role('edge'), pid);
    assert.ok(residentKib(pid) - memory < GROWTH_KIB, `edge grew by ${residentKib(pid) - memory} KiB`);
  });
}

// ---- slow and silent clients ----

const refusals = (reason) => p.metric('portico_refusals_total', { reason });
const heard = (socket) => new Promise((resolve) => {
  let text = '';
  socket.on('data', (part) => {
    text += part.toString('latin1');
  });
  socket.on('error', () => {});
  socket.on('close', () => resolve(text));
});

async function refused(reason, open) {
  const before = await refusals(reason);
  const text = await open();
  await until(`${reason} is counted`, async () => await refusals(reason) > before);
  return text;
}

const connect = (kind = 'http') => net.connect(p.ports[kind], '127.0.0.1');

/** An octet of `text` each 50 ms, for as long as it is taken. */
function dribble(socket, text) {
  const octets = Buffer.from(text, 'latin1');
  let at = 0;
  const timer = setInterval(() => socket.writable && socket.write(octets.subarray(at % octets.length, (at++ % octets.length) + 1)), 50);
  socket.on('close', () => clearInterval(timer));
  return heard(socket);
}

check('a head that comes octet by octet gets 408', async () => {
  const text = await refused('http1.slow', () => dribble(connect(), `GET / HTTP/1.1\r\nHost: one.localhost\r\nX: ${'x'.repeat(5000)}`));
  assert.match(text, /^HTTP\/1\.1 408 /);
});

check('nothing at all, half a preface, a whole preface: closed', async () => {
  await refused('silent', () => heard(connect()));
  await refused('silent', () => {
    const socket = connect();
    socket.write(h2.PREFACE.slice(0, 10));
    return heard(socket);
  });
  await refused('silent', async () => {
    const raw = await Raw.open(p.ports.http);
    await raw.until(() => raw.closed);
    assert.equal(raw.goaway.code, 0);
  });
});

check('content that stops gets 408; nobody else waits for it', async () => {
  const before = await p.metric('portico_faults_total', { app: 'one', reason: 'client-stalled' });
  const sockets = Array.from({ length: 20 }, () => connect());
  const texts = sockets.map(heard);
  for (const socket of sockets) socket.write('POST /wait HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: 1000\r\n\r\nsome');
  assert.equal((await p.h1('one.localhost', '/', { kind: 'http' })).status, 200);
  for (const text of await Promise.all(texts)) assert.match(text, /^HTTP\/1\.1 408 /);
  assert.equal(await p.metric('portico_faults_total', { app: 'one', reason: 'client-stalled' }) - before, sockets.length);
});

check('content that comes slowly is waited for: who is silent is cut, not who is slow', async () => {
  const socket = connect(), text = heard(socket);
  socket.write('POST /wait HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: 30\r\nConnection: close\r\n\r\n');
  for (let i = 0; i < 30; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    socket.write('x');
  }
  assert.match(await text, /^HTTP\/1\.1 200 [^]*all of it$/); // after more than timeouts.request
});

check('what is not HTTP is closed without an answer', async () => {
  assert.equal(await refused('not-http', () => {
    const socket = connect();
    socket.write('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 not for this port\r\n\r\n');
    return heard(socket);
  }), '');
});

for (const [reason, status, text] of [
  ['http1.target', 414, `GET /${'x'.repeat(20000)} HTTP/1.1\r\nHost: one.localhost\r\n\r\n`],
  ['http1.fields', 431, `GET / HTTP/1.1\r\nHost: one.localhost\r\n${'X-Filler: some text\r\n'.repeat(5000)}\r\n`],
  ['http1.version', 505, 'GET / HTTP/3.7\r\nHost: one.localhost\r\n\r\n'],
  ['http1.coding', 501, 'POST / HTTP/1.1\r\nHost: one.localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n'],
  ['http1.message', 400, 'GET / HTTP/1.1\r\nHost: one.localhost\r\nHost: two.localhost\r\n\r\n'],
]) {
  check(`${reason} gets ${status}`, async () => {
    assert.match(await refused(reason, () => p.raw(text)), new RegExp(`^HTTP/1\\.1 ${status} `));
  });
}

// ---- TLS ----

check('a handshake that never ends is ended', async () => {
  await refused('tls.slow', () => {
    const socket = connect('https');
    socket.write(Buffer.from('160301020001', 'hex'));
    return heard(socket);
  });
  await refused('tls.slow', () => dribble(connect('https'), Buffer.from('16030102000100', 'hex').toString('latin1') + '\0'.repeat(500)));
});

check('who is silent after the handshake, or slow, is no better off', async () => {
  const shaken = async () => {
    const socket = tls.connect({ port: p.ports.https, host: '127.0.0.1', servername: 'one.localhost', ca: p.ca, ALPNProtocols: ['http/1.1'] });
    await once(socket, 'secureConnect');
    return socket;
  };
  let silent, slow; // long before a connection that waits for its next request would end
  shaken().then(heard).then((text) => { silent = text; });
  shaken().then((socket) => dribble(socket, `GET / HTTP/1.1\r\nHost: one.localhost\r\nX: ${'x'.repeat(5000)}`)).then((text) => { slow = text; });
  await until('both are closed', () => silent !== undefined && slow !== undefined, 20);
  assert.equal(silent, '');
  assert.match(slow, /^HTTP\/1\.1 408 /);
});

check('what is not TLS gets an alert', async () => {
  const text = await refused('tls.handshake', () => {
    const socket = connect('https');
    socket.write(Buffer.concat([Buffer.from('1603010020', 'hex'), Buffer.alloc(32, 0x55)]));
    return heard(socket);
  });
  assert.equal(text.charCodeAt(0), 21, 'an alert record');
});

/** What Node's client says, its first record cut into many. */
class Cut extends Duplex {
  constructor(socket, octets) {
    super();
    Object.assign(this, { socket, octets, isFirst: true });
    socket.on('data', (part) => this.push(part)).on('end', () => this.push(null)).on('error', (error) => this.destroy(error));
  }

  _read() {}

  _write(part, encoding, done) {
    if (this.isFirst) {
      this.isFirst = false;
      const end = 5 + part.readUInt16BE(3), out = [];
      for (let at = 5; at < end; at += this.octets) {
        const piece = part.subarray(at, Math.min(at + this.octets, end));
        out.push(part.subarray(0, 3), Buffer.from([piece.length >> 8, piece.length & 255]), piece);
      }
      part = Buffer.concat([...out, part.subarray(end)]);
    }
    this.socket.write(part, done);
  }

  _final(done) {
    this.socket.end(done);
  }
}

check('a ClientHello in many records is read like any other: name and version count', async () => {
  for (const octets of [1, 7, 100]) {
    for (const [host, maxVersion, wanted] of [['one', 'TLSv1.3', 200], ['one', 'TLSv1.2', 200], ['strict', 'TLSv1.3', 200], ['strict', 'TLSv1.2', 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION']]) {
      const servername = `${host}.localhost`, plain = connect('https');
      await once(plain, 'connect');
      const socket = tls.connect({ socket: new Cut(plain, octets), servername, ca: p.ca, maxVersion, ALPNProtocols: ['http/1.1'] });
      socket.on('secureConnect', () => socket.write(`GET / HTTP/1.1\r\nHost: ${servername}\r\nConnection: close\r\n\r\n`));
      const got = await new Promise((resolve) => socket.on('data', (part) => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(part)?.[1]))).on('error', (error) => resolve(error.code)));
      assert.equal(got, wanted, `${servername}, ${maxVersion}, records of ${octets}`);
      socket.destroy();
      plain.destroy();
    }
  }
});

check('records that belong to no handshake end it at once', async () => {
  const listener = net.createServer(), records = (hex, count = 1000) => Buffer.concat(Array(count).fill(Buffer.from(hex, 'hex')));
  await listen(listener);
  const client = tls.connect({ port: listener.address().port, host: '127.0.0.1', servername: 'one.localhost' }).on('error', () => {});
  const [peer] = await once(listener, 'connection');
  const [hello] = await once(peer, 'data');
  client.destroy();
  for (const behind of [records('140303000101', 100000), records('1603030000'), records('1703030000'), records('1503030002015a'), records('1803030003014000'), hello,
    Buffer.concat([records('16030340000200ffff', 1), Buffer.alloc(0x4000 - 4)])]) {
    await refused('tls.handshake', () => {
      const socket = connect('https');
      socket.write(Buffer.concat([hello, behind]));
      return heard(socket);
    });
  }
});

/** OpenSSL's own client takes "k" and "R" at the beginning of a line as commands. */
async function sClient(args, commands) {
  const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${p.ports.https}`, '-servername', 'one.localhost', ...args], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {});
  const ended = new Promise((resolve) => child.on('close', resolve));
  for await (const part of child.stdout) {
    if (/Verify return code/.test(part.toString())) break;
  }
  child.stdout.resume();
  child.stderr.on('data', () => child.stdin.write(commands)); // it has said that it did the one before
  child.stdin.write(commands);
  const timer = setTimeout(() => child.kill(), 15000);
  await ended;
  clearTimeout(timer);
}

check('a client that changes its keys without end is cut off', () => refused('tls.key-updates', () => sClient(['-tls1_3'], 'k\n')));

check('a request in records of one octet each is served', async () => {
  const socket = tls.connect({ port: p.ports.https, host: '127.0.0.1', servername: 'one.localhost', ca: p.ca });
  await once(socket, 'secureConnect');
  socket.setNoDelay(true);
  for (const octet of Buffer.from('GET / HTTP/1.1\r\nHost: one.localhost\r\nConnection: close\r\n\r\n')) {
    await new Promise((resolve) => socket.write(Buffer.from([octet]), resolve));
  }
  assert.match(await heard(socket), /^HTTP\/1\.1 200 /);
});

// ---- many connections ----

check('one address has so many connections and no more; others come in when some have gone', async () => {
  const sockets = [], from = p.lines.length;
  const before = await refusals('address.connections');
  for (let i = 0; i < 60; i++) {
    const socket = connect();
    const text = heard(socket);
    sockets.push({ socket, text });
    await once(socket, 'connect');
  }
  await until('those beyond the limit are closed', async () => sockets.filter(({ socket }) => socket.readableEnded || socket.destroyed).length >= 20);
  for (const { socket } of sockets) socket.destroy();
  await until('it may come in again', async () => (await p.h1('one.localhost', '/', { kind: 'http' })).status === 200);
  assert.ok(await refusals('address.connections') - before >= 20);
  await p.line(/client\.refused count=\d+ last=address\.connections why="[^"]*" peer=127\.0\.0\.1/, { from });
});

check('stops', async () => {
  await p.stop();
  for (const server of servers) {
    server.close();
    server.closeAllConnections?.();
  }
  for (const session of sessions) session.destroy();
});
