// SPDX-License-Identifier: Apache-2.0
// Push by workers and clients that break the rules, or the purpose: the document always arrives,
// every promise is counted, memory is bounded, and others notice nothing.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import { Portico, check, close2, fetch2, residentKib, until, worker as program } from './lib.mjs';
import { NAVIGATION, SETTING, Visitor, pushWorker, text } from './push-peers.mjs';
import * as h2 from './workers/frames.mjs';

const { TYPE } = h2;
const CANCEL = 8, REFUSED = 7;
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let p, script, chaos, worker, bystander;
const others = new Map(); // path -> what else is answered

/** What the worker does with the next pages; other paths are answered with themselves. */
const play = (next) => {
  script = next;
};

async function on(conn, request) {
  if (chaos) await chaos(conn, request);
  else if (request.path.startsWith('/page')) await script(conn, request);
  else if (others.has(request.path)) others.get(request.path)(conn, request);
  else conn.answer(request.id, `own ${request.path}`);
}

check('starts', async () => {
  worker = await pushWorker((conn, request) => {
    on(conn, request).catch((error) => console.error(error));
  }, { onFrame: (conn, f) => worker?.onFrame?.(conn, f), first: h2.settings({ [SETTING.CONNECT]: 1, 3: 1000 }) });
  bystander = http.createServer((request, response) => response.end('other'));
  await new Promise((resolve) => bystander.listen(0, '127.0.0.1', resolve));
  const upstreams = [`tcp://127.0.0.1:${worker.port}`];
  const app = (host, more = {}) => ({ upstreams, hosts: [`${host}.localhost`], http20ProxyFlag: 1, ...more });
  p = await Portico.start({
    loops: 1,
    apps: {
      auto: app('auto'), always: app('always', { push: 'always' }), hints: app('hints', { push: 'hints' }),
      one: app('one', { limits: { concurrency: 1, queue: 10 } }),
      quick: app('quick', { timeouts: { request: '2s' } }),
      node: program('h2c', 'node.localhost', { push: 'always' }),
      other: { upstreams: [`tcp://127.0.0.1:${bystander.address().port}`], hosts: ['other.localhost'] },
    },
  });
  await until('it is served', async () => (await p.h1('other.localhost', '/', { kind: 'http' })).status === 200);
  await until('edge is known', () => p.role('edge'));
}, 60);

const visit = (app, options) => Visitor.open(p.ports.http, p.authority(`${app}.localhost`, 'http'), options);
const browser = (app, options) => visit(app, { push: false, ...options });
const decisions = (app, reason) => p.metric('portico_push_decisions_total', reason ? { app, reason } : { app });
const fate = (app, name) => p.metric('portico_push_fates_total', { app, fate: name });

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
  // Nor was it a push that the client did not need, when it asks itself.
  const before = await fate('auto', 'repeated');
  for (let i = 0; i < 4; i++) assert.equal(text(await v.get(`/reset-${i}`)), `own /reset-${i}`);
  assert.equal(await fate('auto', 'repeated'), before);
  v.end();
});

check('behind GOAWAY nothing is promised, and that is why', async () => {
  const v = await visit('auto'), before = [await decisions('auto', 'going-away'), await decisions('auto', 'parent-closed')];
  play(async (conn, { id }) => {
    await v.raw.send(h2.goaway(0));
    await v.ping();
    conn.answer(conn.promise(id, '/behind'), 'pushed');
    conn.answer(id, 'page');
  });
  assert.equal(text(await v.get('/page')), 'page');
  assert.deepEqual(v.promises, []);
  assert.deepEqual([await decisions('auto', 'going-away'), await decisions('auto', 'parent-closed')], [before[0] + 1, before[1]]);
  v.end();
});

check('where there is no place for a request of our own nothing is promised that could not be asked for', async () => {
  const link = '</known.css>; rel=preload; as=style';
  const counts = () => Promise.all([decisions('one', 'limit'), decisions('one', 'ok'), fate('one', 'failed')]);
  for (const [app, promised] of [['one', []], ['auto', ['/known.css']]]) { // of which one has a place, and auto any number
    const first = await visit(app), second = await visit(app);
    play((conn, { id }) => conn.answer(id, 'page', { link }));
    for (const path of ['/page', '/known.css']) assert.equal((await first.get(path)).status, 200);
    const before = await counts();
    assert.equal(text(await second.get('/page')), 'page');
    assert.deepEqual(second.promises.map(({ path }) => path), promised);
    if (app === 'one') assert.deepEqual(await counts(), [before[0] + 1, before[1], before[2]]);
    first.end();
    second.end();
  }
});

