// SPDX-License-Identifier: Apache-2.0
// Link: rel=preload becomes a push for who takes it and stays a hint for who does not; 103 goes through.
import assert from 'node:assert/strict';
import { Portico, check, close2, collectPushes, fetch2, worker } from './lib.mjs';

let p;
const link = (...values) => `/link?${values.map((v) => `v=${encodeURIComponent(v)}`).join('&')}`;
const hints = (...values) => `/hints?${values.map((v) => `v=${encodeURIComponent(v)}`).join('&')}`;
const asset = (name, more = '') => `</asset?name=${name}>; rel=preload; as=style${more}`;

check('starts', async () => {
  p = await Portico.start({
    apps: {
      one: worker('h1', 'one.localhost', { instances: 2, push: 'always' }),
      two: worker('h2c', 'two.localhost', { push: 'always' }),
      off: worker('h1', 'off.localhost', { push: 'off' }),
    },
  });
}, 60);

async function paths(session, where, headers = {}) {
  const pushes = collectPushes(session);
  const answer = await fetch2(session, where, { headers });
  assert.equal(answer.status, 200);
  const got = await Promise.all(pushes);
  return { answer, got, paths: got.map(({ promise }) => promise[':path']).sort() };
}

for (const app of ['one', 'two']) {
  const host = `${app}.localhost`;

  check(`${app}: a preload in the response is pushed, with the octets of a plain GET`, async () => {
    const session = await p.h2(host);
    const { got, answer } = await paths(session, link(asset('a'), asset('b')));
    assert.deepEqual(got.map(({ promise }) => promise[':path']).sort(), ['/asset?name=a', '/asset?name=b']);
    for (const { promise, status, body, headers } of got) {
      assert.equal(status, 200);
      assert.equal(headers['content-type'], 'text/css');
      assert.equal(String(body), String((await p.h1(host, promise[':path'])).body));
    }
    assert.match(String([answer.headers.link]), /asset\?name=a/);
    await close2(session);
  });

  check(`${app}: the request for it names nobody`, async () => {
    const session = await p.h2(host);
    const { got } = await paths(session, link(asset('c')), {
      cookie: 'secret=1', authorization: 'Bearer secret', 'accept-encoding': 'br', 'accept-language': 'de', 'user-agent': 'e2e',
    });
    const asked = JSON.parse(got[0].headers['x-asked-with']);
    assert.doesNotMatch(JSON.stringify(asked), /secret/);
    assert.equal(asked['accept-encoding'], 'br');
    assert.equal(asked['accept-language'], 'de');
    await close2(session);
  });

  check(`${app}: nopush, other origins, other relations and nonsense are not pushed`, async () => {
    const session = await p.h2(host);
    const { paths: got, answer } = await paths(session, link(
      asset('d', '; nopush'), '<https://www.example.com/x.css>; rel=preload; as=style', '</asset?name=e>; rel=prefetch',
      `<https://${p.authority('off.localhost')}/asset?name=f>; rel=preload; as=style`, '<', '</asset?name=g>', '; rel=preload', asset('h')));
    assert.deepEqual(got, ['/asset?name=h']);
    assert.match(String([answer.headers.link]), /name=d/);
    await close2(session);
  });

  check(`${app}: relative references`, async () => {
    const session = await p.h2(host);
    const { paths: got } = await paths(session, link('<asset?name=i>; rel=preload; as=style', '<./x/../asset?name=j>; rel="preload"; as=style',
      `<${'https'}://${p.authority(host)}/asset?name=k>; rel=preload; as=style`));
    assert.deepEqual(got, ['/asset?name=i', '/asset?name=j', '/asset?name=k']);
    await close2(session);
  });

  check(`${app}: 103 reaches an HTTP/2 client, and its preload is pushed`, async () => {
    const session = await p.h2(host);
    const { answer, paths: got } = await paths(session, hints(asset('l')));
    assert.deepEqual(got, ['/asset?name=l']);
    assert.equal(answer.informational.length, 1);
    assert.equal(answer.informational[0][':status'], 103);
    assert.match(String(answer.informational[0].link), /name=l/);
    assert.equal(String(answer.body), 'after the hints\n');
    await close2(session);
  });

  check(`${app}: 103 reaches a client that turned push off`, async () => {
    const session = await p.h2(host, { settings: { enablePush: false } });
    const { answer, paths: got } = await paths(session, hints(asset('m')));
    assert.deepEqual(got, []);
    assert.equal(answer.informational[0][':status'], 103);
    assert.match(String(answer.informational[0].link), /name=m/);
    await close2(session);
  });

  check(`${app}: 103 does not confuse an HTTP/1.1 client`, async () => {
    const { status, body, informational } = await p.h1(host, hints(asset('n')));
    assert.equal(status, 200);
    assert.equal(String(body), 'after the hints\n');
    assert.deepEqual(informational, []);
  });

  check(`${app}: a push of the front end's own that fails harms nothing`, async () => {
    const session = await p.h2(host);
    const { got } = await paths(session, link('</status?code=404>; rel=preload; as=style', '</nowhere>; rel=preload; as=style', asset('o')));
    const statuses = Object.fromEntries(got.map(({ status, promise }) => [promise[':path'], status]));
    assert.deepEqual(statuses, { '/status?code=404': 404, '/nowhere': 404, '/asset?name=o': 200 });
    assert.equal((await fetch2(session, '/whoami')).status, 200);
    await close2(session);
  });

  check(`${app}: a pushed answer's own Link is not followed`, async () => {
    const session = await p.h2(host);
    const { got } = await paths(session, link(`<${link(asset('p'))}>; rel=preload; as=document`));
    assert.equal(got.length, 1);
    await close2(session);
  });
}

check('push: off leaves the Link to the client', async () => {
  const session = await p.h2('off.localhost');
  const { paths: got, answer } = await paths(session, link(asset('q')));
  assert.deepEqual(got, []);
  assert.match(String(answer.headers.link), /name=q/);
  await close2(session);
});

check('a hundred preloads: bounded, and the page is whole', async () => {
  const session = await p.h2('one.localhost');
  const { got } = await paths(session, '/links?n=100');
  assert.ok(got.length > 10 && got.length <= 64, String(got.length)); // LINK_MAX_PROMISES
  for (const { status } of got) assert.equal(status, 200);
  await close2(session);
});

check('ends clean', () => p.stop());
