// SPDX-License-Identifier: Apache-2.0
// Push by workers and clients that break the rules, or the purpose: the document always arrives,
// every promise is counted, memory is bounded, and others notice nothing.
import assert from 'node:assert/strict';
import http from 'node:http';
import { Portico, check, close2, fetch2, residentKib, until } from './lib.mjs';
import { NAVIGATION, SETTING, Visitor, pushWorker, text } from './push-peers.mjs';
import * as h2 from './workers/frames.mjs';

const { TYPE } = h2;
const CANCEL = 8, REFUSED = 7;
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let p, script, worker, narrow, bystander;
const others = new Map(); // path -> what else is answered

/** What the worker does with the next pages; other paths are answered with themselves. */
const play = (next) => {
  script = next;
};

async function on(conn, request) {
  if (request.path.startsWith('/page')) await script(conn, request);
  else if (others.has(request.path)) others.get(request.path)(conn, request);
  else conn.answer(request.id, `own ${request.path}`);
}

check('starts', async () => {
  worker = await pushWorker((conn, request) => {
    on(conn, request).catch((error) => console.error(error));
  }, { onFrame: (conn, f) => worker?.onFrame?.(conn, f), first: h2.settings({ [SETTING.CONNECT]: 1, 3: 1000 }) });
  narrow = await pushWorker((conn, request) => {
    on(conn, request).catch((error) => console.error(error));
  }, { first: h2.settings({ 3: 1 }) });
  bystander = http.createServer((request, response) => response.end('other'));
  await new Promise((resolve) => bystander.listen(0, '127.0.0.1', resolve));
  const upstreams = [`tcp://127.0.0.1:${worker.port}`];
  const app = (host, more = {}) => ({ upstreams, hosts: [`${host}.localhost`], http20ProxyFlag: 1, ...more });
  p = await Portico.start({
    loops: 1,
    apps: {
      auto: app('auto'), always: app('always', { push: 'always' }), hints: app('hints', { push: 'hints' }),
      one: app('one', { limits: { concurrency: 1, queue: 10 } }),
      crowd: app('crowd', { upstreams: [`tcp://127.0.0.1:${narrow.port}`] }),
      quick: app('quick', { timeouts: { request: '1s' } }),
      other: { upstreams: [`tcp://127.0.0.1:${bystander.address().port}`], hosts: ['other.localhost'] },
    },
  });
  await until('it is served', async () => (await p.h1('other.localhost', '/', { kind: 'http' })).status === 200);
  await until('edge is known', () => p.role('edge'));
}, 60);

const visit = (app, options) => Visitor.open(p.ports.http, p.authority(`${app}.localhost`, 'http'), options);
const decisions = (app, reason) => p.metric('portico_push_decisions_total', reason ? { app, reason } : { app }).then((n) => n ?? 0);
const fate = (app, name) => p.metric('portico_push_fates_total', { app, fate: name }).then((n) => n ?? 0);

// ---- a promise whose answer comes later ----

check('a promise waits for its head, whatever else leaves meanwhile', async () => {
  const v = await visit('auto');
  play(async (conn, { id }) => {
    const promised = conn.promise(id, '/late-head');
    await v.ping();
    conn.answer(promised, 'pushed');
    await v.ping();
    conn.answer(id, 'page');
  });
  const page = await v.get('/page');
  assert.equal(text(page), 'page');
  assert.deepEqual(v.promises.map(({ path }) => path), ['/late-head']);
  assert.ok(await v.until(() => v.stream(2).ended));
  assert.equal(text(v.stream(2)), 'pushed');
  v.end();
});

