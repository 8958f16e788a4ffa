// SPDX-License-Identifier: Apache-2.0
// Push and early hints between real programs, with the policy auto that an app has by default: workers
// in Node, Python, Go and Java; as clients Node, nghttp, python-h2, Java's HttpClient and curl.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import {
  PORTICO, Portico, ROOT, WORKERS, check, close2, collectPushes, fetch2, hasProgram, run, scratch, until, worker,
} from './lib.mjs';
import { promisedOf, recorder, runs } from './recorder.mjs';
import { END_STREAM, TYPE, h2Client, head, request, settings, windowUpdate } from './workers/frames.mjs';

const CLIENTS = path.join(ROOT, 'tests/e2e/clients');
const PYTHON = '/usr/bin/python3'; // Debian's, whatever else is first on PATH
const NAVIGATION = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
const PARTS = [0, 1, 2].map((i) => `/part?i=${i}&size=1000`);
const link = (...values) => values.map((v) => `v=${encodeURIComponent(v)}`).join('&');

// ---- what is here, and why the rest is not ----

const goes = async (file, ...args) => (await run(file, args)).code === 0;
const python = (module, package_) => goes(PYTHON, '-c', `import ${module}`).then((here) => !here && `${package_} is not installed`);
const absent = {
  node: false,
  nghttp: !hasProgram('nghttp') && 'nghttp is not installed',
  curl: !hasProgram('curl') && 'curl is not installed',
  java: !/jdk\.compiler/.test((await run('java', ['--list-modules'])).stdout) && 'no java that runs source files (default-jdk-headless)',
  python: await python('h2', 'python3-h2'),
  hypercorn: await python('hypercorn', 'python3-hypercorn'),
};
const TOMCAT = '/usr/share/java/tomcat10-embed-core.jar';
absent.tomcat = absent.java || (!fs.existsSync(TOMCAT) && 'libtomcat10-embed-java is not installed');
const goDirectory = scratch();
absent.go = (await run('go', ['build', '-o', path.join(goDirectory, 'pusher'), path.join(WORKERS, 'pusher.go')], {
  env: { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: path.join(scratch(), 'cache'), GOFLAGS: '' },
})).code !== 0 && 'the worker in Go cannot be built (golang-go, golang-golang-x-net-dev)';

const with_ = (...programs) => ({ timeout: 240_000, skip: programs.map((name) => absent[name]).find(Boolean) || false });
const languages = ['node', 'python', 'hypercorn', 'go', 'tomcat'];

let p;

check('starts', async () => {
  const h2c = (directory, command, host) => ({ directory, command, hosts: [host], http20ProxyFlag: 1 });
  const apps = {
    node: worker('h2c', 'node.localhost'),
    python: h2c(WORKERS, `${PYTHON} pusher.py`, 'python.localhost'),
    hypercorn: h2c(WORKERS, `${PYTHON} -m hypercorn --bind unix:$PORTICO_SOCKET asgi:app`, 'hypercorn.localhost'),
    go: h2c(goDirectory, './pusher', 'go.localhost'),
    tomcat: h2c(WORKERS, `java -cp ${TOMCAT} Pusher.java`, 'tomcat.localhost'),
    always: worker('h2c', 'always.localhost', { push: 'always' }),
    woven: worker('h1', 'woven.localhost', { push: { policy: 'always', interleave: '3000' } }),
  };
  for (const language of languages) if (absent[language]) delete apps[language];
  p = await Portico.start({ loops: 1, apps });
}, 60);

// ---- clients ----

const url = (host, where, kind = 'https') => `${kind}://${p.authority(host, kind)}${where}`;

async function lines(file, args) {
  const { code, stdout, stderr } = await run(file, args);
  assert.equal(code, 0, stderr);
  return stdout.trim().split('\n').map((line) => JSON.parse(line));
}

const pythonClient = (...args) => lines(PYTHON, [path.join(CLIENTS, 'pushed.py'), String(p.ports.https), p.caFile, ...args]);