check('a hint never leads to another host than was promised', async () => {
  const v = await browser('hints');
  play(async (conn, { id }) => {
    for (const path of ['//css/app.css', '/a>; rel=preload,<https://evil.example/x.css', '/well.css']) conn.promise(id, path);
    await until('all that may be is hinted', () => v.stream(1).informational.flat().filter(([name]) => name === 'link').length === 2);
    conn.answer(id, 'page');
  });
  const page = await v.get('/page', NAVIGATION);
  const told = page.informational.flat().filter(([name]) => name === 'link').map(([, value]) => value);
  assert.deepEqual(told, [`<http://${v.authority}//css/app.css>; rel=preload; as=style`, '</well.css>; rel=preload; as=style']);
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

/** By whatever code: a client may call a promise wrong, or say no more than that it failed. */
for (const code of [0, 1, 2, REFUSED, CANCEL, 0xffffffff]) {
  check(`a client that resets what it is pushed has refused it: code ${code}`, async () => {
    const v = await visit('auto', { window: 10 });
    v.onPromise = (id) => v.reset(id, code);
    for (let i = 0; i < 3; i++) {
      play((conn, { id }) => {
        conn.answer(conn.promise(id, `/unwanted-${i}`), 'x'.repeat(1000));
        conn.answer(id, 'page');
      });
      assert.equal(text(await v.get('/page', navigator(`resets-${code}`))), 'page');
      await v.ping();
    }
    assert.equal(v.promises.length, 2);
    v.end();
  });
}

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
  assert.equal(await p.metric('portico_faults_total', { app: 'quick', reason: 'worker-timeout' }), 0);
  v.end();
});

check('parked: of two who wait for one, each has its answer; so has one when the other leaves', async () => {
  for (const leaves of [false, true]) {
    const v = await browser('auto');
    let answer;
    play((conn, { id }) => {
      const promised = conn.promise(id, '/awaited');
      answer = () => conn.answer(promised, 'promised', { 'x-sum': 1 });
      conn.answer(id, 'page');
    });
    assert.equal(text(await v.get('/page', NAVIGATION)), 'page');
    const first = v.ask('/awaited'), second = v.ask('/awaited');
    assert.ok(await v.until(() => second.ended));
    assert.equal(text(second), 'own /awaited');
    if (leaves) await v.reset(first.id);
    const third = leaves ? v.ask('/awaited') : first;
    await v.ping();
    answer();
    assert.ok(await v.until(() => third.ended));
    assert.equal(text(third), 'promised');
    v.end();
  }
});

check('parked: it is there after the routes have changed', async () => {
  const v = await browser('auto'), before = await fate('auto', 'collected');
  play((conn, { id }) => {
    conn.answer(conn.promise(id, '/over-reload'), 'promised');
    conn.answer(id, 'page');
  });
  assert.equal(text(await v.get('/page', NAVIGATION)), 'page');
  const manifest = JSON.parse(fs.readFileSync(p.manifest, 'utf8')), from = p.lines.length;
  manifest.apps.other.timeouts = { idle: '100s' };
  fs.writeFileSync(`${p.manifest}.new`, JSON.stringify(manifest));
  fs.renameSync(`${p.manifest}.new`, p.manifest);
  p.kill('SIGHUP');
  const [, committed] = /revision=(\d+)/.exec(await p.line(/control\.reload apps=/, { from }));
  await until('its routes are in force', async () => JSON.parse((await p.admin('/apps')).body).revisionInForce > Number(committed));
  assert.equal(text(await v.get('/over-reload')), 'promised');
  assert.equal(await fate('auto', 'collected') - before, 1);
  v.end();
});