for (const [name, then] of [
  ['is reset', (conn, promised) => conn.send(h2.reset(promised, 2))],
  ['is reset within its content', (conn, promised) => {
    conn.answer(promised, 'half', { open: true, length: false });
    conn.send(h2.reset(promised, 2));
  }],
  ['is malformed', (conn, promised) => conn.send(h2.head(promised, { ':status': '200', 'content-length': '2' }), h2.data(promised, 'much', true))],
]) {
  check(`a promise that waits and ${name} is counted, and the page comes`, async () => {
    const v = await visit('auto'), before = await decisions('auto');
    play(async (conn, { id }) => {
      then(conn, conn.promise(id, '/gone'));
      await v.ping();
      conn.answer(id, 'page');
    });
    assert.equal(text(await v.get('/page')), 'page');
    assert.deepEqual(v.promises, []);
    assert.equal(await decisions('auto') - before, 1);
    v.end();
  });
}
// ---- who resets is who is counted ----

const navigator = (name) => ({ 'user-agent': `abuse/${name}` });

check('a worker that resets what it has promised does not speak for the client', async () => {
  const v = await visit('auto');
  for (let i = 0; i < 4; i++) {
    play(async (conn, { id }) => {
      const promised = conn.promise(id, `/reset-${i}`);
      conn.send(h2.head(promised, { ':status': 200, 'content-length': 1000 }), h2.data(promised, 'begun'));
      if (!await v.until(() => v.promises.length > i)) throw new Error(`push ${i} did not come`);
      conn.send(h2.reset(promised, i % 2 ? CANCEL : REFUSED));
      conn.answer(id, 'page');
    });
    assert.equal(text(await v.get('/page', navigator('worker-resets'))), 'page');
  }
  assert.equal(v.promises.length, 4);
  assert.equal(await decisions('auto', 'refused-here'), 0);
  v.end();
});

for (const [name, leave] of [
  ['whose connection ends', (v) => v.end()],
  ['that says GOAWAY', (v) => v.raw.send(h2.goaway(0)).then(() => v.until(() => v.raw.closed)).then(() => v.end())],
]) {
  check(`a client ${name} within pushes has refused nothing`, async () => {
    const before = await decisions('auto', 'refused-by-kind');
    for (let i = 0; i < 5; i++) {
      const v = await visit('auto', { window: 10 });
      play((conn, { id }) => {
        for (let k = 0; k < 3; k++) conn.answer(conn.promise(id, `/cut-${k}`), 'x'.repeat(1000));
        conn.answer(id, 'page');
      });
      v.ask('/page', navigator(name));
      assert.ok(await v.until(() => v.promises.length === 3), `only ${v.promises.length} were pushed to client ${i}`);
      await leave(v);
      await until('they are gone', async () => (await p.metric('portico_requests_open', { app: 'auto' })) === 0);
    }
    assert.equal(await decisions('auto', 'refused-by-kind'), before);
  });
}

check('a client that resets what it is pushed has refused it', async () => {
  const v = await visit('auto', { window: 10 });
  v.onPromise = (id) => v.reset(id);
  for (let i = 0; i < 3; i++) {
    play((conn, { id }) => {
      conn.answer(conn.promise(id, `/unwanted-${i}`), 'x'.repeat(1000));
      conn.answer(id, 'page');
    });
    assert.equal(text(await v.get('/page', navigator('resets'))), 'page');
    await v.ping();
  }
  assert.equal(v.promises.length, 2);
  v.end();
});

// ---- tunnels ----

check('a tunnel promises nothing, by PUSH_PROMISE or Link', async () => {
  const whole = (conn, id) => conn.answer(conn.promise(id, '/in-tunnel'), 'x');
  const open = (conn, id) => conn.promise(id, '/in-tunnel');
  const hint = (conn, id) => conn.send(h2.head(id, { ':status': 103, link: '</in-tunnel>; rel=preload' }));
  for (const [before, after] of [[whole, whole], [open, open], [hint, open]]) {
    const v = await visit('auto');
    play((conn, { id }) => {
      before(conn, id);
      conn.send(h2.head(id, { ':status': 200, 'x-filler': 'x'.repeat(3000) }));
      after(conn, id);
      conn.send(h2.data(id, 'said', true));
    });
    const s = v.ask('/page', { method: 'CONNECT', ':protocol': 'websocket', 'sec-websocket-version': 13, end: false });
    assert.ok(await v.until(() => s.octets === 4 || v.over(s)));
    assert.deepEqual([s.status, text(s), v.promises.length], [200, 'said', 0]);
    v.end();
    await until('it is gone', async () => (await p.metric('portico_requests_open', { app: 'auto' })) === 0);
  }
});

