// SPDX-License-Identifier: Apache-2.0
// Whatever goes wrong has the right status and says what; nothing hangs and nothing spreads.
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import net from 'node:net';
import { Portico, check, close2, fetch2, raw, until, worker } from './lib.mjs';

let p;

check('starts, with apps that never will', async () => {
  p = await Portico.start({
    apps: {
      one: worker('h1', 'one.localhost', { instances: 2, timeouts: { request: '2s' }, limits: { body: '4KiB' } }),
      two: worker('h2c', 'two.localhost', { timeouts: { request: '2s' }, limits: { body: '4KiB' } }),
      dies: { ...worker('', 'dies.localhost'), command: './dies.sh', instances: 2 },
      never: { ...worker('', 'never.localhost'), command: './never.sh' },
      missing: { ...worker('', 'missing.localhost'), command: './no-such-command --at all' },
      nobody: { upstreams: ['tcp://127.0.0.1:1'], hosts: ['nobody.localhost'] },
      rubbish: worker('rubbish', 'rubbish.localhost'),
    },
  }, { ready: false });
  await p.ready(['one', 'two']);
}, 60);

/** An error page names the app and the request; the header says the same id. */
function assertPage({ status, headers, body }, wanted, app) {
  const text = String(body);
  assert.equal(status, wanted, text);
  assert.match(headers['content-type'], /^text\/plain/);
  assert.match(text, new RegExp(`^${wanted} `));
  if (app) assert.match(text, new RegExp(`app: ${app}$`, 'm'));
  const id = /^request: ([0-9a-f]{16,})$/m.exec(text)[1];
  assert.equal(headers['x-request-id'], id);
}

check('timeouts.request is for silence: what streams may last longer', async () => {
  const whole = Array.from({ length: 6 }, (_, i) => `part ${i}\n`).join('');
  for (const app of ['one', 'two']) {
    const session = await p.h2(`${app}.localhost`);
    const [one, two, silent] = await Promise.all([
      p.h1(`${app}.localhost`, '/drip?n=6&ms=400'), fetch2(session, '/drip?n=6&ms=400'), fetch2(session, '/drip?n=6&ms=50&silent'),
    ]);
    assert.equal(String(one.body), whole);
    assert.equal(String(two.body), whole);
    assert.equal(two.rstCode, 0);
    assert.equal(String(silent.body), whole);
    assert.equal(silent.rstCode, 2); // INTERNAL_ERROR: cut
    await close2(session);
  }
});

check('unknown hosts get a 404 page', async () => {
  const before = await p.metric('portico_requests_unrouted_total');
  for (const host of ['nowhere.localhost', 'x.one.localhost', '127.0.0.1', '[::1]', 'localhost']) {
    assertPage(await p.h1('127.0.0.1', '/', { kind: 'http', headers: { host } }), 404);
  }
  const session = await p.h2('nowhere.localhost', { kind: 'http' });
  assertPage(await fetch2(session, '/'), 404);
  await close2(session);
  assert.equal(await p.metric('portico_requests_unrouted_total') - before, 6);
});

check('an unknown host over TLS is told so or sent away, not served', async () => {
  const answer = await p.h1('nowhere.localhost', '/', { rejectUnauthorized: false });
  assert.ok([404, 421].includes(answer.status), String(answer.status));
});

const WRONG = [
  ['one', '/close-before', 502, 'worker-closed'], ['one', '/rubbish', 502, 'worker-malformed'], ['one', '/two-lengths', 502, 'worker-malformed'],
  ['one', '/huge-fields', 502, 'worker-malformed'], ['one', '/never', 504, 'worker-timeout'], ['two', '/reset', 502, 'worker-reset'],
  ['two', '/never', 504, 'worker-timeout'], ['dies', '/', 503, 'no-instance'], ['never', '/', 503, 'no-instance'],
  ['missing', '/', 503, 'no-instance'], ['nobody', '/', [502, 503]], ['rubbish', '/', [502, 503]],
];
for (const [app, where, wanted, reason] of WRONG) {
  check(`${app}${where}: ${wanted}, by HTTP/2 and HTTP/1.1`, async () => {
    const host = `${app}.localhost`;
    const faults = () => p.metric('portico_faults_total', { app, ...(reason && { reason }) });
    const before = await faults();
    const session = await p.h2(host);
    for (const answer of [await fetch2(session, where), await p.h1(host, where)]) {
      const status = [wanted].flat().includes(answer.status) ? answer.status : [wanted].flat()[0];
      assertPage(answer, status, app);
    }
    assert.equal(await faults() - before, 2);
    await close2(session);
  });
}

