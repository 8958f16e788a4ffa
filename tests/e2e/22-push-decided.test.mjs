// SPDX-License-Identifier: Apache-2.0
// The policy auto, and the others: what each client gets of what a worker promises, a Link field says
// or the app's configuration knows, and that nobody does work twice for it.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PORTICO, Portico, check, close2, collectPushes, fetch2, run, until, whole, worker } from './lib.mjs';
import { ACK, END_STREAM, TYPE, data, frame, h2Client, h2cServer, head, promise, request, reset } from './workers/frames.mjs';

let p, send; // send: to edge, as the worker made of frames, once it was asked
const scripted = await h2cServer((answer, { type }) => {
  if (type === TYPE.HEADERS) send = answer;
});
const NAVIGATION = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'user-agent': 'Mozilla/5.0 Chrome/140' };
const link = (...values) => `/link?${values.map((v) => `v=${encodeURIComponent(v)}`).join('&')}`;
// Of what Portico does not act on nothing is lost.
const WORDS = '</part?i=e&size=1>; rel="preload"; as=image; imagesrcset="/part?i=e 1x, /part?i=f 2x"; media=print; crossorigin=use-credentials';
const policies = ['off', 'deny', 'hints', 'observe', 'auto', 'always'];

check('starts', async () => {
  const apps = {
    config: worker('h2c', 'config.localhost', {
      push: { preload: { '/page': ['/part?i=a&size=100', '</part?i=b&size=100>; rel=preload; as=script'], '/hints': ['/part?i=c&size=1'], '/bytes': [WORDS, '</font.woff2>; rel=preload; nopush'] } },
    }),
    plain: worker('h1', 'plain.localhost'),
    small: worker('h2c', 'small.localhost', { push: { budget: 2500 } }),
    watched: worker('h2c', 'watched.localhost', { push: { policy: 'observe', budget: 2500 } }),
    some: worker('h2c', 'some.localhost', { push: { exclude: ['/none', '/p*t'] } }),
    held: worker('h2c', 'held.localhost', { push: { holdback: 100 } }),
    late: worker('h2c', 'late.localhost'),
    waste: worker('h1', 'waste.localhost'),
    scripted: { upstreams: [`tcp://127.0.0.1:${scripted.address().port}`], hosts: ['scripted.localhost'], http20ProxyFlag: 1 },
  };
  for (const policy of policies) apps[policy] = worker('h2c', `${policy}.localhost`, { push: policy });
  p = await Portico.start({ loops: 1, apps });
}, 60);

const fates = (app) => Promise.all(['completed', 'refused', 'refused-late', 'not-pushed', 'hinted', 'hint-used', 'parked', 'collected', 'expired', 'repeated', 'observed']
  .map(async (fate) => [fate, await p.metric('portico_push_fates_total', { app, fate })])).then(Object.fromEntries);
const counts = async (host) => JSON.parse((await p.h1(host, '/counts')).body);
// Node joins the lines of a field.
const links = (head) => [head.link].flat().flatMap((value) => value.split(/, (?=<)/));
const hinted = ({ informational }) => informational.filter((head) => head[':status'] === 103).flatMap(links);

let holds = 0;
/** What a client of a kind gets with a page of three promised parts.  hold: its worker answers when a 103 has come. */
async function visit(host, { push = true, headers = {}, where = '/page?n=3', hold = false } = {}) {
  const session = await p.h2(host, { settings: { enablePush: push } });
  const pushes = collectPushes(session);
  const stream = session.request({ ':path': hold ? `${where}&hold=${++holds}` : where, ...headers });
  const answer = whole(stream);
  if (hold) {
    await once(stream, 'headers');
    await p.h1(host, `/release?hold=${holds}`);
  }
  const page = await answer;
  assert.equal(page.status, 200);
  const got = await Promise.all(pushes);
  return { session, page, got, hints: hinted(page) };
}

