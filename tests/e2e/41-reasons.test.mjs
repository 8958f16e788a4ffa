// SPDX-License-Identifier: Apache-2.0
// Each reason for which the front end answers by itself, or cuts a response, is told wherever an
// operator looks: status, page, the app's counter, access log.  The rows are those of the table that
// the binary prints: one without a case fails.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { PORTICO, Portico, check, close2, fetch2, run, until, whole, worker } from './lib.mjs';
import { Hpack } from './strict-h2.mjs';
import * as h2 from './workers/frames.mjs';
import { acceptOf, newKey } from './workers/ws.mjs';

const ELSEWHERE = ['memory', 'descriptors']; // 78-memory, 78-descriptors
const SETTING_MAX_HEADER_LIST_SIZE = 6;

const listening = async (server) => {
  server.listen(0, '127.0.0.1').unref();
  await once(server, 'listening');
  return server.address().port;
};

/** An HTTP/1.1 worker: what it answers by path, closed behind it where the answer says so. */
const ANSWERS = {
  '/': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes',
  '/silent': '',
  '/closes': null,
  '/rubbish': 'these are not the octets of an answer\r\n\r\n',
  '/cuts': 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nnot a hundred',
};
const one = net.createServer((socket) => socket.on('error', () => {}).setEncoding('latin1').on('data', (text) => {
  const where = /^\S+ (\S+)/.exec(text)[1], key = /^sec-websocket-key: (.*)\r$/im.exec(text)?.[1];
  if (where === '/switches') {
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${acceptOf(key)}\r\n\r\n`);
  } else {
    socket.write(ANSWERS[where] ?? '');
    if (ANSWERS[where] === null || where === '/cuts') socket.end();
  }
}));

/** An h2c worker without SETTINGS_ENABLE_CONNECT_PROTOCOL that takes small field sections. */
const two = await h2.h2cServer((send, f, socket) => {
  if (f.type !== h2.TYPE.HEADERS) return;
  socket.hpack ??= new Hpack();
  const where = socket.hpack.read(f.payload).find(([name]) => name === ':path')[1];
  if (where === '/resets') send(h2.reset(f.id, 2));
  else if (where === '/breaks') send(h2.data(0, 'DATA of no stream'));
  else send(h2.head(f.id, { ':status': '200' }, true));
}, { first: h2.settings({ [SETTING_MAX_HEADER_LIST_SIZE]: 4096 }) });
two.unref();

let p, table;

check('starts', async () => {
  const at = [`tcp://127.0.0.1:${await listening(one)}`], at2 = [`tcp://127.0.0.1:${two.address().port}`];
  const closed = net.createServer(), nobody = await listening(closed);
  closed.close();
  const app = (name, upstreams, more) => ({ upstreams, hosts: [`${name}.localhost`], ...more });
  p = await Portico.start({
    loops: 1, // whose connection to a worker knows the worker's SETTINGS from the request before
    apps: {
      one: app('one', at, { limits: { body: '4KiB' } }),
      brief: app('brief', at, { timeouts: { request: '1s', tunnel: '1s' } }),
      single: app('single', at, { limits: { concurrency: 1, queue: 0 } }),
      secure: app('secure', at, { httpsOnly: true }),
      still: app('still', at, { webSocketsEnabled: false }),
      two: app('two', at2, { http20ProxyFlag: 1, upgrades: ['foo'] }),
      nobody: app('nobody', [`tcp://127.0.0.1:${nobody}`]),
      missing: { ...worker('', 'missing.localhost'), command: './no-such-command' },
    },
  }, { ready: false });
  const { stdout } = await run(PORTICO, ['help', 'limits']);
  const rows = /^## Requests$([^]*)/m.exec(stdout)[1].matchAll(/^\| `(\S+)` \| (.*?) \| (\d*) \|/gm);
  table = Object.fromEntries([...rows].map(([, reason, text, status]) => [reason, { text, status: Number(status) }]));
});

// ---- clients ----

/** A connection that sends octets and is left open: {socket, text: all that came, ended}. */
function open(octets) {
  const socket = net.connect(p.ports.http, '127.0.0.1', () => socket.write(octets)), c = { socket, text: '' };
  socket.on('error', () => {}).setEncoding('latin1').on('data', (part) => (c.text += part));
  c.ended = new Promise((resolve) => socket.on('close', resolve));
  return c;
}

/** One request and all of its answer. */
async function plain(app, where, { method = 'GET', fields = {}, content = '', close = 'close' } = {}) {
  const all = { Host: `${app}.localhost`, Connection: close, ...fields };
  const c = open(`${method} ${where} HTTP/1.1\r\n${Object.entries(all).map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n${content}`);
  await c.ended;
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(c.text)?.[1]), body: c.text };
}

const websocket = (more) => ({
  close: 'close, Upgrade', fields: { Upgrade: 'websocket', 'Sec-WebSocket-Key': newKey(), 'Sec-WebSocket-Version': 13, ...more },
});

