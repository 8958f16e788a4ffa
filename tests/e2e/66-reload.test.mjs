// SPDX-License-Identifier: Apache-2.0
// The manifest changes while everything runs: SIGHUP, `portico reload`, rolling changes.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import test from 'node:test';
import { PORTICO, Portico, check, isAlive, run, scratch, until, worker } from './lib.mjs';

let p, manifest;
const names = ['one', 'two', 'three'];

/** Changes the manifest's file; a change comes as a new file in its place, as editors do. */
function edit(change) {
  manifest = JSON.parse(fs.readFileSync(p.manifest, 'utf8'));
  change(manifest);
  write(JSON.stringify(manifest, null, 1));
}

function write(text) {
  fs.writeFileSync(`${p.manifest}.new`, text);
  fs.renameSync(`${p.manifest}.new`, p.manifest);
}

/** SIGHUP, and the line that tells how it went. */
async function hup(pattern = /control\.reload/) {
  const from = p.lines.length;
  p.kill('SIGHUP');
  return p.line(pattern, { from });
}

const cli = (...args) => run(PORTICO, [...args, '--data', p.data]);
const pids = async (name) => (await p.states())[name].filter(({ inRoutes }) => inRoutes).map(({ pid }) => pid).sort();
const settled = (name, count = 2) => until(`${name} is settled`, async () => {
  const { apps } = JSON.parse((await p.admin('/apps')).body);
  const app = apps.find((a) => a.name === name);
  return app && app.change === null && app.instances.length === count && app.instances.every(({ state }) => state === 'READY');
});

/** Clients that never rest: {failures, versions, count}; each waits for its answer before it asks again. */
function load(hosts, { clients = 2, ms = 0 } = {}) {
  const seen = { failures: [], versions: new Map(), count: 0, running: true };
  const agent = new http.Agent({ keepAlive: true });
  const one = async (host) => {
    while (seen.running && p.code === undefined) {
      try {
        const { status, body } = await p.h1(host, `/?ms=${ms}`, { kind: 'http', agent });
        if (status !== 200) seen.failures.push(`${host}: ${status} ${body}`);
        else {
          const { version, app } = JSON.parse(body);
          const key = `${app} ${version}`;
          seen.versions.set(key, (seen.versions.get(key) ?? 0) + 1);
        }
      } catch (error) {
        seen.failures.push(`${host}: ${error.message}`);
      }
      seen.count++;
    }
  };
  const all = hosts.flatMap((host) => Array.from({ length: clients }, () => one(host)));
  seen.stop = async () => {
    seen.running = false;
    await Promise.all(all);
    agent.destroy();
    assert.deepEqual(seen.failures, []);
    return seen;
  };
  return seen;
}

check('starts', async () => {
  p = await Portico.start({
    accessLog: 'off',
    apps: Object.fromEntries(names.map((name) => [name, worker('version', `${name}.localhost`, { instances: 2, env: { VERSION: '1' } })])),
  });
}, 60);

check('SIGHUP twenty times disturbs nothing: no request fails, the same processes, the same connection', async () => {
  const before = await Promise.all(names.map(pids));
  const session = await p.h2('one.localhost');
  const clients = load(names.map((name) => `${name}.localhost`));
  for (let i = 1; i <= 20; i++) {
    await hup();
    await until('clients go on', () => clients.count > i * 25);
  }
  const { count } = await clients.stop();
  assert.ok(count >= 500, `only ${count} requests`);
  assert.deepEqual(await Promise.all(names.map(pids)), before);
  assert.equal(session.closed || session.destroyed, false);
  await new Promise((resolve) => session.close(resolve));
}, 60);

check('a rolling change with a slow start: no request fails, and the old ones end only when the new ones have the routes', async () => {
  const old = await pids('two');
  const clients = load(names.map((name) => `${name}.localhost`), { ms: 20 });
  const others = await Promise.all(['one', 'three'].map(pids));
  edit(({ apps }) => {
    apps.two.env.VERSION = '2';
    apps.two.env.START_MS = '1500';
  });
  const from = p.lines.length;
  await hup();
  await until('a new one starts beside them', async () => (await p.states()).two.length === 4);
  assert.deepEqual(await pids('two'), old, 'the old ones have the routes');
  await p.line(/app\.changed app=two/, { from });
  await settled('two');
  await until('the old ones have ended', () => old.every((pid) => !isAlive(pid)) && p.lines.slice(from).filter((line) => /worker\.exit app=two /.test(line)).length >= 2);
  await until('the new ones have answered', () => clients.versions.get('two 2') > 10);
  const seen = await clients.stop();
  assert.ok(seen.versions.get('two 1') > 10, JSON.stringify([...seen.versions]));
  assert.deepEqual(await Promise.all(['one', 'three'].map(pids)), others);
  const lines = p.lines.slice(from).filter((line) => /app=two/.test(line));
  const changed = lines.findIndex((line) => /app\.changed/.test(line));
  const exits = lines.flatMap((line, at) => (/worker\.exit/.test(line) ? [at] : []));
  assert.equal(exits.length, 2, lines.join('\n'));
  assert.ok(exits.every((at) => at > changed), lines.join('\n'));
}, 60);