for (const policy of policies) {
  const host = `${policy}.localhost`;
  check(`${policy}: who takes push`, async () => {
    const before = await fates(policy);
    const { session, page, got, hints } = await visit(host);
    assert.equal(page.headers['x-push-allowed'], String(!['off', 'deny'].includes(policy)));
    assert.equal(got.length, ['auto', 'always'].includes(policy) ? 3 : 0);
    for (const { body, status } of got) assert.ok(status === 200 && body.length === 1000);
    assert.equal(hints.length, 0);
    await close2(session);
    const after = await fates(policy);
    assert.equal(after.completed - before.completed, got.length);
    assert.equal(after.observed - before.observed, policy === 'observe' ? 3 : 0);
    assert.equal(after['not-pushed'] - before['not-pushed'], policy === 'hints' ? 3 : 0);
  });

  check(`${policy}: a browser`, async () => {
    const before = await fates(policy);
    const isHinted = ['hints', 'auto', 'always'].includes(policy);
    const { session, got, hints } = await visit(host, { push: false, headers: NAVIGATION, where: '/page?n=3&ms=20', hold: isHinted });
    assert.equal(got.length, 0);
    assert.equal(hints.length, isHinted ? 3 : 0);
    for (const [i, value] of hints.entries()) assert.match(value, new RegExp(`^</part\\?i=${i}&size=1000>; rel=preload`));
    const after = await fates(policy);
    assert.equal(after.parked - before.parked, ['auto', 'always'].includes(policy) ? 3 : 0);
    assert.equal(after.hinted - before.hinted, policy === 'hints' ? 3 : 0);
    await close2(session);
    await until('nothing is kept', async () => (await fates(policy)).expired - before.expired === after.parked - before.parked);
  });
}

check('a hint that would come with the response is said in the response', async () => {
  const { session, page, hints } = await visit('auto.localhost', { push: false, headers: NAVIGATION });
  assert.equal(hints.length + (page.headers.link ? links(page.headers).length : 0), 3);
  await close2(session);
});

check('parked: the worker answers once', async () => {
  const host = 'auto.localhost', before = await counts(host), kept = await fates('auto');
  const { session, page } = await visit(host, { push: false, headers: { ...NAVIGATION, cookie: 'a=b' } });
  for (const where of JSON.parse(page.body)) {
    const { status, body, headers } = await fetch2(session, where, { headers: { cookie: 'a=b' } });
    assert.equal(status, 200);
    assert.equal(body.length, 1000);
    assert.ok(headers.etag);
  }
  const after = await counts(host), then = await fates('auto');
  assert.equal(after.offered - before.offered, 3);
  assert.equal(after.requests - before.requests, 2, 'the page and the counts');
  assert.equal(then.collected - kept.collected, 3);
  assert.equal(then['hint-used'] - kept['hint-used'], 3);
  // One use: the next one is asked of the worker.
  await fetch2(session, JSON.parse(page.body)[0], { headers: { cookie: 'a=b' } });
  assert.equal((await counts(host)).requests - after.requests, 2);
  await close2(session);
});

check('each promise waits for its own response to begin', async () => {
  const session = await p.h2('scripted.localhost');
  const pushes = collectPushes(session);
  const page = fetch2(session, '/page');
  await until('the worker is asked', () => send);
  const ask = (where) => ({ ':method': 'GET', ':scheme': 'https', ':authority': p.authority('scripted.localhost'), ':path': where });
  const answer = (id, text) => [head(id, { ':status': 200, 'content-length': text.length }), data(id, text, true)];
  send(promise(1, 2, ask('/a')), promise(1, 4, ask('/b')), ...answer(2, 'a'));
  await until('the first is pushed', () => pushes.length === 1);
  send(...answer(4, 'bb'), ...answer(1, 'page'));
  assert.equal(String((await page).body), 'page');
  assert.deepEqual((await Promise.all(pushes)).map(({ promise, body }) => [promise[':path'], String(body)]), [['/a', 'a'], ['/b', 'bb']]);
  await close2(session);
});