// ---- what is parked stands in nobody's way ----

const browser = (app, options) => visit(app, { push: false, ...options });
const big = 'b'.repeat(60000);

check('parked: a place at the instance is not kept for who may never come', async () => {
  const v = await browser('one');
  play((conn, { id }) => {
    for (let i = 0; i < 3; i++) conn.answer(conn.promise(id, `/parked-${i}`), big, { open: true, length: false });
    conn.answer(id, 'page');
  });
  const before = await fate('one', 'parked'), expired = await fate('one', 'expired');
  assert.equal(text(await v.get('/page', NAVIGATION)), 'page');
  assert.equal(await fate('one', 'parked') - before, 3);
  const other = await visit('one');
  assert.equal(text(await other.get('/plain')), 'own /plain');
  assert.equal(await fate('one', 'expired'), expired, 'they are kept still');
  // Who comes has it, and the place counts again.
  const s = v.ask('/parked-0');
  await v.until(() => s.octets === big.length);
  const waits = other.ask('/waits');
  await other.ping();
  assert.equal(waits.status, undefined, 'one more than the limit was let in');
  await v.reset(s.id);
  assert.ok(await other.until(() => waits.ended));
  v.end();
  other.end();
  await until('nothing is left', async () => (await p.metric('portico_requests_open', { app: 'one' })) === 0);
});

check('parked: who waits for a head that never comes is asked of the worker in time', async () => {
  const v = await browser('quick');
  play((conn, { id }) => {
    conn.promise(id, '/never');
    conn.answer(id, 'page');
  });
  await v.get('/page', NAVIGATION);
  const s = await v.get('/never');
  assert.deepEqual([s.status, text(s)], [200, 'own /never']);
  assert.equal(await p.metric('portico_faults_total', { app: 'quick', reason: 'worker-timeout' }) ?? 0, 0);
  v.end();
});

// ---- hints without end ----

check('hints of one response have an end, and are counted', async () => {
  const v = await browser('hints'), pid = p.role('edge'), memory = residentKib(pid), before = await decisions('hints');
  const N = 2000;
  play(async (conn, { id }) => {
    for (let i = 0; i < N; i++) {
      conn.promise(id, `/hint-${i}`, { filler: 'x'.repeat(1000) });
      if (i % 100 === 99) await v.ping();
    }
    conn.answer(id, 'page');
  });
  const page = await v.get('/page', NAVIGATION);
  assert.equal(text(page), 'page');
  const told = page.informational.flat().filter(([name]) => name === 'link').length;
  assert.ok(told > 0 && told <= 64, `${told} hints`);
  assert.ok(page.informational.length <= 64);
  // Those beyond what a worker may have open at once are refused unseen.
  assert.ok(await decisions('hints') - before > 100);
  assert.ok(await decisions('hints', 'policy-hints') > 0);
  assert.ok(residentKib(pid) - memory < 16 << 10, `edge grew by ${residentKib(pid) - memory} KiB`);
  v.end();
});

// ---- other origins ----