check('parked: those who never come do not keep others from being promised anything', async () => {
  const crowd = [];
  play((conn, { id }) => {
    for (let i = 0; i < 30; i++) conn.answer(conn.promise(id, `/never-collected-${i}`), big, { open: true, length: false });
    conn.answer(id, 'page');
  });
  for (let i = 0; i < 5; i++) {
    crowd.push(await browser('always'));
    assert.equal(text(await crowd[i].get('/page', NAVIGATION)), 'page');
  }
  const v = await visit('always');
  play((conn, { id }) => {
    conn.answer(conn.promise(id, '/for-others'), 'pushed');
    conn.answer(id, 'page');
  });
  assert.equal(text(await v.get('/page')), 'page');
  assert.deepEqual(v.promises.map(({ path }) => path), ['/for-others']);
  // The last ones are there still.
  const s = crowd[4].ask('/never-collected-29');
  assert.ok(await crowd[4].until(() => s.octets === big.length));
  for (const each of [...crowd, v]) each.end();
});

check('parked: nor do those who come, and go before there is an answer', async () => {
  const crowd = [];
  play((conn, { id }) => {
    for (let i = 0; i < 30; i++) conn.promise(id, `/never-answered-${i}`);
    conn.answer(id, 'page');
  });
  for (let i = 0; i < 5; i++) {
    const v = await browser('auto');
    assert.equal(text(await v.get('/page', NAVIGATION)), 'page');
    const asked = Array.from({ length: 30 }, (_, n) => v.ask(`/never-answered-${n}`));
    for (const { id } of asked) await v.reset(id);
    await v.ping();
    crowd.push(v);
  }
  const v = await browser('auto'), before = await fate('auto', 'collected');
  play((conn, { id }) => {
    conn.answer(conn.promise(id, '/for-others'), 'promised');
    conn.answer(id, 'page');
  });
  assert.equal(text(await v.get('/page', NAVIGATION)), 'page');
  assert.equal(text(await v.get('/for-others')), 'promised');
  assert.equal(await fate('auto', 'collected') - before, 1);
  for (const each of [...crowd, v]) each.end();
});

check('parked: a HEAD is not, for nobody will ask for it', async () => {
  const v = await browser('auto'), before = await fate('auto', 'parked');
  play((conn, { id }) => {
    conn.answer(conn.promise(id, '/head-only', { method: 'HEAD' }), '', { 'x-a': 'b' });
    conn.answer(id, 'page');
  });
  assert.equal(text(await v.get('/page', NAVIGATION)), 'page');
  assert.equal(await fate('auto', 'parked'), before);
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
  const pid = p.role('edge'), CLIENTS = 40, EACH = 32, MOST = 64 << 20, memory = residentKib(pid);
  const visitors = [], parked = await fate('auto', 'parked'), expired = await fate('auto', 'expired');
  assert.ok(CLIENTS * EACH * big.length > MOST);
  let conn, promised;
  play((c, { id }) => {
    conn = c;
    promised = Array.from({ length: EACH }, (_, i) => c.promise(id, `/flood-${i}`));
    c.answer(id, 'page');
  });
  for (let i = 0; i < CLIENTS; i++) {
    const v = await browser('auto');
    visitors.push(v);
    assert.equal(text(await v.get('/page', NAVIGATION)), 'page');
    for (const id of promised) conn.answer(id, big);
    await v.ping();
  }
  assert.equal((await p.h1('other.localhost', '/', { kind: 'http' })).status, 200);
  const kept = await fate('auto', 'parked') - parked - (await fate('auto', 'expired') - expired);
  const grown = residentKib(pid) - memory;
  assert.ok(kept > 100 && kept * big.length <= MOST, `${kept} are kept`);
  // Some are collected, unless they were kept for too long or there was no room.
  const before = await fate('auto', 'collected');
  let collected = 0;
  for (const v of visitors) collected += text(await v.get('/flood-0')) === big;
  assert.ok(collected > 0);
  assert.equal(await fate('auto', 'collected') - before, collected);
  for (const v of visitors) v.end();
  await until('all are gone', async () => await fate('auto', 'parked') === await fate('auto', 'expired') + await fate('auto', 'collected'));
  assert.ok(grown < (MOST >> 10) + (48 << 10), `edge grew by ${grown} KiB`);
}, 60);

// ---- much of everything ----