for (const [name, headers] of [
  ['another cookie', { cookie: 'a=c' }], ['no cookie', {}], ['a range', { cookie: 'a=b', range: 'bytes=0-9' }],
  ['a condition', { cookie: 'a=b', 'if-none-match': '"x"' }], ['a reload', { cookie: 'a=b', 'cache-control': 'no-cache' }],
  ['credentials', { cookie: 'a=b', authorization: 'Bearer x' }],
]) {
  check(`parked: not for ${name}`, async () => {
    const host = 'auto.localhost', before = await counts(host), kept = await fates('auto');
    const { session } = await visit(host, { push: false, headers: { ...NAVIGATION, cookie: 'a=b' }, where: '/page?n=1' });
    assert.equal((await fetch2(session, '/part?i=0&size=1000', { headers })).status, 200);
    assert.equal((await counts(host)).requests - before.requests, 3, 'the page, the part and the counts');
    assert.equal((await fates('auto')).collected, kept.collected);
    await close2(session);
  });
}

check('parked: not on another connection', async () => {
  const host = 'auto.localhost', before = await counts(host);
  const { session } = await visit(host, { push: false, headers: NAVIGATION, where: '/page?n=1' });
  const other = await p.h2(host, { settings: { enablePush: false } });
  assert.equal((await fetch2(other, '/part?i=0&size=1000')).status, 200);
  assert.equal((await counts(host)).requests - before.requests, 3);
  await Promise.all([close2(session), close2(other)]);
});

check('a large parked response waits behind its window, and comes whole', async () => {
  const { session } = await visit('auto.localhost', { push: false, headers: NAVIGATION, where: '/page?n=1&size=3000000' });
  const { body } = await fetch2(session, '/part?i=0&size=3000000');
  assert.equal(body.length, 3000000);
  await close2(session);
});

for (const [name, headers] of [['a conditional request', { 'if-none-match': '"x"' }], ['a reload', { 'cache-control': 'max-age=0' }]]) {
  check(`${name} for the page is pushed nothing`, async () => {
    const { session, got } = await visit('auto.localhost', { headers });
    assert.equal(got.length, 0);
    await close2(session);
  });
}

check('Link: nothing is pushed that is not known; who asks first makes it known', async () => {
  const host = 'plain.localhost', where = link('</asset?name=z>; rel=preload; as=style');
  const first = await visit(host, { where });
  assert.equal(first.got.length, 0);
  assert.equal((await fetch2(first.session, '/asset?name=z')).status, 200);
  await close2(first.session);
  const second = await visit(host, { where });
  assert.deepEqual(second.got.map(({ promise }) => promise[':path']), ['/asset?name=z']);
  await close2(second.session);
});

check('Link: what is made for one person is pushed to nobody, and that is the reason given', async () => {
  const host = 'plain.localhost', where = link('</asset?name=mine>; rel=preload; as=style');
  const first = await visit(host, { where });
  assert.equal((await fetch2(first.session, '/asset?name=mine', { headers: { cookie: 'who=me' } })).status, 200);
  await close2(first.session);
  const second = await visit(host, { where });
  assert.equal(second.got.length, 0);
  assert.equal(await p.metric('portico_push_decisions_total', { app: 'plain', reason: 'credentials' }), 1);
  await close2(second.session);
});

check('configuration: a browser is hinted before the worker has answered, others are pushed what is known', async () => {
  const host = 'config.localhost';
  const browser = await visit(host, { push: false, headers: NAVIGATION, where: '/page?n=0&ms=50' });
  assert.deepEqual(browser.hints, ['</part?i=a&size=100>; rel=preload', '</part?i=b&size=100>; rel=preload; as=script']);
  for (const where of ['/part?i=a&size=100', '/part?i=b&size=100']) assert.equal((await fetch2(browser.session, where)).status, 200);
  await close2(browser.session);
  const node = await visit(host, { where: '/page?n=0&ms=50' });
  assert.deepEqual(node.got.map(({ promise }) => promise[':path']).sort(), ['/part?i=a&size=100', '/part?i=b&size=100']);
  await close2(node.session);
});

