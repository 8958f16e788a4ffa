// SPDX-License-Identifier: Apache-2.0
// `portico push explain`: what a person reads about what was pushed with a page, and why not.
import assert from 'node:assert/strict';
import { Portico, PORTICO, check, run, worker } from './lib.mjs';

let p;
const url = (host, where, kind = 'https') => `${kind}://${p.authority(host, kind)}${where}`;
const explain = (where, ...args) => run(PORTICO, ['push', 'explain', where, '--data', p.data, ...args]);

async function explained(where, ...args) {
  const { code, stdout, stderr } = await explain(where, '-o', 'json', ...args);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

const link = (...values) => values.map((v) => `v=${encodeURIComponent(v)}`).join('&');

check('starts', async () => {
  p = await Portico.start({
    apps: {
      pusher: worker('h2c', 'pusher.localhost', { instances: 2 }),
      plain: worker('h1', 'plain.localhost'),
      quiet: worker('h2c', 'quiet.localhost', { push: 'off' }),
    },
  });
}, 60);

check('as node: each push with its octets and times', async () => {
  for (const kind of ['https', 'http']) {
    const e = await explained(url('pusher.localhost', '/page?n=3&size=70000', kind));
    assert.equal(e.protocol, 'h2');
    assert.equal(e.document.status, 200);
    assert.equal(e.document.complete, true);
    assert.equal(e.end, null);
    assert.equal(e.resources.length, 3);
    for (const r of e.resources) {
      assert.equal(r.vehicle, 'push-promise');
      assert.equal(r.status, 200);
      assert.equal(r.octets, 70000);
      assert.equal(r.complete, true);
      assert.ok(r.promisedMs <= e.document.headMs, 'promised before the response that refers to it');
      assert.ok(r.headMs <= r.firstMs && r.firstMs <= r.lastMs);
    }
    const came = {};
    for (const { url: of, octets } of e.order) came[of] = (came[of] ?? 0) + octets;
    for (const r of [e.document, ...e.resources]) assert.equal(came[r.url], r.octets);
  }
});

check('as browser: nothing is pushed, and what is hinted is asked for', async () => {
  const hints = `/hints?ms=1&${link('</part?i=1&size=500>; rel=preload; as=style', '</part?i=2&size=90000>; rel=preload; as=script')}`;
  const e = await explained(url('pusher.localhost', hints), '--as', 'browser');
  assert.deepEqual(e.informational.map(({ status }) => status), [103]);
  assert.deepEqual(e.resources.map((r) => [r.url, r.status, r.octets, r.complete]), [
    ['/part?i=1&size=500', 200, 500, true], ['/part?i=2&size=90000', 200, 90000, true],
  ]);
  for (const r of e.resources) assert.ok(r.promisedMs <= r.askedMs && r.askedMs <= r.headMs);
});

check('as http1: a Link is seen, and that is all', async () => {
  const e = await explained(url('plain.localhost', `/link?${link('</asset?name=a>; rel=preload; as=style')}`), '--as', 'http1');
  assert.equal(e.protocol, 'http/1.1');
  assert.deepEqual(e.resources.map((r) => [r.url, r.status]), [['/asset?name=a', null]]);
});

check('a table for people, and advice', async () => {
  const { code, stdout } = await explain(url('pusher.localhost', '/page?n=2&size=900'));
  assert.equal(code, 0);
  assert.match(stdout, /as node over HTTP\/2: status 200/);
  assert.match(stdout, /^RESOURCE +SOURCE +VEHICLE +REASON +OCTETS +PROMISED +FIRST +LAST$/m);
  assert.match(stdout, /^\/part\?i=0&size=900 .* push-promise .* 900 +\d+\.\d +\d+\.\d +\d+\.\d$/m);
  assert.match(stdout, /Octets came as:/);
  assert.match(stdout, /\/part\?i=1&size=900: with 900 octets it costs less inside the page/);
});

check('what is wrong has an exit status and a reason', async () => {
  for (const [args, code, reason] of [
    [['explain'], 2, /argument is missing: URL/],
    [['explain', 'pusher.localhost'], 2, /begins with https/],
    [['explain', 'https:///'], 2, /no host/],
    [['explain', 'https://a@b/'], 2, /no host/],
    [['explain', url('pusher.localhost', '/ä')], 2, /must be encoded/],
    [['explain', url('pusher.localhost', '/'), '--as', 'lynx'], 2, /node, browser or http1/],
    [['explain', url('pusher.localhost', '/'), '-o', 'xml'], 2, /json/],
    [['explain', url('pusher.localhost', '/'), '--cacert', '/nonexistent'], 1, /unable to get|self[- ]signed/],
    [['explain', 'http://127.0.0.1:1/'], 1, /cannot connect.*refused/],
    [['prove', 'it'], 2, /explain and stats/],
    [[], 2, /explain or stats/],
  ]) {
    const { code: got, stderr } = await run(PORTICO, ['push', ...args, '--data', p.data]);
    assert.equal(got, code, `${args}: ${stderr}`);
    assert.match(stderr, reason);
  }
  assert.match((await run(PORTICO, ['help', 'push'])).stdout, /portico push explain URL/);
});

check('ends clean', () => p.stop());