/** Others are served while something goes on, by the same app and by another one. */
async function withOthers(app, during) {
  const v = await visit(app, { push: false });
  let done = false;
  const ended = during.finally(() => {
    done = true;
  });
  do {
    assert.equal(text(await v.get('/plain')), 'own /plain');
    assert.equal((await p.h1('other.localhost', '/', { kind: 'http' })).status, 200);
  } while (!done);
  v.end();
  return ended;
}

for (const app of ['auto', 'always', 'hints']) {
  check(`thousands of promises with one page (${app})`, async () => {
    const v = await visit(app), pid = p.role('edge'), memory = residentKib(pid);
    const counted = async () => await decisions(app) + await p.metric('portico_worker_http2_refusals_total', { reason: 'streams' });
    const N = 5000, before = await counted();
    let promised = 0;
    play(async (conn, { id }) => {
      for (; promised < N; promised++) {
        const one = conn.promise(id, `/one-of-many-${promised}`);
        if (promised % 3 === 0) conn.answer(one, 'part');
        if (promised % 3 === 1) conn.send(h2.reset(one, CANCEL));
        if (promised % 500 === 499) await later(1);
      }
      conn.answer(id, 'page');
    });
    await withOthers(app, v.get('/page').then((page) => assert.equal(text(page), 'page')));
    assert.equal(await counted() - before, N);
    for (const { id } of v.promises) if (v.stream(id).ended) assert.equal(text(v.stream(id)), 'part');
    assert.ok(residentKib(pid) - memory < 24 << 10, `edge grew by ${residentKib(pid) - memory} KiB`);
    v.end();
    await until('nothing is left of it', async () => (await p.metric('portico_requests_open', { app })) === 0);
  }, 60);
}

check("a worker's server with a limit of its own on resets survives its promises", async () => {
  const v = await visit('node'), other = await visit('node', { push: false });
  const connects = await p.metric('portico_worker_connects_total');
  let done = false;
  const page = v.get('/page?n=3000&size=10').finally(() => {
    done = true;
  });
  do {
    const s = await other.get('/part?i=x&size=100');
    assert.deepEqual([s.status, s.octets, s.reset], [200, 100, undefined]);
  } while (!done);
  const { status, reset } = await page;
  assert.deepEqual([status, reset], [200, undefined]);
  for (let i = 0; i < 20; i++) assert.equal((await other.get('/part?i=y&size=100')).octets, 100);
  assert.ok(await p.metric('portico_worker_connects_total') - connects <= 4);
  v.end();
  other.end();
}, 60);

check('promised streams that never answer delay nothing', async () => {
  for (const app of ['auto', 'always']) {
    for (const push of [true, false]) {
      const v = await visit(app, { push });
      play((conn, { id }) => {
        for (let i = 0; i < 40; i++) conn.promise(id, `/silent-${i}`);
        conn.answer(id, 'page');
      });
      assert.equal(text(await v.get('/page', push ? {} : NAVIGATION)), 'page');
      assert.equal(text(await v.get('/plain')), 'own /plain');
      v.end();
      await until('nothing is left of it', async () => (await p.metric('portico_requests_open', { app })) === 0);
    }
  }
});

check('a page that promises itself, and what it promises', async () => {
  const v = await visit('always'), recursion = await decisions('always', 'recursion'), duplicate = await decisions('always', 'duplicate');
  play((conn, { id, path }) => {
    conn.answer(conn.promise(id, path), 'again');
    conn.answer(conn.promise(id, '/page/deep'), 'deep', { link: '</page/deeper>; rel=preload, </page/deep>; rel=preload' });
    conn.answer(id, 'page', { link: `<${path}>; rel=preload` });
  });
  assert.equal(text(await v.get('/page/top')), 'page');
  assert.ok(await v.until(() => v.promises.length && v.stream(v.promises[0].id).ended));
  await v.ping();
  assert.deepEqual(v.promises.map(({ path }) => path), ['/page/deep']);
  assert.ok(await decisions('always', 'recursion') - recursion >= 1);
  assert.ok(await decisions('always', 'duplicate') - duplicate >= 1);
  v.end();
});

check('a promise on a promised stream ends the connection to the worker, and no other', async () => {
  const v = await visit('always');
  const refused = () => p.metric('portico_worker_http2_refusals_total', { reason: 'promise.parent' }), before = await refused();
  play((conn, { id }) => {
    const promised = conn.promise(id, '/first');
    conn.promise(promised, '/second');
    conn.answer(id, 'page');
  });
  const s = await v.get('/page');
  assert.equal(s.status, 502);
  assert.equal(await refused() - before, 1);
  play((conn, { id }) => conn.answer(id, 'page'));
  assert.equal(text(await v.get('/page')), 'page');
  v.end();
});

