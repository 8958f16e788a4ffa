// SPDX-License-Identifier: Apache-2.0
// Portico behind another proxy: a push passes two Porticos in a row; behind HAProxy, which takes none,
// pages are whole.  What a connection has is remembered of no client where several share it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { Portico, check, close2, collectPushes, fetch2, hasProgram, scratch, until, worker } from './lib.mjs';

const NAVIGATION = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'user-agent': 'Mozilla/5.0 Chrome/140' };
const PARTS = [0, 1, 2].map((i) => `/part?i=${i}&size=1000`);
const HINTS = `/hints?v=${encodeURIComponent('</part?i=9&size=10>; rel=preload; as=style')}`;

const behind = {}, front = {}; // by whether what is in front is trusted

check('starts', async () => {
  for (const trusted of [true, false]) {
    const back = await Portico.start({
      loops: 1, trustedProxies: trusted ? ['127.0.0.1'] : [],
      apps: { pusher: worker('h2c', 'pusher.localhost'), plain: worker('h1', 'plain.localhost', { push: 'always' }) },
    });
    behind[trusted] = back;
    front[trusted] = await Portico.start({
      loops: 1,
      apps: { chain: { upstreams: [`tcp://127.0.0.1:${back.ports.http}`], hosts: ['pusher.localhost', 'plain.localhost'], http20ProxyFlag: 1 } },
    });
    await until('the one behind answers', async () => (await front[trusted].h1('pusher.localhost', '/counts')).status === 200);
  }
}, 90);

/** What a busy edge hears together with the response is said in the response. */
const hintsOf = ({ informational, headers }) => [...informational, headers].map(({ link }) => String(link)).join();

async function visit(p, { where = '/page?n=3', kind = 'https', push = true, headers = {}, host = 'pusher.localhost' } = {}) {
  const session = await p.h2(host, { kind, settings: { enablePush: push } });
  const pushes = collectPushes(session);
  const page = await fetch2(session, where, { headers });
  assert.equal(page.status, 200);
  return { session, page, got: await Promise.all(pushes), hints: hintsOf(page) };
}

const counts = async (p) => JSON.parse((await p.h1('pusher.localhost', '/counts')).body);
const reason = async (p, name) => await p.metric('portico_push_decisions_total', { app: 'pusher', reason: name });
const fate = async (p, app, name) => await p.metric('portico_push_fates_total', { app, fate: name });

check('a push passes two Porticos, for each client anew', async () => {
  for (const kind of ['https', 'http', 'https']) {
    const { session, page, got } = await visit(front.true, { kind });
    assert.deepEqual(JSON.parse(page.body), PARTS);
    assert.deepEqual(got.map(({ promise }) => promise[':path']).sort(), PARTS);
    for (const { promise, status, body } of got) {
      assert.equal(promise[':scheme'], kind);
      assert.equal(promise[':authority'], front.true.authority('pusher.localhost', kind));
      assert.equal(status, 200);
      assert.equal(body.length, 1000);
    }
    await close2(session);
  }
});

check('who is not trusted is one client: it is not pushed the same again', async () => {
  const seen = [];
  for (let i = 0; i < 2; i++) {
    const { session, got } = await visit(front.false);
    seen.push(got.length);
    await close2(session);
  }
  assert.deepEqual(seen, [3, 0]);
  assert.equal(await reason(behind.false, 'duplicate'), 3);
});

check('a browser is hinted by the one in front, which keeps what the one behind pushes', async () => {
  for (let i = 0; i < 2; i++) {
    const before = await counts(front.true), kept = await fate(front.true, 'chain', 'collected');
    const { session, hints } = await visit(front.true, { push: false, headers: NAVIGATION, where: '/page?n=3&ms=50' });
    for (const where of PARTS) {
      assert.ok(hints.includes(`<${where}>; rel=preload`), hints);
      assert.equal((await fetch2(session, where)).body.length, 1000);
    }
    await close2(session);
    const after = await counts(front.true);
    assert.equal(after.requests - before.requests, 2, 'the page and the counts');
    assert.equal(await fate(front.true, 'chain', 'collected') - kept, 3);
  }
});

check('a 103 passes two Porticos, and its preload is pushed once', async () => {
  const link = '</asset?name=passed>; rel=preload; as=style';
  const { session, page, got } = await visit(front.true, { host: 'plain.localhost', where: `/hints?ms=500&v=${encodeURIComponent(link)}` });
  assert.deepEqual(page.informational.map((head) => [head[':status'], head.link]), [[103, link]]);
  assert.deepEqual(got.map(({ promise }) => promise[':path']), ['/asset?name=passed']);
  assert.equal(String(page.body), 'after the hints\n');
  await close2(session);
});