check('configuration: a browser is told all that a Link value says', async () => {
  const { session, page } = await visit('config.localhost', { push: false, headers: NAVIGATION, where: '/bytes?n=5' });
  assert.deepEqual(page.informational.flatMap(links), [WORDS, '</font.woff2>; rel=preload; nopush; as=font; crossorigin']);
  await close2(session);
});

check('configuration and a 103 of the worker: one 103, once it is known that one comes', async () => {
  const where = `/hints?v=${encodeURIComponent('</part?i=d&size=1>; rel=preload')}`;
  const seen = [];
  for (let i = 0; i < 3; i++) {
    const { session, page } = await visit('config.localhost', { push: false, headers: NAVIGATION, where });
    seen.push(page.informational.map((head) => links(head).length));
    await close2(session);
  }
  assert.deepEqual(seen.slice(1), [[2], [2]]);
});

check('a budget is kept', async () => {
  const { session, got } = await visit('small.localhost', { where: '/page?n=5' });
  assert.equal(got.length, 2);
  await close2(session);
});

check('observed is what would have been pushed, within the budget and once', async () => {
  const decided = (reason) => p.metric('portico_push_decisions_total', { app: 'watched', reason });
  const { session, got } = await visit('watched.localhost', { where: '/page?n=5' });
  assert.equal(got.length, 0);
  assert.deepEqual([await decided('ok'), await decided('budget')], [2, 3]);
  assert.equal((await fetch2(session, '/page?n=5')).status, 200);
  assert.equal(await decided('duplicate'), 2);
  await close2(session);
});

check('what the worker is about to answer counts, not what another client got', async () => {
  const identity = await visit('small.localhost', { where: '/page?n=1&size=5000&gzip' });
  assert.equal(identity.got.length, 0);
  assert.equal((await fetch2(identity.session, '/part?i=0&size=5000&gzip')).body.length, 5000);
  await close2(identity.session);
  const gzip = await visit('small.localhost', { where: '/page?n=1&size=5000&gzip', headers: { 'accept-encoding': 'gzip' } });
  assert.deepEqual(gzip.got.map(({ body }) => body.length), [500]);
  await close2(gzip.session);
});

check('patterns leave out what they say', async () => {
  const { session, got } = await visit('some.localhost', { where: '/page?n=2' });
  assert.equal(got.length, 0);
  await close2(session);
});

check('who is held back gets no help', async () => {
  const { session, got } = await visit('held.localhost');
  assert.equal(got.length, 0);
  await close2(session);
  const browser = await visit('held.localhost', { push: false, headers: NAVIGATION });
  assert.equal(browser.hints.length, 0);
  await close2(browser.session);
});

check('a client that resets what it is pushed is pushed no more', async () => {
  const auto = await p.h2('auto.localhost');
  auto.setLocalWindowSize(1 << 20);
  let pushed = 0;
  auto.onPush = (stream) => {
    pushed++;
    stream.on('error', () => {});
    stream.close(8);
  };
  for (let i = 0; i < 6; i++) await fetch2(auto, `/page?n=2&from=${i * 2}&size=100000`);
  assert.ok(pushed >= 2 && pushed <= 6, `${pushed} were pushed`);
  await close2(auto);
});

/** A client that refuses what it is pushed, the `which`-th of a page or all, when the last octet has come. */
async function refuser(host, agent, localAddress) {
  const client = await h2Client(p.ports.http, { localAddress });
  let id = -1, known = 0;
  const ended = (one) => client.until((f) => f.id === one && (f.type === TYPE.DATA || f.type === TYPE.HEADERS) && f.flags & END_STREAM);
  return {
    async visit(where, which = () => true) {
      client.send(head(id += 2, request(p.authority(host, 'http'), where, { 'user-agent': agent }), true));
      assert.ok(await ended(id));
      const promised = client.frames.filter((f) => f.type === TYPE.PUSH).map((f) => f.payload.readUInt32BE(0)).slice(known);
      known += promised.length;
      for (const one of promised) assert.ok(await ended(one));
      client.send(...promised.filter((_, i) => which(i)).map((one) => reset(one, 8)), frame(TYPE.PING, 0, 0, Buffer.alloc(8, id)));
      assert.ok(await client.until((f) => f.type === TYPE.PING && f.flags & ACK && f.payload[0] === id));
      return promised.length;
    },
    end: () => client.socket.destroy(),
  };
}