check('Link fields of a hundred kilobytes', async () => {
  const v = await visit('always'), pid = p.role('edge'), memory = residentKib(pid);
  const one = (i) => `</linked-${i}?${'x'.repeat(50)}>; rel=preload; as=style`;
  const fields = (n) => Array.from({ length: n }, (_, i) => ['link', one(i)]);
  for (const [name, link, status] of [
    ['in one field', [['link', Array.from({ length: 1200 }, (_, i) => one(i)).join(', ')]], 502],
    ['in many', fields(150), 200], ['in more than a section may have', fields(400), 502], ['of quotes', [['link', `<"${'"'.repeat(30000)}`]], 200],
    ['of angles', [['link', '<'.repeat(50000)]], 200], ['of commas', [['link', ','.repeat(50000)]], 200],
    ['of parameters', [['link', `</a>${';a=b'.repeat(12000)}; rel=preload`]], 200],
    ['and 103 after 103', fields(20), 200], ['and more of them than one section may have', fields(150), 502],
  ]) {
    play((conn, { id }) => {
      for (let i = 0; i < (name.startsWith('and') ? 12 : 0); i++) conn.send(h2.section(TYPE.HEADERS, id, [[':status', 103], ...link]));
      conn.send(h2.section(TYPE.HEADERS, id, [[':status', 200], ...link]), h2.data(id, 'page', true));
    });
    const s = await v.get('/page');
    assert.equal(s.status, status, name);
    if (status === 200) assert.equal(text(s), 'page', name);
    assert.equal(text(await v.get('/plain')), 'own /plain');
  }
  assert.equal(v.promises.length, 64); // LINK_MAX_PROMISES, of which the others are repetitions
  assert.ok(residentKib(pid) - memory < 24 << 10, `edge grew by ${residentKib(pid) - memory} KiB`);
  v.end();
});

const PRIORITY_UPDATE = 0x10;
const reprioritize = (id, value) => h2.frame(PRIORITY_UPDATE, 0, 0, Buffer.concat([h2.u32(id), Buffer.from(value)]));

check('PRIORITY_UPDATE of promised streams: open, closed, reset and never promised', async () => {
  const v = await visit('always', { window: 100 });
  play((conn, { id }) => {
    for (let i = 0; i < 8; i++) conn.answer(conn.promise(id, `/ordered-${i}`), String(i).repeat(5000));
    conn.answer(id, 'p'.repeat(5000));
  });
  const s = v.ask('/page');
  assert.ok(await v.until(() => v.promises.length === 8));
  const values = ['u=0', 'u=7', 'u=3, i', 'i', '', 'u=9', '\u0001', 'u=0, i=?0', 'x'.repeat(100)];
  for (let round = 0; round < 20; round++) {
    await v.raw.send(...v.promises.map(({ id }, i) => reprioritize(id, values[(round + i) % values.length])), reprioritize(s.id, values[round % values.length]));
    if (round === 10) v.reset(v.promises[3].id);
  }
  assert.ok(await v.until(() => v.over(s) && v.promises.every(({ id }) => v.over(v.stream(id)))));
  assert.equal(text(s), 'p'.repeat(5000));
  for (const [i, { id }] of v.promises.entries()) if (v.stream(id).ended) assert.equal(text(v.stream(id)), String(i).repeat(5000));
  await v.raw.send(...v.promises.map(({ id }) => reprioritize(id, 'u=0')));
  await v.ping();
  await v.raw.send(reprioritize(1000, 'u=0')); // RFC 9218 7.1: not promised yet
  assert.ok(await v.until(() => v.raw.goaway));
  assert.equal(v.raw.goaway.code, 1);
  v.end();
});