check('HEAD gets an error without content', async () => {
  const { status, body, headers } = await p.h1('dies.localhost', '/', { method: 'HEAD' });
  assert.equal(status, 503);
  assert.equal(body.length, 0);
  assert.ok(Number(headers['content-length']) > 0);
  for (const rest of ['Bad Field\r\n\r\n', `X: ${'x'.repeat(100000)}\r\n\r\n`]) { // one that cannot be read, too
    for (const port of [p.ports.http, p.ports.admin]) {
      assert.match(await raw(port, `HEAD / HTTP/1.1\r\nHost: localhost\r\n${rest}`), /^HTTP\/1\.1 4\d\d [^]*\r\n\r\n$/);
    }
  }
});

check('an answer that is cut is seen to be cut', async () => {
  const session = await p.h2('one.localhost');
  for (const where of ['/close-mid', '/close-mid-chunked', '/bad-chunk']) {
    const two = await fetch2(session, where);
    assert.equal(two.status, 200, where);
    assert.notEqual(two.rstCode, 0, `${where}: HTTP/2 client was told a clean end`);
    const one = await p.h1('one.localhost', where).then((answer) => answer, (error) => error);
    assert.ok(one instanceof Error, `${where}: HTTP/1.1 client was told a clean end`);
  }
  assert.equal((await fetch2(session, '/whoami')).status, 200); // the session lives
  await close2(session);
  const other = await p.h2('two.localhost');
  const two = await fetch2(other, '/reset-mid');
  assert.equal(two.status, 200);
  assert.notEqual(two.rstCode, 0);
  await close2(other);
  await assert.rejects(p.h1('two.localhost', '/reset-mid'));
});

