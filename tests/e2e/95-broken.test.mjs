// SPDX-License-Identifier: Apache-2.0
// Workers and clients that break rules or off in the middle.  Whatever they do: the right status or
// a visible cut, nobody else suffers, and nothing is left behind.
import assert from 'node:assert/strict';
import net from 'node:net';
import { Portico, check, close2, fetch2, openDescriptors, until, whole } from './lib.mjs';
import * as h2 from './workers/frames.mjs';

const { TYPE } = h2;
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const counts = {};
const count = (name) => (counts[name] = (counts[name] ?? 0) + 1);

// ---- an HTTP/1.1 worker by hand: what it does is in the path ----

const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
const h1Deeds = {
  '/ok': (s) => s.write(OK),
  '/flood': (s) => s.write('HTTP/1.1 102 Processing\r\n\r\n'.repeat(5000) + OK),
  '/few-infos': (s) => s.write('HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload; as=style\r\n\r\n' + OK),
  '/large-infos': (s) => s.write(`HTTP/1.1 103 Early Hints\r\nX: ${'y'.repeat(40000)}\r\n\r\n`.repeat(2) + OK),
  '/info-then-close': (s) => s.end('HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n'),
  '/switch': (s) => s.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\nxxxx'),
  '/mid-head': (s) => s.end('HTTP/1.1 200 OK\r\nContent-Le'),
  '/mid-length': (s) => s.end('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf'),
  '/mid-chunk': (s) => s.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n400\r\nhalf'),
  '/no-last-chunk': (s) => s.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n'),
  '/until-close': (s) => s.end('HTTP/1.1 200 OK\r\n\r\nall of it'),
  '/until-reset': (s) => (s.write('HTTP/1.1 200 OK\r\n\r\nnot all'), setTimeout(() => s.resetAndDestroy(), 50)),
  '/two-answers': (s) => s.write(OK + OK.replace('ok', 'no')),
  '/octets-behind': (s) => s.write(`${OK}rubbish`),
  '/too-long': (s) => s.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more'),
  '/204-content': (s) => s.write('HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nbody'),
  '/204-octets': (s) => s.write('HTTP/1.1 204 No Content\r\n\r\nbody'),
  '/304': (s) => s.write('HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\n'),
  '/head-content': (s) => s.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody'),
  '/close-at-once': (s) => s.destroy(),
  '/reset-at-once': (s) => s.resetAndDestroy(),
  '/never': () => {},
  '/early': (s) => s.write('HTTP/1.1 413 Content Too Large\r\nContent-Length: 5\r\n\r\nearly'),
  '/early-close': (s) => s.end('HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nearly'),
  '/early-destroy': (s) => s.write('HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nearly', () => s.destroy()),
  '/slow': (s) => setTimeout(() => s.write(OK), 300),
  '/slow-close': (s) => setTimeout(() => s.end('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok'), 1500),
  '/trailers': (s) => s.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 5\r\n\r\n'),
  '/bad-trailers': (s) => s.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX Sum: 1\r\n\r\n'),
  '/status-999': (s) => s.write('HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok'),
  '/status-099': (s) => s.write('HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok'),
  '/bytewise': async (s) => {
    for (const c of OK) {
      s.write(c);
      await later(1);
    }
  },
  '/many-links': (s) => s.write(`HTTP/1.1 200 OK\r\n${Array.from({ length: 200 }, (_, i) => `Link: ${Array.from({ length: 5 }, (__, j) => `</a-${i}-${j}.css>; rel=preload; as=style`).join(', ')}\r\n`).join('')}Content-Length: 2\r\n\r\nok`),
  '/long-link': (s) => s.write(`HTTP/1.1 200 OK\r\nLink: ${'<'.repeat(30000)}${',;="\\'.repeat(5000)}\r\nContent-Length: 2\r\n\r\nok`),
  '/stuck': (s) => s.write(`HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n${'x'.repeat(1000000)}`),
};
const live = new Set();
function h1Server() {
  const server = net.createServer((socket) => {
    live.add(socket);
    socket.on('close', () => live.delete(socket)).on('error', () => {});
    let rest = '';
    socket.setEncoding('latin1').on('data', (part) => {
      rest += part;
      if (socket.deed) return;
      for (let end; (end = rest.indexOf('\r\n\r\n')) >= 0;) {
        const [method, where] = rest.slice(0, end).split(' ', 2);
        const deed = where.replace(/\?.*/, '');
        rest = rest.slice(end + 4);
        count(`${method} ${deed}`);
        socket.deed = method === 'POST';
        (h1Deeds[deed] ?? ((s) => s.write('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n')))(socket);
        if (socket.deed) return;
      }
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

// ---- h2c workers by hand: one server a deed, on each request head ----

let asked; // the authority of the request at hand: heads are not decoded here
const promised = (path, more = {}) => ({ ':method': 'GET', ':scheme': 'http', ':authority': asked, ':path': path, ...more });
const ok = (id, text = 'ok') => [h2.head(id, { ':status': 200 }), h2.data(id, text, true)];
const h2Deeds = {
  ok: (send, id) => send(...ok(id)),
  'mid-body': (send, id, socket) => {
    send(h2.head(id, { ':status': 200 }), h2.data(id, 'half'));
    setTimeout(() => socket.destroy(), 30);
  },
  'mid-length': (send, id) => send(h2.head(id, { ':status': 200, 'content-length': 10 }), h2.data(id, 'half', true)),
  'long-length': (send, id) => send(h2.head(id, { ':status': 200, 'content-length': 2 }), h2.data(id, 'longer', true)),
  'reset-refused': (send, id) => send(h2.reset(id, 7)),
  'refused-once': (send, id) => (id === 1 ? send(h2.reset(id, 7)) : send(...ok(id))),
  'reset-cancel': (send, id) => send(h2.reset(id, 8)),
  'reset-none': (send, id) => send(h2.head(id, { ':status': 200 }), h2.data(id, 'half'), h2.reset(id, 0)),
  goaway: (send, id) => send(h2.goaway(0)),
  'goaway-then': (send, id, socket) => (counts.goaways = (counts.goaways ?? 0) + 1) === 1 ? (send(h2.goaway(0)), setTimeout(() => socket.end(), 50)) : send(...ok(id)),
  'goaway-finish': (send, id, socket) => {
    send(h2.goaway(id));
    setTimeout(() => send(...ok(id)), 50);
    setTimeout(() => socket.end(), 100);
  },
  'head-again': (send, id) => send(h2.head(id, { ':status': 200 }), h2.head(id, { ':status': 200 }), h2.data(id, 'x', true)),
  'flood-103': (send, id) => {
    for (let i = 0; i < 100; i++) send(...Array.from({ length: 200 }, () => h2.head(id, { ':status': 103, 'x-a': 'b'.repeat(100) })));
    send(...ok(id));
  },
  'large-103': (send, id) => send(...Array.from({ length: 8 }, () => h2.head(id, { ':status': 103, 'x-a': 'b'.repeat(10000) })), ...ok(id)),
  'no-status': (send, id) => send(h2.head(id, { 'x-a': 'b' }, true)),
  'upper-case': (send, id) => send(h2.head(id, { ':status': 200, 'X-A': 'b' }, true)),
  'data-first': (send, id) => send(h2.data(id, 'x', true)),
  'bad-hpack': (send, id) => send(h2.frame(TYPE.HEADERS, 5, id, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
  'huge-head': (send, id) => send(h2.head(id, { ':status': 200, 'x-huge': 'h'.repeat(200000) }, true)),
  'head-101': (send, id) => send(h2.head(id, { ':status': 101 }), ...ok(id)),
  'content-204': (send, id) => send(h2.head(id, { ':status': 204 }), h2.data(id, 'body', true)),
  trailers: (send, id) => send(h2.head(id, { ':status': 200 }), h2.data(id, 'ok'), h2.head(id, { 'x-sum': '1' }, true)),
  'trailers-only': (send, id) => send(h2.head(id, { ':status': 200 }), h2.head(id, { 'x-sum': '1' }, true)),
  'trailers-short': (send, id) => send(h2.head(id, { ':status': 200, 'content-length': 10 }), h2.data(id, 'half'), h2.head(id, { 'x-sum': '1' }, true)),
  'promise-post': (send, id, socket, n) => send(h2.promise(id, n, promised('/p', { ':method': 'POST' })), ...ok(id), ...ok(n)),
  'promise-foreign': (send, id, socket, n) => send(h2.promise(id, n, promised('/p', { ':authority': 'evil.example' })), ...ok(n), ...ok(id)),
  'promise-after-end': (send, id, socket, n) => send(...ok(id), h2.promise(id, n, promised('/p')), ...ok(n)),
  'promise-on-pushed': (send, id, socket, n) => send(h2.promise(id, n, promised('/p')), h2.promise(n, n + 2, promised('/q')), ...ok(n), ...ok(n + 2), ...ok(id)),
  'promise-odd-id': (send, id) => send(h2.promise(id, 7, promised('/p')), ...ok(id)),
  'promise-same-id': (send, id, socket, n) => send(h2.promise(id, n, promised('/p')), h2.promise(id, n, promised('/q')), ...ok(id)),
  'promise-unanswered': (send, id, socket, n) => send(h2.promise(id, n, promised('/p')), ...ok(id)),
  'promise-thousands': (send, id, socket) => {
    const from = (socket.many ??= 0);
    socket.many += 3000;
    for (let i = 1; i <= 3000; i++) send(h2.promise(id, (from + i) * 2, promised(`/p${i}`)));
    send(...ok(id));
    for (let i = 1; i <= 3000; i++) send(...ok((from + i) * 2));
  },
  'promise-reset': (send, id, socket, n) => send(h2.promise(id, n, promised('/p')), h2.reset(n, 8), ...ok(id)),
  'promise-cut': (send, id, socket, n) => {
    send(h2.promise(id, n, promised('/p')), h2.head(n, { ':status': 200 }), h2.data(n, 'half'), ...ok(id));
    setTimeout(() => socket.destroy(), 50);
  },
  'promise-slow': (send, id, socket, p) => {
    send(h2.promise(id, p, promised('/p')));
    setTimeout(() => send(h2.head(p, { ':status': 200 })), 30);
    setTimeout(() => send(h2.data(p, 'half')), 60);
    setTimeout(() => send(h2.head(id, { ':status': 200 })), 75);
    setTimeout(() => send(h2.data(p, 'half', true)), 90);
    setTimeout(() => send(h2.data(id, 'ok', true)), 120);
  },
  never: () => {},
  early: (send, id) => send(h2.head(id, { ':status': 413 }), h2.data(id, 'early', true), h2.reset(id, 0)),
  'early-no-reset': (send, id) => send(h2.head(id, { ':status': 413 }), h2.data(id, 'early', true)),
  'zero-window': (send, id) => send(h2.settings({ 4: 0 }), ...ok(id)),
  'settings-late': (send, id) => {
    send(h2.settings({ 3: 1, 4: 1, 5: 16384 }));
    setTimeout(() => send(...ok(id)), 20);
  },
};

let p, h1;
const servers = [];

check('starts', async () => {
  h1 = await h1Server();
  servers.push(h1);
  const apps = { h1: { upstreams: [`tcp://127.0.0.1:${h1.address().port}`], hosts: ['h1.localhost'], timeouts: { request: '3s' } } };
  for (const [name, deed] of Object.entries(h2Deeds)) {
    const server = await h2.h2cServer((send, f, socket) => {
      if (f.type === TYPE.HEADERS) {
        count(name);
        live.add(socket);
        socket.promised = (socket.promised ?? -2) + 4; // room for two promises a request
        asked = p.authority(`${name}.localhost`, 'http');
        deed(send, f.id, socket, socket.promised);
      }
    });
    servers.push(server);
    apps[name] = { upstreams: [`tcp://127.0.0.1:${server.address().port}`], hosts: [`${name}.localhost`], http20ProxyFlag: 1, timeouts: { request: '3s' } };
  }
  p = await Portico.start({ apps, loops: 1 }, { ready: false });
  await until('they are ready', async () => {
    const session = await p.h2('h1.localhost', { kind: 'http' });
    const { status } = await fetch2(session, '/ok');
    session.destroy();
    return status === 200;
  });
  await until('h2c is ready', async () => (await p.h1('ok.localhost', '/ok', { kind: 'http' })).status === 200);
}, 60);

const CUT = 'cut';
/** status or 'cut' (a status and then a visible break), by HTTP/1.1 and HTTP/2, of app and path. */
const WANTED = [
  ['h1', '/ok', 200, 'ok'], ['h1', '/flood', 502], ['h1', '/few-infos', 200, 'ok'], ['h1', '/large-infos', 502], ['h1', '/info-then-close', 502], ['h1', '/switch', 502],
  ['h1', '/mid-head', 502], ['h1', '/mid-length', CUT], ['h1', '/mid-chunk', CUT], ['h1', '/no-last-chunk', CUT],
  ['h1', '/until-close', 200, 'all of it'], ['h1', '/until-reset', CUT], ['h1', '/two-answers', 200, 'ok'], ['h1', '/ok', 200, 'ok'],
  ['h1', '/octets-behind', 200, 'ok'], ['h1', '/ok', 200, 'ok'], ['h1', '/too-long', 200, 'ok'], ['h1', '/ok', 200, 'ok'],
  ['h1', '/204-content', 204, ''], ['h1', '/204-octets', 204, ''], ['h1', '/304', 304, ''], ['h1', '/close-at-once', 502], ['h1', '/reset-at-once', 502],
  ['h1', '/never', 504], ['h1', '/slow', 200, 'ok'], ['h1', '/trailers', 200, 'ok'], ['h1', '/bad-trailers', CUT], ['h1', '/status-999', 502],
  ['h1', '/status-099', 502], ['h1', '/bytewise', 200, 'ok'], ['h1', '/many-links', 200, 'ok'], ['h1', '/long-link', 200, 'ok'],
  ['ok', '/', 200, 'ok'], ['mid-body', '/', CUT], ['mid-length', '/', CUT], ['long-length', '/', CUT], ['reset-refused', '/', 502],
  ['refused-once', '/', 200, 'ok'], ['reset-cancel', '/', 502], ['reset-none', '/', CUT], ['goaway', '/', 502], ['goaway-then', '/', 200, 'ok'], ['goaway-finish', '/', 200, 'ok'],
  ['head-again', '/', CUT], ['flood-103', '/', 502], ['large-103', '/', 502], ['no-status', '/', 502], ['upper-case', '/', 502], ['data-first', '/', 502],
  ['bad-hpack', '/', 502], ['huge-head', '/', 502], ['head-101', '/', 502], ['content-204', '/', 204, ''],
  ['trailers', '/', 200, 'ok'], ['trailers-only', '/', 200, ''], ['trailers-short', '/', CUT],
  ['promise-post', '/', 200, 'ok'], ['promise-foreign', '/', 200, 'ok'], ['promise-after-end', '/', 200, 'ok'], ['promise-on-pushed', '/', 502],
  ['promise-odd-id', '/', 502], ['promise-same-id', '/', 502], ['promise-unanswered', '/', 200, 'ok'],
  ['promise-thousands', '/', 200, 'ok'], ['promise-reset', '/', 200, 'ok'], ['promise-cut', '/', 200, 'ok'], ['promise-slow', '/', 200, 'ok'],
  ['never', '/', 504], ['zero-window', '/', 200, 'ok'], ['settings-late', '/', 200, 'ok'],
];
for (const [app, where, wanted, body] of WANTED) {
  check(`${app}${where}: ${wanted}`, async (t) => {
    const host = `${app}.localhost`, ways = {};
    const session = await p.h2(host, { kind: 'http', maxHeaderListPairs: 2000 });
    session.onPush = (stream) => stream.on('error', () => {}).resume();
    t.after(() => session.destroy());
    const two = await fetch2(session, where);
    ways.h2 = { ...two, status: two.rstCode && two.status ? CUT : two.status };
    ways.h1 = await p.h1(host, where, { kind: 'http', maxHeaderSize: 1 << 20 }).catch((error) => ({ status: CUT, error }));
    const raw = await p.raw(`GET ${where} HTTP/1.0\r\nHost: ${host}\r\n\r\n`).catch((error) => error.code);
    for (const [way, answer] of Object.entries(ways)) {
      assert.equal(answer.status, wanted, `${way}: ${answer.error ?? ''} ${answer.body}`);
      if (body !== undefined) assert.equal(String(answer.body), body, way);
    }
    if (wanted !== CUT) assert.match(raw, new RegExp(`^HTTP/1\\.1 ${wanted} `));
    assert.doesNotMatch(raw, /still open/);
    const after = await p.h1('ok.localhost', '/', { kind: 'http' });
    assert.equal(after.status, 200);
  });
}

check('over HTTP/2, too, a malformed answer is called that, and not asked for again', async () => {
  for (const app of ['no-status', 'upper-case', 'data-first', 'head-101', 'large-103']) {
    counts[app] = 0;
    const { status, body } = await p.h1(`${app}.localhost`, '/', { kind: 'http' });
    assert.equal(status, 502, app);
    assert.match(String(body), /sent a malformed answer/, app);
    assert.equal(counts[app], 1, app);
  }
});

check('the access log says what was wrong with an answer', async () => {
  const rows = [
    ['h1', '/status-099', 'worker-malformed', 'first line'], ['h1', '/switch', 'worker-malformed', '101 that was not asked for'],
    ['h1', '/flood', 'worker-malformed', '1xx response too many'], ['h1', '/bad-trailers', 'cut', 'no token'],
    ['no-status', '/', 'worker-malformed', 'pseudo-header field is missing'], ['upper-case', '/', 'worker-malformed', 'in upper case'],
    ['data-first', '/', 'worker-malformed', 'Content before the head'], ['long-length', '/', 'cut', 'not as long as content-length says'],
    ['bad-hpack', '/', 'worker-protocol', 'cannot be decompressed'], ['promise-odd-id', '/', 'worker-protocol', 'a stream that cannot be promised'],
    ['h1', '/close-at-once', 'worker-closed', undefined], ['h1', '/ok', undefined, undefined],
  ];
  for (const [app, path, fault, why] of rows) {
    const where = `${path}?${app}`, host = `${app}.localhost`, from = p.access.length;
    await p.h1(host, where, { kind: 'http' }).catch(() => {});
    const line = await until(`the line of ${host}${path}`, () => p.access.slice(from).filter((text) => text.startsWith('{')).map((text) => JSON.parse(text)).find((l) => l.app === app && l.path === path));
    assert.equal(line.fault, fault, JSON.stringify(line));
    assert.ok(why ? line.why?.includes(why) : line.why === undefined, JSON.stringify(line));
  }
});

check('who is asked again, and is the only one to ask, is blamed for what it did', async () => {
  const closed = 'closed the connection before answering';
  for (const [app, where, did] of [['reset-cancel', '/', 'reset the request'], ['h1', '/close-at-once', closed], ['h1', '/reset-at-once', closed]]) {
    const { status, body } = await p.h1(`${app}.localhost`, where, { kind: 'http' });
    assert.equal(status, 502, app + where);
    assert.match(String(body), new RegExp(did), app + where);
  }
});

check('what may not be sent twice is not', async () => {
  for (const where of ['/close-at-once', '/reset-at-once', '/mid-head', '/info-then-close', '/never']) {
    counts[`POST ${where}`] = 0;
    const { status } = await p.h1('h1.localhost', where, { kind: 'http', method: 'POST', body: 'x' });
    assert.ok([502, 504].includes(status));
    assert.equal(counts[`POST ${where}`], 1, where);
  }
});

check('an answer before the upload is complete reaches the client', async () => {
  const big = Buffer.alloc(3 << 20, 'u');
  for (const where of ['/early', '/early-close', '/early-destroy']) {
    const session = await p.h2('h1.localhost', { kind: 'http' });
    const { status, body } = await fetch2(session, where, { body: big });
    assert.equal(status, 413, `h2 ${where}`);
    assert.equal(String(body), 'early');
    session.destroy();
    const raw = await p.raw(`POST ${where} HTTP/1.1\r\nHost: h1.localhost\r\nContent-Length: ${big.length}\r\n\r\n${'u'.repeat(1 << 20)}`);
    assert.match(raw, /^HTTP\/1\.1 413 /, `h1 ${where}`);
    assert.match(raw, /early$/);
  }
  for (const app of ['early', 'early-no-reset']) {
    const session = await p.h2(`${app}.localhost`, { kind: 'http' });
    const { status, body } = await fetch2(session, '/', { body: big });
    assert.equal(status, 413, app);
    assert.equal(String(body), 'early');
    session.destroy();
    const raw = await p.raw(`POST / HTTP/1.1\r\nHost: ${app}.localhost\r\nContent-Length: ${big.length}\r\n\r\n${'u'.repeat(1 << 20)}`);
    assert.match(raw, /^HTTP\/1\.1 413 /, app);
  }
});

check('a client that has shut down its sending side gets its answer, however long it takes', async () => {
  const socket = net.connect({ port: p.ports.http, host: '127.0.0.1', allowHalfOpen: true });
  let got = '';
  socket.setEncoding('latin1').on('data', (part) => (got += part)).on('error', () => {});
  socket.end('GET /slow HTTP/1.1\r\nHost: h1.localhost\r\n\r\nGET /slow-close HTTP/1.1\r\nHost: h1.localhost\r\n\r\n');
  await new Promise((resolve) => socket.on('close', resolve));
  assert.equal(got.match(/HTTP\/1\.1 200/g)?.length, 2, got);
});

check('pipelining with an error in between: answers in order, and then the end', async () => {
  const host = 'Host: h1.localhost\r\n';
  const raw = await p.raw(`GET /slow HTTP/1.1\r\n${host}\r\nGET /ok?2 HTTP/1.1\r\n${host}\r\nGET /ok HTTP/1.1\r\n\r\nGET /ok HTTP/1.1\r\n${host}\r\n`);
  assert.deepEqual(raw.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 400']);
  const other = await p.raw(`GET /close-at-once HTTP/1.1\r\n${host}\r\nGET /nowhere HTTP/1.1\r\nHost: unknown\r\n\r\nGET /ok HTTP/1.1\r\n${host}Connection: close\r\n\r\n`);
  assert.deepEqual(other.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 502', 'HTTP/1.1 404', 'HTTP/1.1 200']);
  const cut = await p.raw(`GET /mid-length HTTP/1.1\r\n${host}\r\nGET /ok HTTP/1.1\r\n${host}\r\n`);
  assert.equal(cut.match(/HTTP\/1\.1 \d+/g)?.length ?? 0, cut.includes('HTTP') ? 1 : 0, 'nothing behind a cut answer');
});

check('windows of none and of one octet', async () => {
  const c = await h2.h2Client(p.ports.http, { first: h2.settings({ 4: 0 }) });
  c.send(h2.head(1, h2.request('ok.localhost', '/'), true), h2.head(3, h2.request('h1.localhost', '/until-close'), true));
  assert.ok(await c.until((f) => f.type === TYPE.HEADERS && f.id === 3));
  await later(200);
  assert.ok(!c.frames.some((f) => f.type === TYPE.DATA && f.payload.length));
  for (let i = 0; i < 20; i++) {
    c.send(h2.windowUpdate(1, 1), h2.windowUpdate(3, 1));
    await later(2);
  }
  assert.ok(await c.until((f) => f.type === TYPE.DATA && f.id === 3 && f.flags & 1));
  const text = c.frames.filter((f) => f.type === TYPE.DATA && f.id === 3).map((f) => f.payload.toString()).join('');
  assert.equal(text, 'all of it');
  c.send(h2.settings({ 4: 1 }), h2.head(5, h2.request('ok.localhost', '/'), true), h2.settings({ 4: 0 }), h2.settings({ 4: 100 }));
  assert.ok(await c.until((f) => f.type === TYPE.DATA && f.id === 5 && f.flags & 1));
  c.socket.destroy();
});

check('the client resets parent or promise at each moment', async () => {
  let pushesSeen = 0;
  for (let ms = 0; ms <= 140; ms += 10) {
    for (const whom of ['parent', 'pushed', 'both', 'connection']) {
      const c = await h2.h2Client(p.ports.http, { first: h2.settings({ 2: 1, 4: 1 << 20 }) });
      c.send(h2.head(1, h2.request(p.authority('promise-slow.localhost', 'http'), '/'), true));
      await later(ms);
      if (whom === 'connection') {
        c.socket.destroy();
        continue;
      }
      if (whom !== 'pushed') c.send(h2.reset(1, 8));
      if (whom !== 'parent' && c.frames.some((f) => f.type === TYPE.PUSH)) c.send(h2.reset(2, 8));
      pushesSeen += c.frames.some((f) => f.type === TYPE.PUSH);
      c.send(h2.frame(TYPE.PING, 0, 0, Buffer.alloc(8)));
      assert.ok(await c.until((f) => f.type === TYPE.PING && f.flags & 1), `${whom} at ${ms}`);
      c.socket.destroy();
    }
  }
  assert.ok(pushesSeen > 0); // how many depends on how busy the machine is
}, 60);

check('many clients that vanish while answers and uploads run', async () => {
  for (let i = 0; i < 150; i++) {
    const socket = net.connect(p.ports.http, '127.0.0.1');
    socket.on('error', () => {});
    const where = ['/stuck', '/slow', '/never', '/until-reset', '/many-links'][i % 5];
    socket.write(i % 3 ? `GET ${where} HTTP/1.1\r\nHost: h1.localhost\r\n\r\n` : `POST ${where} HTTP/1.1\r\nHost: h1.localhost\r\nContent-Length: 100000\r\n\r\nsome`);
    setTimeout(() => (i % 2 ? socket.resetAndDestroy() : socket.destroy()), (i * 7) % 200);
    if (i % 10 === 0) await later(10);
  }
});

check('nothing is left behind', async () => {
  await until('clients are gone', async () => (await p.metric('portico_client_connections_open')) === 0
    && (await p.metric('portico_requests_open')) === 0).catch(async (error) => {
    const { body } = await p.admin('/metrics');
    throw new Error(`${error.message}\n${String(body).split('\n').filter((line) => /_open/.test(line)).join('\n')}`);
  });
}, 30);

check('ends clean', async () => {
  for (const server of servers) server.close();
  for (const socket of live) socket.destroy();
  await p.stop();
}, 40);