check('a client that never reads', async () => {
  const pid = p.role('edge'), memory = residentKib(pid), limited = await decisions('always', 'limit');
  const deaf = [], PAGES = 30, PARTS = 100;
  const filler = randomBytes(6000).toString('base64');
  let n = 0;
  play((conn, { id }) => {
    for (let i = 0; i < PARTS; i++) conn.answer(conn.promise(id, `/unread-${n++}`, { filler }), '', { filler });
    conn.answer(id, 'page');
  });
  for (let i = 0; i < 2; i++) deaf.push(await visit('always', { deaf: true }), await visit('hints', { deaf: true, push: false }));
  await withOthers('always', (async () => {
    for (let i = 0; i < PAGES; i++) {
      for (const v of deaf) v.ask('/page', NAVIGATION);
      await later(5);
    }
    await until('what is promised has an end', async () => await decisions('always', 'limit') > limited);
  })());
  const grown = residentKib(pid) - memory;
  assert.ok(grown < 24 << 10, `edge grew by ${grown} KiB`);
  // Who reads after all has all that it was promised.
  const [v] = deaf;
  v.raw.socket.resume();
  assert.ok(await v.until(() => [...v.streams.values()].every((s) => v.over(s))), 'an end of each');
  for (const s of v.streams.values()) if (s.id % 2) assert.equal(text(s), 'page');
  assert.equal(v.raw.goaway, undefined);
  for (const each of deaf) each.end();
}, 60);

// ---- chaos ----

/** What the worker answers for a path and a Cookie: the octets tell both. */
const sizeOf = (path) => Number(/s(\d+)$/.exec(path)?.[1] ?? 500);
function contentOf(path, cookie) {
  const word = `${path}|${cookie ?? ''}.`;
  return word.repeat(Math.ceil(sizeOf(path) / word.length)).slice(0, sizeOf(path));
}

/** Mulberry32: the same again with the same seed. */
function dice(seed) {
  let a = seed;
  const next = () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { below: (n) => Math.floor(next() * n), chance: (share) => next() < share, of: (list) => list[Math.floor(next() * list.length)] };
}

const SIZES = [0, 1, 500, 3000, 20000, 60000];
const cookies = [undefined, 'who=a', 'who=b'];

async function chaoticWorker(d, conn, { id, path, get }) {
  const cookie = get.cookie;
  const answer = (stream, where) => {
    const octets = contentOf(where, cookie);
    const more = { ...(d.chance(0.1) ? { 'set-cookie': 'x=y' } : {}), ...(d.chance(0.1) ? { vary: 'accept' } : {}), ...(d.chance(0.1) ? { 'cache-control': 'no-store' } : {}) };
    const how = d.below(10);
    if (how < 6) conn.answer(stream, octets, { ...more, length: d.chance(0.7) });
    else if (how === 6) conn.answer(stream, octets.slice(0, octets.length / 2), { open: true, length: false }), conn.send(h2.reset(stream, d.of([2, 7, 8])));
    else if (how === 7) conn.send(h2.reset(stream, d.of([2, 7, 8])));
    else if (how === 8) conn.answer(stream, 'not there', { status: 404 });
    // else never
  };
  const promised = [];
  for (let i = d.below(6); i > 0; i--) {
    const where = `/r${d.below(40)}s${d.of(SIZES)}`;
    promised.push([conn.promise(id, where, d.chance(0.05) ? { authority: 'other.localhost' } : {}), where]);
  }
  const steps = promised.map(([stream, where]) => () => answer(stream, where));
  steps.splice(d.below(steps.length + 1), 0, () => conn.answer(id, contentOf(path, cookie), { length: d.chance(0.5), ...(promised.length && d.chance(0.3) ? { link: `<${promised[0][1]}>; rel=preload` } : {}) }));
  for (const step of steps) {
    if (d.chance(0.4)) await later(d.below(8));
    step();
  }
  if (d.chance(0.01)) conn.send(h2.goaway(0x7fffffff, 0));
  if (d.chance(0.005)) conn.socket.destroy();
}

const judged = { pages: 0, parts: 0, pushes: 0, wholePages: 0 };

function judge(s, cookie, isPage) {
  if (!s.ended || s.status !== 200) return;
  // Compared as whole: another's octets, or another Cookie's, are in no way like it.  What a Link field
  // promises, Portico asks for without a Cookie.
  const may = [contentOf(s.path, cookie), ...(s.id % 2 ? [] : [contentOf(s.path)])];
  if (!may.includes(text(s))) assert.fail(`${s.path} for ${cookie} (${s.id % 2 ? 'asked' : 'pushed'}) got ${s.octets} octets: ${text(s).slice(0, 60)}`);
  judged.wholePages += isPage;
}