const MALFORMED = [
  ['no version', 'GET /\r\n\r\n', [400, null]], // what is not HTTP/1 at all need not be told so in HTTP
  ['rubbish', 'hello there\r\n\r\n', [400, null]],
  ['a version to come', 'GET / HTTP/3.0\r\nHost: one.localhost\r\n\r\n', 505],
  ['no Host', 'GET / HTTP/1.1\r\n\r\n', 400, 'Host is missing'],
  ['two Hosts', 'GET / HTTP/1.1\r\nHost: one.localhost\r\nHost: two.localhost\r\n\r\n', 400, 'Host is missing, there twice'],
  ['two lengths', 'POST / HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab', 400, 'Content-Length is not one number'],
  ['a list of lengths', 'POST / HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: 1, 2\r\n\r\nab', 400, 'Content-Length is not one number'],
  ['a negative length', 'POST / HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: -1\r\n\r\n', 400, 'Content-Length is not'],
  ['a length with a sign', 'POST / HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: +1\r\n\r\na', 400, 'Content-Length is not'],
  ['a length past 64 bits', 'POST / HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: 99999999999999999999\r\n\r\n', 400, 'Content-Length is not'],
  ['length and chunked', 'POST / HTTP/1.1\r\nHost: one.localhost\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400, 'beside Content-Length'],
  ['chunked not last', 'POST / HTTP/1.1\r\nHost: one.localhost\r\nTransfer-Encoding: chunked, gzip\r\n\r\n', 400, 'not chunked alone'],
  ['chunked twice', 'POST / HTTP/1.1\r\nHost: one.localhost\r\nTransfer-Encoding: chunked, chunked\r\n\r\n', 400, 'not chunked alone'],
  ['another coding', 'POST / HTTP/1.1\r\nHost: one.localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n', [400, 501]],
  ['chunked in HTTP/1.0', 'POST / HTTP/1.0\r\nHost: one.localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400, 'in HTTP/1.0'],
  ['a space before the colon', 'GET / HTTP/1.1\r\nHost : one.localhost\r\n\r\n', 400, 'no colon right behind it'],
  ['a folded field', 'GET / HTTP/1.1\r\nHost: one.localhost\r\nX-A: b\r\n c\r\n\r\n', 400, 'no token'],
  ['a field without a name', 'GET / HTTP/1.1\r\nHost: one.localhost\r\n: b\r\n\r\n', 400, 'no token'],
  ['NUL in a value', 'GET / HTTP/1.1\r\nHost: one.localhost\r\nX-A: b\0c\r\n\r\n', 400, 'control character'],
  ['CR alone in a value', 'GET / HTTP/1.1\r\nHost: one.localhost\r\nX-A: b\rc\r\n\r\n', 400, 'control character'],
  ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: one.localhost\r\n\r\n', 400, 'first line'],
  ['a host that is none', 'GET / HTTP/1.1\r\nHost: one.localhost/../x\r\n\r\n', 400, 'not a host'],
  ['a long target', `GET /${'a'.repeat(40_000)} HTTP/1.1\r\nHost: one.localhost\r\n\r\n`, 414, 'target too long'],
  ['a target too long for any buffer', `GET /${'a'.repeat(200_000)} HTTP/1.1\r\nHost: one.localhost\r\n\r\n`, 414],
  ['a field too long', `GET / HTTP/1.1\r\nHost: one.localhost\r\nX-A: ${'a'.repeat(300_000)}\r\n\r\n`, 431, 'field section too large'],
  ['fields too many', `GET / HTTP/1.1\r\nHost: one.localhost\r\n${'X-A: b\r\n'.repeat(5000)}\r\n`, 431],
];
for (const [what, octets, wanted, why = ''] of MALFORMED) {
  check(`malformed: ${what}`, async () => {
    const answer = await p.raw(`${octets}GET /whoami HTTP/1.1\r\nHost: one.localhost\r\n\r\n`);
    const said = answer.match(/HTTP\/1\.1 (\d+)/g) ?? [];
    assert.doesNotMatch(answer, /still open/);
    if (!said.length && [wanted].flat().includes(null)) return;
    assert.equal(said.length, 1, `one answer and then the end, not ${JSON.stringify(answer.slice(0, 300))}`);
    assert.ok([wanted].flat().includes(Number(said[0].slice(9))), said[0]);
    assert.ok(answer.includes(why), answer);
  });
}

check('the log tells of who was refused what, and why', async () => {
  const from = p.lines.length;
  await p.raw('GET / HTTP/1.1\r\n\r\n');
  await p.line(/client\.refused count=\d+ last=http1\.message why="Host is missing, [^"]+" peer=127\.0\.0\.1$/, { from });
  const session = await p.h2('one.localhost');
  assert.equal((await fetch2(session, '/', { headers: { 'content-length': '1' }, body: Buffer.from('two') })).rstCode, 1);
  await p.line(/client\.refused count=\d+ last=message\.length why="The content is not as long as content-length says\." peer=127\.0\.0\.1$/, { from });
  await close2(session);
  await raw(p.ports.https, 'GET / HTTP/1.1\r\n\r\n');
  await p.line(/client\.refused count=\d+ last=tls\.handshake why="http request" peer=127\.0\.0\.1$/, { from });
});

check('a malformed chunk ends the connection', async () => {
  const answer = await p.raw('POST /echo HTTP/1.1\r\nHost: one.localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.1 400 [^]*a chunk's line is not in its form/);
  assert.doesNotMatch(answer, /still open/);
});

check('content larger than the app allows: 413', async () => {
  for (const app of ['one', 'two']) {
    const host = `${app}.localhost`;
    const session = await p.h2(host);
    assertPage(await fetch2(session, '/echo', { body: Buffer.alloc(5000), headers: { 'content-length': 5000 } }), 413, app);
    assert.equal((await fetch2(session, '/echo', { body: Buffer.alloc(5000) })).status, 413); // no length said before
    assert.equal((await fetch2(session, '/echo', { body: Buffer.alloc(4096) })).status, 200);
    assert.equal(await p.metric('portico_faults_total', { app, reason: 'content-too-large' }), 2);
    await close2(session);
    const said = await p.raw(`POST /echo HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nContent-Length: 5000\r\n\r\n${'a'.repeat(5000)}`);
    assert.match(said, /^HTTP\/1\.1 413 /);
    const chunk = `3e8\r\n${'a'.repeat(1000)}\r\n`;
    const unsaid = await p.raw(`POST /echo HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(5)}0\r\n\r\n`);
    assert.match(unsaid, /^HTTP\/1\.1 413 /);
  }
});

check('HTTP/2: fields too large', async () => {
  const options = { maxSendHeaderBlockLength: 1 << 20 }; // else it is Node's client that refuses
  const fields = (n) => ({ headers: Object.fromEntries(Array.from({ length: n }, (_, i) => [`x-${i}`, 'a'.repeat(4000)])) });
  const large = () => p.metric('portico_http2_refusals_total', { reason: 'fields.large' });
  const before = await large(), session = await p.h2('two.localhost', options);
  assert.equal((await fetch2(session, '/whoami', fields(7))).status, 200);
  assert.equal((await fetch2(session, '/whoami', fields(17))).status, 431); // 64 KiB are allowed
  assert.equal(await large() - before, 1);
  assert.equal((await fetch2(session, '/whoami')).status, 200);
  let goaway;
  session.on('goaway', (code) => {
    goaway = code;
  });
  assert.equal((await fetch2(session, '/whoami', fields(60))).status, undefined);
  await until('the connection has ended', () => session.destroyed);
  assert.equal(goaway, http2.constants.NGHTTP2_ENHANCE_YOUR_CALM);
});

check('octets that are not HTTP/2 after its preface end that connection only', async () => {
  const other = await p.h2('one.localhost', { kind: 'http' });
  const answer = await p.raw('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nthis is not a frame, not at all, not even nearly one');
  assert.doesNotMatch(answer, /still open/);
  assert.equal((await fetch2(other, '/whoami')).status, 200);
  await close2(other);
});

check('a rapid reset ends that connection and nobody else', async () => {
  const calm = await p.h2('one.localhost');
  const session = http2.connect(`http://${p.authority('one.localhost', 'http')}`, { lookup: (h, o, cb) => (o.all ? cb(null, [{ address: '127.0.0.1', family: 4 }]) : cb(null, '127.0.0.1', 4)) });
  session.on('error', () => {});
  let ended = false;
  session.on('close', () => {
    ended = true;
  });
  for (let round = 0; round < 400 && !ended; round++) {
    for (let i = 0; i < 50 && !session.destroyed && !session.closed; i++) {
      const stream = session.request({ ':path': '/slow?ms=50' });
      stream.on('error', () => {});
      stream.close(http2.constants.NGHTTP2_CANCEL);
    }
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal((round % 20 ? { status: 200 } : await fetch2(calm, '/whoami')).status, 200);
  }
  await until('it has ended', () => ended);
  assert.equal((await fetch2(calm, '/whoami')).status, 200);
  await close2(calm);
});

check('connections that say nothing, and half a request', async () => {
  const sockets = Array.from({ length: 50 }, () => net.connect(p.ports.http, '127.0.0.1'));
  sockets.forEach((socket, i) => {
    socket.on('error', () => {});
    if (i % 2) socket.write('GET / HTTP/1.1\r\nHost: one.loc');
  });
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
  sockets.forEach((socket) => socket.destroy());
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
});

check('the console tells what is wrong with the commands', async () => {
  await p.line(/^\[dies\/[01]\] cannot find the thing that it needs/);
  await p.line(/missing.*(not found|no such)/i);
  const states = await until('they are shown', async () => {
    const all = await p.states();
    return all.dies.every(({ state }) => ['BACKOFF', 'STARTING', 'EXITED'].includes(state)) && all;
  });
  assert.equal(states.never[0].state, 'STARTING');
  assert.ok(states.dies.length === 2);
});

check('after all that, everything else still works', async () => {
  for (const app of ['one', 'two']) {
    const session = await p.h2(`${app}.localhost`);
    for (const { status } of await Promise.all(Array.from({ length: 50 }, () => fetch2(session, '/whoami')))) assert.equal(status, 200);
    await close2(session);
  }
});

check('ends clean', () => p.stop());