check('what one response names twice is pushed to the one in front once', async () => {
  const value = '</asset?name=twice>; rel=preload; as=style';
  const where = `/hints?again&v=${encodeURIComponent(value)}`;
  const session = await behind.true.h2('plain.localhost');
  const pushes = collectPushes(session);
  assert.equal((await fetch2(session, where)).status, 200);
  assert.equal((await Promise.all(pushes)).length, 1);
  await close2(session);
});

check('one client that cancels leaves the others their pushes', async () => {
  const session = await front.true.h2('pusher.localhost');
  session.onPush = (stream) => {
    stream.on('error', () => {});
    stream.close(8); // CANCEL
  };
  for (let i = 0; i < 4; i++) await fetch2(session, `/page?n=3&size=50000&from=${100 + i * 3}`);
  await close2(session);
  const { session: other, got } = await visit(front.true);
  assert.equal(got.length, 3);
  await close2(other);
});

check('for a trusted proxy nothing is parked', async () => {
  const before = await counts(behind.true);
  const { session, hints } = await visit(behind.true, { push: false, headers: NAVIGATION, where: '/page?n=1&ms=50' });
  assert.ok(hints.includes(PARTS[0]), hints);
  assert.equal((await fetch2(session, PARTS[0])).status, 200);
  await close2(session);
  assert.equal((await counts(behind.true)).requests - before.requests, 3, 'the page, the part and the counts');
  assert.equal(await fate(behind.true, 'pusher', 'parked'), 0);
});

// ---- HAProxy ----

const skip = !hasProgram('haproxy') && 'haproxy is not installed';
let haproxy;
const home = scratch(), socket = path.join(home, 'front.sock');

/** A session with HAProxy, HTTP/2 by prior knowledge on both of its sides. */
function throughHaproxy() {
  const authority = behind.true.authority('pusher.localhost', 'http');
  const session = http2.connect(`http://${authority}`, { createConnection: () => net.connect(socket) });
  session.on('stream', (stream, headers) => session.onPush?.(stream, headers));
  return session;
}

test('HAProxy starts', { skip, timeout: 120_000 }, async () => {
  fs.writeFileSync(path.join(home, 'haproxy.cfg'), `
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
listen front
  bind unix@${socket} proto h2
  option forwardfor
  server portico 127.0.0.1:${behind.true.ports.http} proto h2
`);
  haproxy = spawn('haproxy', ['-db', '-f', path.join(home, 'haproxy.cfg')], { stdio: 'ignore' });
  await until('HAProxy listens', () => new Promise((resolve, reject) => {
    const one = net.connect(socket, () => resolve(one.destroy())).on('error', reject);
  }));
});

test('behind HAProxy: pages are whole, nothing is pushed, and the reason is told', { skip, timeout: 120_000 }, async () => {
  const before = await reason(behind.true, 'client-disabled');
  const session = throughHaproxy();
  const pushes = collectPushes(session);
  for (let i = 0; i < 5; i++) {
    const { status, body } = await fetch2(session, '/page?n=3');
    assert.equal(status, 200);
    assert.deepEqual(JSON.parse(body), PARTS);
  }
  assert.equal((await fetch2(session, '/bytes?n=300000')).body.length, 300000);
  assert.equal(pushes.length, 0);
  assert.equal(await reason(behind.true, 'client-disabled') - before, 15);
  await close2(session);
});

test('behind HAProxy: a 103 passes, of the worker and in the place of its promises', { skip, timeout: 120_000 }, async () => {
  const session = throughHaproxy();
  const own = await fetch2(session, HINTS);
  assert.deepEqual(own.informational.map((head) => [head[':status'], head.link]), [[103, '</part?i=9&size=10>; rel=preload; as=style']]);
  const page = await fetch2(session, '/page?n=3&ms=50', { headers: NAVIGATION });
  const hints = hintsOf(page);
  for (const where of PARTS) assert.ok(hints.includes(`<${where}>; rel=preload`), hints);
  assert.equal(page.status, 200);
  await close2(session);
});

check('ends clean', async () => {
  if (haproxy) {
    const ended = new Promise((resolve) => haproxy.on('close', resolve));
    haproxy.kill();
    await ended;
  }
  for (const p of [front.true, front.false, behind.true, behind.false]) await p.stop();
});