async function chaoticClient(d, app, endAt) {
  while (Date.now() < endAt) {
    const browser_ = d.chance(0.5), cookie = d.of(cookies);
    const v = await visit(app, { push: !browser_, window: d.of([10, 1000, 65535, 1 << 20]) });
    const asked = new Map(); // stream -> [cookie, is a page]
    const withCookie = (c) => (c ? { cookie: c } : {});
    v.onPromise = (id, parent) => {
      asked.set(v.stream(id), [asked.get(v.stream(parent))?.[0], false]);
      judged.pushes++;
      if (d.chance(0.1)) v.reset(id, d.of([CANCEL, REFUSED]));
    };
    for (let i = d.below(8) + 1; i > 0 && !v.raw.closed; i--) {
      const page = v.ask(`/chaos/${d.below(1000)}s${d.of(SIZES)}`, { ...(browser_ ? NAVIGATION : {}), ...withCookie(cookie) });
      asked.set(page, [cookie, true]);
      judged.pages++;
      if (d.chance(0.5)) await later(d.below(10));
      if (d.chance(0.1)) v.reset(page.id);
      const known = [...v.streams.values()].flatMap((s) => s.informational.flat().filter(([name]) => name === 'link').map(([, value]) => /<([^>]*)>/.exec(value)[1]));
      for (let k = d.below(4); k > 0; k--) {
        const other = d.chance(0.2) ? d.of(cookies) : cookie;
        const part = v.ask(known.length && d.chance(0.8) ? d.of(known) : `/r${d.below(40)}s${d.of(SIZES)}`, withCookie(other));
        asked.set(part, [other, false]);
        judged.parts++;
        if (d.chance(0.1)) v.reset(part.id);
      }
      if (d.chance(0.5)) await v.until(() => v.over(page));
    }
    if (d.chance(0.7)) { // else it leaves without a word
      // Of what is promised or no page the worker never answers some; what has begun has an end.
      await v.until(() => [...asked.keys()].every((s) => v.over(s)), 300);
      const isDue = (s, isPage) => !v.over(s) && (isPage || s.status !== undefined);
      const due = () => [...asked].filter(([s, [, isPage]]) => isDue(s, isPage)).map(([s]) => s.path);
      await v.until(() => !due().length);
      assert.deepEqual(due(), [], 'they got no end');
      assert.equal(v.raw.goaway, undefined);
    }
    for (const [s, [c, isPage]] of asked) judge(s, c, isPage);
    v.end();
  }
}

const SEED = Number(process.env.PORTICO_E2E_SEED ?? Date.now() % 1e6), SECONDS = Number(process.env.PORTICO_E2E_SECONDS ?? 6);

check(`chaos, seed ${SEED}`, async () => {
  const d = dice(SEED), pid = p.role('edge');
  chaos = (conn, request) => (request.path.startsWith('/chaos') ? chaoticWorker(d, conn, request) : conn.answer(request.id, contentOf(request.path, request.get.cookie)));
  const endAt = Date.now() + SECONDS * 1000;
  await Promise.all([
    ...['auto', 'always', 'hints', 'auto', 'always', 'auto'].map((app, i) => chaoticClient(dice(SEED + i + 1), app, endAt)),
    (async () => {
      while (Date.now() < endAt) {
        assert.equal((await p.h1('other.localhost', '/', { kind: 'http' })).status, 200);
        await later(5);
      }
    })(),
  ]);
  assert.ok(judged.wholePages > judged.pages / 4 && judged.pushes > 0 && judged.parts > 0, JSON.stringify(judged));
  assert.equal(p.role('edge'), pid);
  for (const app of ['auto', 'always', 'hints']) {
    await until('nothing is left of it', async () => (await p.metric('portico_requests_open', { app })) === 0);
    await until('nor of what was parked', async () => await fate(app, 'parked') === await fate(app, 'collected') + await fate(app, 'expired'));
  }
}, 60);

check('ends clean', async () => {
  await p.stop();
  worker.server.close();
  worker.resetAll();
  bystander.close();
  bystander.closeAllConnections();
}, 30);
