// SPDX-License-Identifier: Apache-2.0
// `portico push explain`: what a person reads about what was pushed with a page, and why not.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http2 from 'node:http2';
import path from 'node:path';
import test from 'node:test';
import { Portico, PORTICO, ask, check, close2, collectPushes, fetch2, run, scratch, until, worker } from './lib.mjs';

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
      pusher: worker('h2c', 'pusher.localhost', { instances: 2, push: 'always' }),
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
    assert.equal(e.traced, true);
    assert.equal(e.unknown, null);
    for (const r of e.resources) {
      assert.equal(r.source, 'worker');
      assert.equal(r.vehicle, 'push-promise');
      assert.equal(r.reason, 'ok');
      assert.ok(r.reasonText.length > 10);
      assert.ok(r.decidedMs <= r.promisedMs);
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

check('why something was not pushed', async () => {
  const reasons = async (where, ...args) => {
    const e = await explained(where, ...args);
    assert.equal(e.unknown, null);
    return e.resources.map((r) => [r.url, r.source, r.reason]);
  };
  assert.deepEqual(await reasons(url('pusher.localhost', '/page?n=1'), '--as', 'browser'), [['/part?i=0&size=1000', 'worker', 'client-disabled']]);
  assert.deepEqual(await reasons(url('pusher.localhost', '/page?n=1&authority=plain.localhost')), [
    [`https://plain.localhost/part?i=0&size=1000`, 'worker', 'authority'],
  ]);
  assert.deepEqual(await reasons(url('plain.localhost', `/link?${link('</asset?name=a>; rel=preload; as=style; nopush')}`)), [
    ['/asset?name=a', 'link', 'nopush'],
  ]);
  const { stdout } = await explain(url('pusher.localhost', '/page?n=2'), '--as', 'browser');
  assert.equal(stdout.split('SETTINGS_ENABLE_PUSH=0').length, 2, 'one sentence a reason');
});

check('over HTTP/1.1 the reasons of a worker\'s promises are told, too', async () => {
  const e = await explained(url('pusher.localhost', '/page?n=2'), '--as', 'http1');
  assert.equal(e.protocol, 'http/1.1');
  assert.deepEqual(e.resources.map((r) => r.reason), ['protocol', 'protocol']);
});

check('what is decided after the response has begun comes behind its content', async () => {
  const many = 3;
  for (const as of ['node', 'http1']) {
    const e = await explained(url('pusher.localhost', `/late?n=${many}`), '--as', as);
    assert.equal(e.unknown, null);
    assert.equal(e.document.complete, true);
    assert.deepEqual(e.resources.map((r) => r.reason), Array(many).fill(as === 'node' ? 'ok' : 'protocol'));
    const measured = await explained(url('pusher.localhost', `/late?n=${many}&length=1`), '--as', as);
    assert.equal(measured.document.octets, 11);
    assert.equal(measured.document.complete, true);
    // Content-Length leaves no place for it in HTTP/1.1.
    assert.equal(measured.resources.length, as === 'node' ? many : 0);
  }
});

const local = (where) => ask({ host: 'localhost', port: 80, path: where, socketPath: path.join(p.data, 'admin.sock') });
const tokenOf = async () => JSON.parse((await local('/push/token')).body).token;

check('the token: from admin.sock alone, another life of control has another', async () => {
  const token = await tokenOf();
  assert.match(token, /^[0-9a-f]{64}$/);
  assert.equal(await tokenOf(), token);
  assert.equal((await p.admin('/push/token')).status, 403);
  process.kill(p.role('control'), 'SIGKILL');
  const fresh = await until('there is another', async () => {
    const found = await tokenOf();
    return found !== token && found;
  });
  const traced = async (with_) => {
    const session = await p.h2('pusher.localhost');
    const pushes = collectPushes(session);
    const { headers } = await fetch2(session, '/page?n=1', { headers: { 'portico-push-token': with_ } });
    await Promise.all(pushes);
    await close2(session);
    return headers['portico-push'];
  };
  assert.match(await until('edge knows it', () => traced(fresh)), /^"\/part\?i=0&size=1000";source=worker;vehicle=push-promise;reason=ok;(octets=1000;)?t=\d+\.\d{3}$/);
  assert.equal(await traced(token), undefined);
}, 60);

check('a wrong token is no token, and no token leaves edge', async () => {
  const token = await tokenOf();
  const session = await p.h2('pusher.localhost');
  const pushes = collectPushes(session);
  for (const wrong of ['', 'a', 'f'.repeat(64), token.slice(1), `${token}0`, token.toUpperCase().replace(/^/, 'G')]) {
    const { status, headers, trailers } = await fetch2(session, '/page?n=1', { headers: { 'portico-push-token': wrong } });
    assert.equal(status, 200);
    assert.equal(headers['portico-push'], undefined);
    assert.equal(trailers, undefined);
  }
  for (const sent of [token, 'f'.repeat(64)]) {
    for (const name of ['portico-push-token', 'portico_push_token', 'Portico-Push-Token']) {
      const h2 = JSON.parse((await fetch2(session, '/echo', { headers: { [name.toLowerCase()]: sent } })).body);
      const h1 = JSON.parse((await p.h1('plain.localhost', '/echo', { headers: { [name]: sent } })).body);
      for (const { headers } of [h1, h2]) assert.doesNotMatch(JSON.stringify(headers), new RegExp(`${sent}|portico.push`, 'i'));
    }
  }
  await Promise.all(pushes);
  await close2(session);
  assert.ok(p.lines.length > 20);
  for (const line of p.lines) assert.ok(!line.includes(token), line);
});

check('a worker cannot tell the operator tales', async () => {
  const session = await p.h2('pusher.localhost', { settings: { enablePush: false } });
  const { headers, trailers } = await fetch2(session, '/tales');
  assert.equal(headers['portico-push'], undefined);
  assert.equal(trailers?.['portico-push'], undefined);
  await close2(session);
});

test('who may not use admin.sock sees what came, and is told why that is all', { skip: process.getuid() !== 0 && 'needs root', timeout: 240_000 }, async () => {
  const program = path.join(scratch(), 'portico');
  fs.copyFileSync(PORTICO, program);
  const other = (...args) => run(program, ['push', ...args, '--data', p.data], { uid: 65534, gid: 65534 });
  const { code, stdout, stderr } = await other('explain', url('pusher.localhost', '/page?n=1', 'http'));
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^\/part\?i=0&size=1000 +- +push-promise +- +1000 /m);
  assert.match(stdout, /The reasons are not known: cannot reach .*admin\.sock: Permission denied.*operator's rights/);
  const stats = await other('stats');
  assert.equal(stats.code, 2);
  assert.match(stats.stderr, /cannot reach .*admin\.sock: Permission denied/);
});

check('the token goes to no other server', async () => {
  const another = await Portico.start({ apps: { pusher: worker('h2c', 'pusher.localhost', { push: 'always' }) } });
  const e = await explained(`http://${another.authority('pusher.localhost', 'http')}/page?n=1`);
  assert.equal(e.traced, false);
  assert.match(e.unknown, /does not lead to a listener/);
  await another.stop();
}, 60);

check('octets of a promised path neither move the cursor nor hide the promise', async () => {
  const server = http2.createServer().on('stream', (stream) => {
    for (const name of ['/\u00c2\u009b2J', '/\u00ff']) // octets: CSI as UTF-8 writes it, and no UTF-8
      stream.pushStream({ ':path': name }, (error, pushed) => { pushed.respond(); pushed.end('x'); });
    stream.respond();
    stream.end('page');
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const where = `http://127.0.0.1:${server.address().port}/`;
  const { code, stdout, stderr } = await explain(where);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /Octets came as:.* \/\?\?2J 1/);
  assert.doesNotMatch(stdout, /\u009b/);
  const e = await explained(where);
  assert.deepEqual(e.resources.map((r) => [r.url, r.status]).sort(), [['/?', 200], ['/\u009b2J', 200]]);
  assert.equal(e.order.length, 3);
  await new Promise((resolve) => server.close(resolve));
});

check('stats: totals, reasons, clients and the resources behind them', async () => {
  const stats = async (...args) => {
    const { code, stdout, stderr } = await run(PORTICO, ['push', 'stats', '--data', p.data, ...args]);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  const read = async () => JSON.parse(await stats('pusher', '-o', 'json'));
  const of = (s, where) => s.resources.find(({ path: found }) => found === where) ?? { pushed: 0, fates: {}, octetsSent: 0, octetsWasted: 0 };
  const before = await read();
  const session = await p.h2('pusher.localhost');
  const pushes = collectPushes(session);
  await fetch2(session, '/page?n=4&size=500', { headers: { 'user-agent': 'curl/8.0' } });
  await Promise.all(pushes);
  session.onPush = (stream) => {
    stream.on('error', () => {});
    stream.close(8); // CANCEL
  };
  await fetch2(session, '/page?n=2&size=900000&from=90');
  await close2(session);
  const after = await until('all six are counted', async () => {
    const now = await read();
    const sum = (s) => s.fates.completed + s.fates.refused;
    return sum(now) === sum(before) + 6 && now;
  });
  assert.equal(after.promises.worker - before.promises.worker, 6);
  assert.equal(after.vehicles['push-promise'] - before.vehicles['push-promise'], 6);
  assert.equal(after.fates.refused - before.fates.refused, 2);
  assert.equal(Object.values(after.clients).reduce((n, fates) => n + (fates.completed ?? 0), 0), after.fates.completed);
  assert.equal(after.reasons.find(({ reason }) => reason === 'ok').count, after.vehicles['push-promise']);
  assert.ok(after.octetsWasted >= before.octetsWasted);
  const [was, is] = [before, after].map((s) => of(s, '/part'));
  assert.equal(is.pushed - was.pushed, 6);
  assert.equal(is.octetsSent - was.octetsSent, after.octetsSent - before.octetsSent);
  assert.equal(is.fates.refused - (was.fates.refused ?? 0), 2);

  const one = await stats('pusher');
  assert.match(one, /^RESOURCE +PUSHED +COMPLETED +REFUSED +REPEATED +OCTETS +WASTED +LAST REASON$/m);
  assert.match(one, new RegExp(`^/part +${is.pushed} `, 'm'));
  assert.match(one, /client-disabled: The client sent SETTINGS_ENABLE_PUSH=0\./);
  assert.match(await stats(), /^APP +PROMISES +PUSHED /m);
  assert.match(await stats(), /^quiet +0 +0 /m);
  assert.equal(JSON.parse(await stats('-o', 'json')).apps.length, 3);
  assert.equal((await p.admin('/push')).status, 403);
  assert.equal((await p.admin('/apps/pusher/push')).status, 403);
  assert.equal(await p.metric('portico_push_vehicles_total', { app: 'pusher', vehicle: 'push-promise' }), after.vehicles['push-promise']);
  for (const label of ['client', 'vehicle']) {
    assert.equal(await p.metric(`portico_push_${label}_fates_total`, { app: 'pusher', fate: 'completed' }), after.fates.completed);
  }
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
    [['stats', 'nobody'], 2, /No app is named/],
    [['stats', '../x'], 2, /no app can be named/],
    [['stats', '--as', 'node'], 2, /unexpected option/],
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