/** The same on a session of HTTP/2 that is open for `app`. */
async function over2(app, ask) {
  const session = await p.h2(`${app}.localhost`);
  const answer = await ask(session);
  await close2(session);
  return { ...answer, body: String(answer.body) };
}

const connect = (protocol) => (session) => {
  const stream = session.request({
    ':method': 'CONNECT', ':protocol': protocol, ':scheme': 'https', ':path': '/', ':authority': session.originSet[0].slice(8), 'sec-websocket-version': '13',
  }, { endStream: false });
  const answer = whole(stream);
  stream.on('response', () => stream.end());
  return answer;
};

const CASES = [
  ['no-instance', 'missing', () => plain('missing', '/')],
  ['connect', 'nobody', () => plain('nobody', '/')],
  ['worker-closed', 'one', () => plain('one', '/closes', { method: 'POST', fields: { 'Content-Length': 0 } })],
  ['worker-malformed', 'one', () => plain('one', '/rubbish')],
  ['worker-protocol', 'two', () => plain('two', '/breaks')],
  ['worker-reset', 'two', () => plain('two', '/resets')],
  ['worker-timeout', 'brief', () => plain('brief', '/silent')],
  ['overload', 'single', async () => {
    const first = open('GET /silent HTTP/1.1\r\nHost: single.localhost\r\n\r\n');
    await until('the app has its one request', async () => await p.metric('portico_requests_open', { app: 'single' }) === 1);
    const answer = await plain('single', '/');
    first.socket.resetAndDestroy(); // who only ends what it sends may still wait for its answer
    return answer;
  }],
  ['unknown-host', null, () => plain('nowhere', '/')],
  ['content-too-large', 'one', () => plain('one', '/', { method: 'POST', fields: { 'Content-Length': 5000 } })],
  ['fields-too-large', 'two', () => plain('two', '/', { fields: { 'X-Large': 'x'.repeat(8000) } })],
  ['misdirected', 'two', () => over2('one', (session) => fetch2(session, '/', { headers: { ':authority': p.authority('two.localhost') } }))],
  ['loop', 'one', () => plain('one', '/', { fields: { Via: Array(10).fill('1.1 portico').join(', ') } })],
  ['bad-request', 'one', () => plain('one', '/', websocket({ 'Sec-WebSocket-Key': 'no key' }))],
  ['https-only', 'secure', () => plain('secure', '/', { method: 'POST', fields: { 'Content-Length': 0 } })],
  ['connect-method', 'one', () => plain('one', 'one.localhost:443', { method: 'CONNECT' })],
  ['websocket-version', 'one', () => plain('one', '/', websocket({ 'Sec-WebSocket-Version': 12 }))],
  ['websockets-off', 'still', () => plain('still', '/', websocket())],
  ['no-extended-connect', 'two', () => over2('two', connect('websocket'))],
  ['no-upgrade', 'two', () => plain('two', '/', { close: 'close, Upgrade', fields: { Upgrade: 'foo' } })],
  ['not-switched', 'one', () => over2('one', connect('websocket'))],
  ['client-stalled', 'brief', () => plain('brief', '/silent', { method: 'POST', fields: { 'Content-Length': 9 }, content: 'some' })],
  // Nothing is answered, or a response has begun.
  ['tunnel-idle', 'brief', async () => ({ ...await plain('brief', '/switches', websocket()), page: false, status: 0, logged: 101 })],
  ['cut', 'one', async () => {
    const answer = await plain('one', '/cuts');
    assert.ok(answer.body.endsWith('not a hundred'));
    return { page: false, status: 502, logged: 200 };
  }],
  ['client-gone', 'one', async () => {
    const { socket, ended } = open('GET /silent HTTP/1.1\r\nHost: one.localhost\r\n\r\n');
    await until('the request is under way', async () => await p.metric('portico_requests_open', { app: 'one' }) === 1);
    socket.resetAndDestroy();
    await ended;
    return { page: false, status: 0, logged: 0 };
  }],
];

for (const [reason, app, provoke] of CASES) {
  check(`${reason}: status, page, counter and log say so`, async () => {
    const counter = () => (app ? p.metric('portico_faults_total', { app, reason }) : p.metric('portico_requests_unrouted_total'));
    const before = await counter() ?? 0, from = p.access.length;
    const { status, body, page = true, logged = status } = await provoke();
    assert.equal(status, table[reason].status, body);
    if (page && reason !== 'bad-request' && reason !== 'https-only') assert.ok(body.includes(table[reason].text), body);
    if (page) assert.match(body, /\brequest: [0-9a-f]{16,}$|^This app is served over HTTPS only\.$|Location: https:/im);
    await until('it is counted once', async () => await counter() === before + 1);
    const line = JSON.parse((await p.line(new RegExp(`"fault":"${reason}"`), { of: p.access, from })).replace(/^[^{]*/, ''));
    assert.equal(line.status, logged);
    assert.equal(line.app, app ?? '-');
  });
}

check('no reason is left out', () => {
  assert.deepEqual([...CASES.map(([reason]) => reason), ...ELSEWHERE].sort(), Object.keys(table).sort());
});

check('ends clean', () => p.stop());