check('a bad file changes nothing and says where', async () => {
  const before = await Promise.all(names.map(pids));
  const good = fs.readFileSync(p.manifest, 'utf8');
  write(good.replace('"instances": 2', '"instances": "many"'));
  const from = p.lines.length;
  await hup(/control\.reload.*nothing was changed/);
  await p.line(/portico\.yaml:\d+:\d+: apps\.one\.instances/, { from });
  const { code, stderr } = await cli('reload');
  assert.equal(code, 2, stderr);
  assert.match(stderr, /portico\.yaml:\d+:\d+: apps\.one\.instances/);
  write('{');
  assert.equal((await cli('reload')).code, 2);
  fs.unlinkSync(p.manifest);
  const missing = await cli('reload');
  assert.equal(missing.code, 2);
  assert.match(missing.stderr, /No such file/);
  write(good);
  assert.equal((await cli('reload')).code, 0);
  assert.deepEqual(await Promise.all(names.map(pids)), before);
}, 60);

check('what is held for life is refused by name', async () => {
  const good = fs.readFileSync(p.manifest, 'utf8');
  edit((m) => {
    m.listen.http = '127.0.0.1:1';
    m.loops = 1;
  });
  const { code, stderr } = await cli('reload');
  assert.equal(code, 2);
  assert.match(stderr, /listen\.http: cannot change while Portico runs/);
  assert.match(stderr, /loops: cannot change/);
  write(good);
  assert.equal((await cli('reload')).code, 0);
});

check('a new version that does not start keeps the old one, and setting it back ends the attempt', async () => {
  const old = await pids('three');
  const clients = load(['three.localhost']);
  const from = p.lines.length;
  edit(({ apps }) => {
    apps.three.env.FAIL = '1';
  });
  await hup();
  await p.line(/three does not start as it was changed; its old instances serve/, { from });
  await p.line(/this version cannot start/, { from });
  const app = JSON.parse((await p.admin('/apps/three')).body);
  assert.equal(app.change.failing, true);
  assert.deepEqual(await pids('three'), old);
  edit(({ apps }) => {
    delete apps.three.env.FAIL;
  });
  await hup();
  await settled('three');
  await clients.stop();
  assert.deepEqual(await pids('three'), old, 'those that served go on');
}, 60);

check('an added app starts, a removed one ends with its routes first', async () => {
  edit(({ apps }) => {
    apps.four = { ...apps.one, hosts: ['four.localhost'], instances: 1, env: { ...apps.one.env, VERSION: 'new' } };
  });
  await hup();
  await settled('four', 1);
  const { status, body } = await p.h1('four.localhost');
  assert.equal(status, 200);
  assert.equal(JSON.parse(body).version, 'new');
  const [pid] = await pids('four');
  const slot = JSON.parse((await p.admin('/apps/four')).body).slot;
  edit(({ apps }) => {
    delete apps.four;
  });
  const content = new PassThrough(); // the request lasts until it ends
  content.write('said');
  const late = p.h1('four.localhost', '/', { method: 'POST', body: content });
  await until('it runs', async () => (await p.metric('portico_requests_open', { app: 'four' })) === 1);
  await hup();
  await until('there are no routes', async () => (await p.h1('four.localhost', '/', { kind: 'http' })).status === 404);
  content.end();
  assert.equal((await late).status, 200, 'what was under way ends well');
  await until('it has ended', () => !isAlive(pid));
  edit(({ apps }) => {
    apps.four = { ...apps.one, hosts: ['four.localhost'], instances: 1 };
  });
  await hup();
  await settled('four', 1);
  assert.equal(JSON.parse((await p.admin('/apps/four')).body).slot, slot, 'it has its counters again');
  assert.ok((await p.metric('portico_requests_total', { app: 'four' })) >= 2);
}, 60);

check('hosts, limits and the order of apps change without a new process', async () => {
  const before = await Promise.all(names.map(pids));
  const counted = await p.metric('portico_requests_total', { app: 'one' });
  edit((m) => {
    m.apps.one.hosts = ['uno.localhost', 'one.localhost'];
    m.apps.one.limits = { body: '10' };
    m.apps = Object.fromEntries(Object.entries(m.apps).reverse());
  });
  await hup();
  await until('the new host is there', async () => (await p.h1('uno.localhost')).status === 200);
  assert.equal((await p.h1('one.localhost', '/', { method: 'POST', body: 'more than ten' })).status, 413);
  assert.deepEqual(await Promise.all(names.map(pids)), before);
  assert.ok(await p.metric('portico_requests_total', { app: 'one' }) >= counted);
}, 60);