check('a client that resets each push when all of it has come is pushed no more, nor are its kind', async () => {
  const host = 'late.localhost', agent = 'okhttp/4.12.0';
  let pushed = 0;
  for (let i = 0; i < 3; i++) { // each from elsewhere: nobody alone speaks for his kind
    const client = await refuser(host, agent, `127.0.0.${2 + i}`);
    const first = await client.visit(`/page?n=2&from=${4 * i}&size=100`);
    assert.equal(first, 2, `connection ${i}`);
    assert.equal(await client.visit(`/page?n=2&from=${4 * i + 2}&size=100`), 0, `connection ${i}`);
    client.end();
    pushed += first;
  }
  const then = await fates('late');
  assert.equal(then['refused-late'], pushed);
  assert.equal(then.completed, pushed, 'they were sent whole');
  assert.equal(await p.metric('portico_push_wasted_bytes_total', { app: 'late' }), 100 * pushed);
  assert.equal(await p.metric('portico_push_decisions_total', { app: 'late', reason: 'refused-here' }), 6);
  assert.equal(await p.metric('portico_push_decisions_total', { app: 'late', reason: 'refused-by-kind' }), 0);

  const same = await visit(host, { headers: { 'user-agent': agent } });
  assert.equal(same.got.length, 0);
  assert.equal(await p.metric('portico_push_decisions_total', { app: 'late', reason: 'refused-by-kind' }), 3);
  const other = await visit(host, { headers: { 'user-agent': 'okhttp/5.0.0' } });
  assert.equal(other.got.length, 3);
  const nameless = await visit(host);
  assert.equal(nameless.got.length, 3);
  for (const { session } of [same, other, nameless]) await close2(session);
  assert.match((await run(PORTICO, ['push', 'stats', 'late', '--data', p.data])).stdout, /^ {2}okhttp: .*completed 9 refused-late 6 /m);
});

check('what is refused and asked for then is wasted once', async () => {
  const client = await refuser('late.localhost', 'other/1');
  const before = await fates('late');
  assert.equal(await client.visit('/page?n=1&from=50&size=10'), 1);
  await client.visit('/part?i=50&size=10');
  client.end();
  const after = await fates('late');
  assert.equal(after['refused-late'] - before['refused-late'], 1);
  assert.equal(after.repeated, before.repeated);
});

check('a resource that is refused by clients that take others switches itself off', async () => {
  const host = 'waste.localhost', where = link('</asset?name=w>; rel=preload; as=style', '</bytes?n=500>; rel=preload; as=image');
  const first = await refuser(host, 'first/1');
  for (const one of [where, '/asset?name=w', '/bytes?n=500']) await first.visit(one);
  first.end();
  const pushed = [];
  for (let i = 0; i < 10; i++) {
    const client = await refuser(host, `client/${i}`);
    pushed.push(await client.visit(where, (k) => k === 1));
    client.end();
  }
  assert.deepEqual(pushed, [2, 2, 2, 2, 2, 2, 2, 2, 1, 1]);
  assert.equal(await p.metric('portico_push_decisions_total', { app: 'waste', reason: 'switched-off' }), 2);
  const { stdout } = await run(PORTICO, ['push', 'stats', 'waste', '--data', p.data]);
  assert.match(stdout, /^\/bytes +8 +8 +8 +0 +4000 +4000 +switched-off \(off\)$/m);
  assert.match(stdout, /^\/asset +10 +10 +0 +0 +\d+ +0 +ok$/m);
});

check('ends clean', async () => {
  await p.stop();
  scripted.close();
}, 30);