for (const [name, more] of [
  ['another host', { authority: 'other.localhost' }], ['another app', { authority: () => p.authority('other.localhost', 'http') }],
  ['another port', { authority: 'always.localhost:1' }], ['no port', { authority: 'always.localhost' }],
  ['an odd authority', { authority: 'always.localhost:99999999' }], ['user information', { authority: () => `a@${p.authority('always.localhost', 'http')}` }],
  ['a list of authorities', { authority: () => `${p.authority('always.localhost', 'http')},x` }],
  ['another scheme', { scheme: 'ftp' }],
  ['POST', { method: 'POST' }], ['CONNECT', { method: 'CONNECT' }], ['DELETE', { method: 'DELETE' }], ['an invented method', { method: 'X' }],
  ['content', { 'content-length': 5 }], ['a malformed length', { 'content-length': 'x' }], ['a name in capitals', { 'X-Upper': 'x' }],
  ['a field of one connection', { connection: 'close' }], ['a large field section', { filler: 'x'.repeat(70000) }],
]) {
  check(`a promise with ${name} is refused, and the page comes`, async () => {
    const v = await visit('always');
    const said = Object.fromEntries(Object.entries(more).map(([key, value]) => [key, typeof value === 'function' ? value() : value]));
    play((conn, { id }) => {
      conn.answer(conn.promise(id, '/refused', said), 'poison');
      conn.answer(conn.promise(id, '/good'), 'good');
      conn.answer(id, 'page');
    });
    assert.equal(text(await v.get('/page')), 'page');
    assert.ok(await v.until(() => v.promises.length === 1 && v.over(v.stream(v.promises[0].id))));
    assert.deepEqual(v.promises.map(({ path }) => path), ['/good']);
    assert.equal(text(v.stream(v.promises[0].id)), 'good');
    v.end();
  });
}

check('over TLS, a name of the certificate at another port is another origin', async () => {
  const session = await p.h2('always.localhost');
  const pushed = [];
  session.onPush = (stream, head) => {
    stream.resume().on('error', () => {});
    pushed.push(head[':authority']);
  };
  play((conn, { id }) => {
    for (const authority of ['always.localhost:1', 'always.localhost', p.authority('always.localhost')]) conn.answer(conn.promise(id, `/tls-${authority}`, { authority, scheme: 'https' }), 'x');
    conn.answer(id, 'page');
  });
  assert.equal((await fetch2(session, '/page')).status, 200);
  await until('its own has come', () => pushed.length);
  assert.deepEqual(pushed, [p.authority('always.localhost')]);
  await close2(session);
});

// ---- memory ----

check('what waits for many clients is bounded, whatever its worker makes of it', async () => {
  const pid = p.role('edge'), CONNS = 15, EACH = 32, memory = residentKib(pid);
  const visitors = [], flooded = [], pinned = [], before = await fate('crowd', 'expired');
  play((conn, { id }) => {
    // All promises first: while nothing has come, nothing seems to be much.
    for (let i = 0; i < EACH; i++) flooded.push([conn, conn.promise(id, `/flood-${i}`)]);
    conn.answer(id, 'page');
  });
  others.set('/pin', (conn, { id }) => pinned.push([conn, id]));
  const pin = await visit('crowd');
  for (let i = 0; i < CONNS; i++) {
    for (let k = 0; k < 3; k++) {
      const v = await browser('crowd');
      visitors.push(v);
      assert.equal(text(await v.get('/page', NAVIGATION)), 'page');
    }
    const pins = pinned.length;
    pin.ask('/pin'); // a connection that takes no other request: the next one comes on a new one
    await until('it is pinned', () => pinned.length > pins);
  }
  assert.equal(new Set(flooded.map(([conn]) => conn)).size, CONNS);
  for (const [conn, promised] of flooded) conn.answer(promised, big, { open: true, length: false });
  const most = 64 << 20, all = flooded.length * big.length;
  assert.ok(all > most);
  await until('those that are too much are dropped', async () => await fate('crowd', 'expired') - before > (all - most) / big.length, 4);
  assert.equal((await p.h1('other.localhost', '/', { kind: 'http' })).status, 200);
  const grown = residentKib(pid) - memory;
  for (const v of [...visitors, pin]) v.end();
  await until('all are gone', async () => await fate('crowd', 'expired') - before === flooded.length);
  assert.ok(grown < (most >> 10) + (48 << 10), `edge grew by ${grown} KiB`);
}, 60);

check('ends clean', async () => {
  await p.stop();
  for (const each of [worker, narrow]) {
    each.server.close();
    each.resetAll();
  }
  bystander.close();
  bystander.closeAllConnections();
}, 30);