check('the number of instances changes without touching the others', async () => {
  const before = await pids('one');
  const clients = load(['one.localhost']);
  edit(({ apps }) => {
    apps.one.instances = 4;
  });
  await hup();
  await settled('one', 4);
  const more = await pids('one');
  assert.ok(before.every((pid) => more.includes(pid)));
  edit(({ apps }) => {
    apps.one.instances = 2;
  });
  await hup();
  await settled('one', 2);
  await clients.stop();
  assert.deepEqual(await pids('one'), before);
}, 60);

check('control that dies in the middle of a change ends it when it is back', async () => {
  const old = await pids('two');
  const clients = load(['two.localhost']);
  edit(({ apps }) => {
    apps.two.env.VERSION = '3';
    apps.two.env.START_MS = '1000';
  });
  await hup();
  process.kill(p.role('control'), 'SIGKILL');
  await until('it is back and done', async () => {
    const now = (await p.states()).two;
    return now.length === 2 && now.every(({ pid, state }) => state === 'READY' && !old.includes(pid));
  });
  await clients.stop();
  await until('the old ones have ended', () => old.every((pid) => !isAlive(pid)));
}, 60);

check('control that dies while a version that cannot start is wanted leaves the one that serves', async () => {
  const old = await pids('two');
  const good = fs.readFileSync(p.manifest, 'utf8');
  edit(({ apps }) => {
    apps.two.command = 'false';
  });
  await hup();
  await until('it does not start', async () => (await p.states()).two.some(({ state }) => state === 'BACKOFF'));
  const clients = load(['two.localhost']), before = p.role('control');
  await p.killRole('control');
  await until('another one has the routes', async () => {
    const { two } = await p.states();
    return p.role('control') !== before && old.every((pid) => two.some((one) => one.pid === pid && one.inRoutes));
  });
  assert.equal((await p.h1('two.localhost', '/')).status, 200);
  await clients.stop();
  fs.writeFileSync(p.manifest, good);
  await hup();
  await until('all is as before', async () => (await p.states()).two.every(({ pid, inRoutes }) => inRoutes && old.includes(pid)));
}, 60);

check('ends clean', () => p.stop());

// As root, control has a user of its own: behind a link that it cannot follow, it takes names relative
// to the link's directory that monitor takes relative to the file's.
test('what the manifest does not name for monitor is refused: told once, tried more and more rarely, and the old serves on', { timeout: 120_000, skip: process.getuid() !== 0 && 'needs root' }, async () => {
  p = await Portico.start({ apps: { one: worker('version', 'one.localhost', { env: { VERSION: '1' } }) } });
  const good = fs.readFileSync(p.manifest, 'utf8'), closed = scratch(), real = path.join(closed, 'portico.yaml');
  for (const directory of [p.home, closed]) fs.mkdirSync(path.join(directory, 'app'));
  fs.chmodSync(closed, 0o700);
  const change = (name) => {
    const changed = JSON.parse(good);
    changed.apps[name] = worker('version', `${name}.localhost`, { directory: 'app', env: { VERSION: '2' } });
    fs.writeFileSync(real, JSON.stringify(changed));
  };
  const said = (pattern) => p.lines.slice(from).filter((line) => pattern.test(line));
  const serves = async () => assert.equal(JSON.parse((await p.h1('one.localhost', '/')).body).version, '1');
  const [pid] = (await p.states()).one.map((instance) => instance.pid);
  const from = p.lines.length;
  change('two');
  fs.symlinkSync(real, `${p.manifest}.new`);
  fs.renameSync(`${p.manifest}.new`, p.manifest);
  p.kill('SIGHUP');
  await until('it was tried again', () => said(/role\.backoff role=control/).length >= 3);
  await serves();
  assert.deepEqual(said(/role\.backoff role=control/).slice(0, 3).map((line) => Number(/retry_in_ms=(\d+)/.exec(line)[1])), [1000, 2000, 4000]);
  assert.equal(said(/does not name the app two/).length, 1);
  assert.equal(said(/control\.refused/).length, 1);
  assert.equal(said(/ error .*role\.exit role=control/).length, 0);
  change('three');
  p.kill('SIGHUP'); // who has changed something does not wait
  await until('the other reason is told', () => said(/does not name the app three/).length);
  write(good);
  p.kill('SIGHUP');
  await p.ready();
  assert.equal((await p.states()).one[0].pid, pid);
  assert.equal(said(/control\.refused/).length, 2);
  await serves();
  await p.stop();
});