function javaClient(...urls) {
  const hosts = path.join(scratch(), 'hosts');
  fs.writeFileSync(hosts, `127.0.0.1 ${urls.map((u) => new URL(u).hostname).join(' ')}\n`);
  return lines('java', [`-Djdk.net.hosts.file=${hosts}`, path.join(CLIENTS, 'Pushed.java'), p.caFile, ...urls]);
}

/** What nghttp received, in order: {type, stream, promised}; and the fields of each stream. */
async function nghttp(host, where) {
  const { stdout, code } = await run('nghttp', ['-nv', '--no-dep', '--no-verify-peer', '-H', `:authority: ${p.authority(host)}`,
    `https://127.0.0.1:${p.ports.https}${where}`]);
  assert.equal(code, 0, stdout);
  const frames = [], fields = {};
  for (const line of stdout.replace(/\x1b\[[0-9;]*m/g, '').split('\n')) {
    const [, type, stream] = /recv (\w+) frame <.*stream_id=(\d+)>/.exec(line) ?? [];
    if (type) frames.push({ type, stream: Number(stream) });
    const [, promised] = /promised_stream_id=(\d+)/.exec(line) ?? [];
    if (promised) frames.at(-1).promised = Number(promised);
    const [, of, name, value] = /recv \(stream_id=(\d+)\) (:?[^:]+): (.*)/.exec(line) ?? [];
    if (of) ((fields[of] ??= {})[name] ??= []).push(value);
  }
  return { frames, fields };
}

const counts = async (host) => JSON.parse((await p.h1(host, '/counts')).body);

async function explained(where, ...args) {
  const { code, stdout, stderr } = await run(PORTICO, ['push', 'explain', where, '--data', p.data, '-o', 'json', ...args]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

// ---- each worker with each client ----

for (const language of languages) {
  const host = `${language}.localhost`;
  const here = (what, run, ...clients) => test(`${language}: ${what}`, with_(language, ...clients), run);

  here('Node is pushed what the worker promises, whole', async () => {
    for (const kind of ['https', 'http']) {
      const session = await p.h2(host, { kind });
      const pushes = collectPushes(session);
      const page = await fetch2(session, '/page?n=3');
      assert.deepEqual(JSON.parse(page.body), PARTS);
      const got = await Promise.all(pushes);
      assert.deepEqual(got.map(({ promise }) => promise[':path']).sort(), PARTS);
      for (const { promise, status, body } of got) {
        assert.equal(promise[':scheme'], kind);
        assert.equal(promise[':authority'], p.authority(host, kind));
        assert.equal(status, 200);
        assert.equal(body.length, 1000);
      }
      await close2(session);
    }
  });

  here('nghttp sees promises, then the head, then content', async () => {
    const { frames, fields } = await nghttp(host, '/page?n=3');
    const promises = frames.filter(({ type }) => type === 'PUSH_PROMISE');
    assert.equal(promises.length, 3);
    const at = (type, stream) => frames.findIndex((f) => f.type === type && f.stream === stream);
    const page = promises[0].stream;
    for (const f of promises) {
      assert.equal(f.stream, page);
      assert.ok(frames.indexOf(f) < at('HEADERS', page));
      assert.ok(at('HEADERS', f.promised) > frames.indexOf(f));
      assert.ok(at('DATA', f.promised) > at('HEADERS', f.promised));
    }
    assert.ok(at('HEADERS', page) < at('DATA', page));
    assert.equal(fields[page][':status'].at(-1), '200');
  }, 'nghttp');

  here('a browser is hinted, and the worker answers once', async () => {
    const before = await counts(host);
    const session = await p.h2(host, { settings: { enablePush: false } });
    const page = await fetch2(session, '/page?n=3&ms=20', { headers: NAVIGATION });
    // What a busy edge hears together with the response is said in the response.
    const hinted = [...page.informational, page.headers].map(({ link }) => String(link)).join();
    for (const where of PARTS) {
      assert.ok(hinted.includes(`<${where}>; rel=preload`), hinted);
      const { status, body } = await fetch2(session, where);
      assert.equal(status, 200);
      assert.equal(body.length, 1000);
    }
    const after = await counts(host);
    assert.equal(after.offered - before.offered, 3);
    assert.equal(after.requests - before.requests, 2, 'the page and the counts');
    await close2(session);
  });

  here('explain tells the same', async () => {
    const node = await explained(url(host, '/page?n=3'));
    assert.deepEqual(node.resources.map((r) => [r.url, r.source, r.vehicle, r.reason, r.octets]), PARTS.map((where) => [where, 'worker', 'push-promise', 'ok', 1000]));
    const browser = await explained(url(host, '/page?n=3&ms=20'), '--as', 'browser');
    assert.deepEqual(browser.resources.map((r) => [r.url, r.vehicle, r.reason]), PARTS.map((where) => [where, 'parked', 'client-disabled']));
  });

  if (language === 'hypercorn') continue; // Debian's knows no early hints
  here('its 103 reaches Node, and is followed by the response', async () => {
    for (const enablePush of [true, false]) {
      const session = await p.h2(host, { settings: { enablePush } });
      const page = await fetch2(session, `/hints?${link('</part?i=h&size=10>; rel=preload; as=style')}`);
      assert.deepEqual(page.informational.map((head) => [head[':status'], head.link]), [[103, '</part?i=h&size=10>; rel=preload; as=style']]);
      assert.equal(String(page.body), 'after the hints\n');
      await close2(session);
    }
  });
}

const here = languages.filter((language) => !absent[language]);
const hinting = here.filter((language) => language !== 'hypercorn');

test('python-h2 is pushed by each worker, and hinted', with_('python'), async () => {
  for (const { happened, octets } of await pythonClient(...here.map((language) => url(`${language}.localhost`, '/page?n=3')))) {
    const position = (what, where) => happened.findIndex(([w, of]) => w === what && of === where);
    for (const where of PARTS) {
      assert.equal(octets[where], 1000);
      assert.ok(position('promise', where) < position('head', '/page?n=3'));
    }
    assert.ok(octets['/page?n=3'] > 0);
  }
  const hints = `/hints?${link('</part?i=p&size=10>; rel=preload; as=style')}`;
  for (const { happened } of await pythonClient(...hinting.map((language) => url(`${language}.localhost`, hints)))) {
    assert.deepEqual(happened.filter(([what]) => what === '103'), [['103', '</part?i=p&size=10>; rel=preload; as=style']]);
  }
});

test("Java's HttpClient is pushed by each worker, and a 103 does it no harm", with_('java'), async () => {
  const hints = `/hints?ms=5&${link('</part?i=j&size=10>; rel=preload; as=style')}`;
  const got = await javaClient(...here.map((language) => url(`${language}.localhost`, '/page?n=3')),
    ...hinting.map((language) => url(`${language}.localhost`, hints)));
  for (const [i, language] of here.entries()) {
    const { version, status, pushed } = got[i];
    assert.equal(version, 'HTTP_2');
    assert.equal(status, 200);
    assert.deepEqual(pushed, Object.fromEntries(PARTS.map((where) => [`GET ${url(`${language}.localhost`, where)}`, 1000])));
  }
  for (const { status, octets } of got.slice(here.length)) {
    assert.equal(status, 200);
    assert.equal(octets, 'after the hints\n'.length);
  }
});

test('curl gets the document of each worker', with_('curl'), async () => {
  for (const language of here) {
    for (const [kind, how] of [['https', '--http2'], ['https', '--http1.1'], ['http', '--http2-prior-knowledge']]) {
      const { code, stdout } = await p.curl(kind, `${language}.localhost`, '/page?n=3', how);
      assert.equal(code, 0);
      assert.deepEqual(JSON.parse(stdout), PARTS);
    }
  }
});

// ---- order ----

/** What comes of a page when the connection's window is used up until all of it waits at edge: then
 * the order is edge's alone.  Gives DATA frames by path, neighbours added up. */
async function inOrder(host, where, promises) {
  const authority = p.authority(host, 'http');
  const client = await h2Client(p.ports.http, { first: settings({ 4: 1 << 20 }) });
  client.send(head(1, request(authority, '/bytes?n=65535'), true));
  const used = () => client.frames.filter(({ type }) => type === TYPE.DATA).reduce((sum, { payload }) => sum + payload.length, 0);
  await until('the window is used up', () => used() === 65535);
  client.send(head(3, request(authority, where), true));
  const of = (type) => client.frames.filter((f) => f.type === type);
  await until('all responses have begun', () => of(TYPE.PUSH).length === promises && of(TYPE.HEADERS).length === promises + 2);
  const from = client.frames.length;
  client.send(windowUpdate(0, 1 << 20));
  const ended = () => of(TYPE.DATA).filter(({ flags }) => flags & END_STREAM).length;
  await until('all is there', () => ended() === promises + 2);
  client.socket.destroy();
  return runs(client.frames.slice(from));
}

check("a worker's own Priority decides: before the document, or behind it", async () => {
  const where = `/page?n=2&size=2000&priority=${encodeURIComponent('u=6')}&priority=${encodeURIComponent('u=0')}`;
  assert.deepEqual((await inOrder('always.localhost', where, 2)).map(([stream]) => stream), [4, 3, 2]);
});

check('what is critical is woven into the document once its size is known, the rest comes behind', async () => {
  const where = `/link?n=10000&${link('</asset?name=i&n=5000>; rel=preload; as=image', '</asset?name=s&n=6000>; rel=preload; as=style; critical')}`;
  assert.deepEqual(await inOrder('woven.localhost', where, 2), [[3, 10000], [4, 6000], [2, 5000]]);
  assert.deepEqual(await inOrder('woven.localhost', where, 2), [[3, 3000], [4, 6000], [3, 7000], [2, 5000]]);
});

check('what explain says of the order was the order on the wire', async () => {
  const recorded = await recorder(p.ports.http);
  for (const [host, where] of [['always.localhost', '/page?n=3&size=70000'],
    ['woven.localhost', `/link?n=300000&${link('</asset?name=t&n=60000>; rel=preload; as=style; critical', '</asset?name=j&n=50000>; rel=preload; as=image')}`]]) {
    recorded.frames.length = 0;
    const told = await explained(`http://${host}:${recorded.port}${where}`);
    const promises = recorded.frames.filter(({ type }) => type === TYPE.PUSH);
    const urls = new Map([[promises[0].id, told.document.url]]);
    for (const [i, f] of promises.entries()) urls.set(promisedOf(f), told.resources[i].url);
    assert.deepEqual(told.order.map(({ url, octets }) => [url, octets]), runs(recorded.frames).map(([id, octets]) => [urls.get(id), octets]));
    for (const { url, promisedMs } of told.resources) assert.ok(promisedMs <= told.document.headMs, url);
  }
  await recorded.close();
});

test('python-h2 cancels one push: the others and the page are whole', with_('python'), async () => {
  const refused = () => p.metric('portico_push_fates_total', { app: 'always', fate: 'refused' });
  const before = await refused();
  const [{ happened, octets }] = await pythonClient('--reset', '2', url('always.localhost', '/page?n=3&size=100000'));
  const [first, second, third] = [0, 1, 2].map((i) => `/part?i=${i}&size=100000`);
  assert.ok(happened.some(([what, where]) => what === 'cancelled' && where === second));
  assert.deepEqual([octets[first], octets[third]], [100000, 100000]);
  assert.ok((octets[second] ?? 0) < 100000);
  assert.ok(octets['/page?n=3&size=100000'] > 0);
  await until('it is counted', async () => await refused() === before + 1);
});

test('python-h2 says by PRIORITY_UPDATE what comes first', with_('python'), async () => {
  const [{ happened, octets }] = await pythonClient('--urgent', '2', url('always.localhost', '/page?n=2&size=100000'));
  const at = happened.findIndex(([what]) => what === 'urgent');
  assert.ok(at > 0);
  const data = (some) => some.filter(([what]) => what === 'data').map(([, where]) => where);
  assert.equal(data(happened.slice(0, at)).at(-1), '/part?i=0&size=100000');
  assert.equal(data(happened.slice(at))[0], '/part?i=1&size=100000');
  for (const i of [0, 1]) assert.equal(octets[`/part?i=${i}&size=100000`], 100000);
});

check('ends clean', () => p.stop());
