// SPDX-License-Identifier: Apache-2.0
// What a worker pushes reaches the client: whole, in order, only to who takes it, never across apps.
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import {
  Portico, check, close2, collectPushes, fetch2, run, sha256, until, worker,
} from './lib.mjs';
import { patternHash } from './workers/pattern.mjs';

let p;

check('starts', async () => {
  p = await Portico.start({
    apps: {
      pusher: worker('h2c', ['pusher.localhost', 'alias.pusher.localhost'], { instances: 2, push: 'always' }),
      other: worker('h2c', 'other.localhost'),
      quiet: worker('h2c', 'quiet.localhost', { push: 'off' }),
    },
  });
}, 60);

for (const kind of ['https', 'http']) {
  check(`pushed octets equal a plain GET's (${kind})`, async () => {
    const session = await p.h2('pusher.localhost', { kind });
    const pushes = collectPushes(session);
    const order = [];
    session.on('stream', () => order.push('promise'));
    const stream = session.request({ ':path': '/page?n=5&size=70000' });
    stream.on('response', () => order.push('response'));
    const parts = [];
    for await (const part of stream) parts.push(part);
    const list = JSON.parse(Buffer.concat(parts));
    assert.equal(list.length, 5);
    assert.deepEqual(order, [...Array(5).fill('promise'), 'response'], 'promises go before the response that refers to them');

    const got = await Promise.all(pushes);
    assert.deepEqual(got.map(({ promise }) => promise[':path']).sort(), [...list].sort());
    const fresh = await p.h2('pusher.localhost', { kind, settings: { enablePush: false } });
    for (const { promise, status, headers, body, rstCode } of got) {
      assert.equal(promise[':method'], 'GET');
      assert.equal(promise[':scheme'], kind);
      assert.equal(promise[':authority'], p.authority('pusher.localhost', kind));
      assert.equal(rstCode, 0);
      const plain = await fetch2(fresh, promise[':path']);
      assert.equal(status, plain.status);
      assert.equal(sha256(body), sha256(plain.body));
      for (const name of ['content-type', 'content-length', 'etag', 'x-part']) assert.equal(headers[name], plain.headers[name], name);
    }
    await Promise.all([close2(session), close2(fresh)]);
  });
}

check('a large push flows under its window and beside others', async () => {
  const session = await p.h2('pusher.localhost');
  const pushes = collectPushes(session);
  const size = 3 << 20;
  assert.equal((await fetch2(session, `/page?n=3&size=${size}`)).status, 200);
  for (const { body } of await Promise.all(pushes)) assert.equal(sha256(body), patternHash(size));
  await close2(session);
});

check('a client that turned push off gets none and no error, and the worker sees no difference', async () => {
  const session = await p.h2('pusher.localhost', { settings: { enablePush: false } });
  const pushes = collectPushes(session);
  for (let i = 0; i < 10; i++) {
    const { status, headers, rstCode } = await fetch2(session, `/page?n=4&from=${i * 4}`);
    assert.equal(status, 200);
    assert.equal(rstCode, 0);
    assert.equal(headers['x-push-allowed'], 'true');
  }
  assert.equal(pushes.length, 0);
  await close2(session);
});

check('an HTTP/1.1 client gets the page', async () => {
  for (let i = 0; i < 5; i++) {
    const { status, body } = await p.h1('pusher.localhost', '/page?n=3');
    assert.equal(status, 200);
    assert.equal(JSON.parse(body).length, 3);
  }
});

check('a client that allows no pushed streams gets the page', async () => {
  const session = await p.h2('pusher.localhost', { settings: { maxConcurrentStreams: 0 } });
  const pushes = collectPushes(session);
  const decided = () => p.metric('portico_push_decisions_total', { app: 'pusher', reason: 'streams' });
  const before = await decided();
  assert.equal((await fetch2(session, '/page?n=3')).status, 200);
  assert.equal(pushes.length, 0);
  assert.equal(await decided() - before, 3);
  await close2(session);
});

check('what was pushed on a connection is not pushed on it again', async () => {
  const session = await p.h2('pusher.localhost');
  const pushes = collectPushes(session);
  await fetch2(session, '/page?n=4');
  await Promise.all(pushes);
  await fetch2(session, '/page?n=4');
  assert.equal(pushes.length, 4);
  await close2(session);
});

check('push: off shows the worker a peer without push', async () => {
  const session = await p.h2('quiet.localhost');
  const pushes = collectPushes(session);
  const { status, headers } = await fetch2(session, '/page?n=3');
  assert.equal(status, 200);
  assert.equal(headers['x-push-allowed'], 'false');
  assert.equal(pushes.length, 0);
  await close2(session);
});

check('one app never pushes for another', async () => {
  const session = await p.h2('pusher.localhost');
  const pushes = collectPushes(session);
  for (const authority of [p.authority('other.localhost'), 'other.localhost', 'www.example.com', p.authority('nobody.localhost')]) {
    const { status, rstCode } = await fetch2(session, `/page?n=2&authority=${encodeURIComponent(authority)}`);
    assert.equal(status, 200);
    assert.equal(rstCode, 0);
  }
  assert.equal(pushes.length, 0);
  assert.equal((await fetch2(session, '/page?n=1&from=900')).status, 200);
  await until('its own push arrives still', () => pushes.length === 1);
  await close2(session);
});

check('a promise for another name of the same app arrives', async () => {
  const session = await p.h2('pusher.localhost');
  const pushes = collectPushes(session);
  const authority = p.authority('alias.pusher.localhost');
  // Node's client drops promises of other origins unless it knows the set; the frame is what counts here.
  await fetch2(session, `/page?n=1&authority=${encodeURIComponent(authority)}`);
  assert.deepEqual((await Promise.all(pushes)).map(({ promise }) => promise[':authority']), [authority]);
  await close2(session);
});

check('a page reset by the client takes its pushes down quietly', async () => {
  const session = await p.h2('pusher.localhost');
  collectPushes(session);
  for (let i = 0; i < 20; i++) {
    const stream = session.request({ ':path': `/page?n=3&size=200000&ms=2000&from=${i * 3}` });
    stream.on('error', () => {});
    await new Promise((resolve) => setImmediate(resolve));
    stream.close(http2.constants.NGHTTP2_CANCEL);
  }
  assert.equal((await fetch2(session, '/whoami')).status, 200);
  session.destroy();
  const fresh = await p.h2('pusher.localhost');
  assert.equal((await fetch2(fresh, '/whoami')).status, 200);
  await close2(fresh);
});

check('five thousand cancelled pushes harm nobody else', async () => {
  const STORM = 5000, EACH = 20, SESSIONS = 5;
  let cancelled = 0, bystanders = 0;
  const failures = [];
  const storm = async (number) => {
    let session = await p.h2('pusher.localhost'), from = number * 1_000_000;
    const arm = () => {
      session.onPush = (stream) => {
        stream.on('error', () => {});
        stream.close(http2.constants.NGHTTP2_CANCEL);
        cancelled++;
      };
    };
    arm();
    while (cancelled < STORM) {
      if (session.closed || session.destroyed) { // turned away: come again, as such a client would
        session = await p.h2('pusher.localhost');
        arm();
      }
      const { status, error } = await fetch2(session, `/page?n=${EACH}&size=5000&from=${from}`);
      from += EACH;
      if (status !== 200 && !session.closed && !session.destroyed) failures.push(`storm: ${status} ${error?.message}`);
    }
    session.destroy();
  };
  const bystander = async (enablePush) => {
    const session = await p.h2('pusher.localhost', { settings: { enablePush } });
    while (cancelled < STORM) {
      const { status, body, error, rstCode } = await fetch2(session, '/bytes?n=20000');
      if (status !== 200 || rstCode !== 0 || sha256(body) !== patternHash(20000)) failures.push(`bystander: ${status} ${rstCode} ${error?.message}`);
      else bystanders++;
    }
    await close2(session);
  };
  await Promise.all([...Array.from({ length: SESSIONS }, (_, i) => storm(i + 1)), bystander(false), bystander(true), bystander(false)]);
  assert.deepEqual(failures.slice(0, 5), []);
  assert.ok(bystanders > 20, `only ${bystanders} requests of others`);
}, 60);

check('nghttp sees the promise before the answer', async () => {
  const url = `http://127.0.0.1:${p.ports.http}/page?n=2`;
  const { stdout } = await run('nghttp', ['-nv', '--no-dep', '-H', `:authority: ${p.authority('pusher.localhost', 'http')}`, url]);
  const promise = stdout.indexOf('recv PUSH_PROMISE'), answer = stdout.search(/recv \(stream_id=1\) :status: 200/);
  assert.ok(promise >= 0, stdout);
  assert.ok(answer > promise, 'the response came first');
  assert.match(stdout, /:path: \/part\?i=0/);
});

check('every promise is accounted for', async () => {
  const { body } = await p.admin('/metrics');
  const text = String(body);
  assert.match(text, /^portico_\w*push\w*\{/m);
  for (const reason of ['authority', 'client-disabled', 'protocol', 'duplicate']) {
    const line = text.split('\n').find((l) => l.includes(`reason="${reason}"`) && l.includes('app="pusher"'));
    assert.ok(line && Number(line.split(' ').pop()) > 0, `no promise is counted as ${reason}`);
  }
});

check('ends clean', () => p.stop());
