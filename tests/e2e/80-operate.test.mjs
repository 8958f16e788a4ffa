// SPDX-License-Identifier: Apache-2.0
// What an operator sees: the access log, metrics, health, the apps.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { Portico, check, close2, collectPushes, family, fetch2, scratch, until, worker } from './lib.mjs';

let p, log;

check('starts, with the access log in a file', async () => {
  const place = scratch();
  fs.chmodSync(place, 0o777);
  log = path.join(place, 'access.log');
  p = await Portico.start({
    accessLog: log,
    apps: {
      one: worker('h1', 'one.localhost', { instances: 2 }),
      two: worker('h2c', 'two.localhost'),
      dies: { ...worker('', 'dies.localhost'), command: './dies.sh' },
    },
  }, { ready: false });
  await p.ready(['one', 'two']);
}, 60);

const lines = () => fs.readFileSync(log, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));

check('each request is one JSON object in the access log', async () => {
  const session = await p.h2('two.localhost');
  const pushes = collectPushes(session);
  await fetch2(session, '/page?n=2&token=secret');
  await Promise.all(pushes);
  await close2(session);
  await p.h1('one.localhost', '/echo?a=b', { method: 'POST', body: 'hello', headers: { cookie: 'c=secret', 'user-agent': 'a "quoted" \\ agent' } });
  await p.h1('dies.localhost', '/x', { kind: 'http' });
  const odd = '/a-"quoted"-\\-path';
  await p.h1('one.localhost', odd, { kind: 'http' });
  const all = await until('they are written', () => {
    const now = lines();
    return now.some(({ app }) => app === 'dies') && now.some((line) => line.path === odd) && now.filter(({ pushed }) => pushed).length === 2 && now;
  });
  const page = all.find((line) => line.path === '/page');
  assert.equal(page.app, 'two');
  assert.equal(page.status, 200);
  assert.equal(page.protocol, 'h2');
  assert.equal(page.method, 'GET');
  assert.equal(page.host, p.authority('two.localhost'));
  assert.ok(page.duration_us > 0);
  assert.match(page.time, /^20\d\d-\d\d-\d\dT/);
  const echo = all.find((line) => line.path === '/echo');
  assert.equal(echo.protocol, 'http/1.1');
  assert.equal(echo.request_octets, 5);
  assert.equal(all.find(({ app }) => app === 'dies').status, 503);
  assert.equal(new Set(all.map(({ id }) => id)).size, all.length, 'request ids differ');
  assert.doesNotMatch(fs.readFileSync(log, 'utf8'), /secret/);
});

check('SIGUSR1 opens the file again', async () => {
  fs.renameSync(log, `${log}.1`);
  p.kill('SIGUSR1');
  await until('there is a new file', async () => {
    await p.h1('one.localhost', '/whoami?after');
    return fs.existsSync(log) && lines().some((line) => line.path === '/whoami');
  });
  assert.equal(p.code, undefined);
});

check('/healthz', async () => {
  const { status, body } = await p.admin('/healthz');
  assert.equal(status, 503);
  assert.deepEqual(JSON.parse(body).withoutReadyInstance.map(({ app }) => app), ['dies']);
});

check('/apps tells apps, instances, states and pids', async () => {
  const { status, headers, body } = await p.admin('/apps');
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^application\/json/);
  const { apps } = JSON.parse(body);
  assert.deepEqual(apps.map(({ name }) => name).sort(), ['dies', 'one', 'two']);
  const one = apps.find(({ name }) => name === 'one');
  assert.equal(one.instances.length, 2);
  for (const { state, pid } of one.instances) {
    assert.equal(state, 'READY');
    assert.ok(pid > 1);
  }
});

check('/metrics is in the text format, counts what happened, and falls back to zero', async () => {
  const before = await p.metric('portico_requests_total', { app: 'one' });
  const session = await p.h2('one.localhost');
  for (let i = 0; i < 10; i++) await fetch2(session, '/bytes?n=1000');
  await fetch2(session, '/status?code=404');
  assert.equal(await p.metric('portico_requests_total', { app: 'one' }), before + 11);
  assert.ok(await p.metric('portico_responses_4xx_total', { app: 'one' }) >= 1);
  assert.ok(await p.metric('portico_gateway_failures_total', { app: 'dies' }) >= 1);
  await close2(session);
  const { headers, body } = await p.admin('/metrics');
  assert.match(headers['content-type'], /^text\/plain; version=0\.0\.4/);
  const typed = new Set(), text = String(body);
  for (const line of text.split('\n').filter(Boolean)) {
    const type = /^# TYPE (\S+) (counter|gauge|histogram)$/.exec(line);
    if (type) {
      assert.ok(!typed.has(type[1]), `${type[1]} has two TYPE lines`);
      typed.add(type[1]);
    } else if (!line.startsWith('#')) {
      assert.match(line, /^[a-z_][a-z0-9_]*(\{([a-z_]+="([^"\\\n]|\\.)*",?)*\})? -?([0-9.]+(e[+-]?\d+)?|\+Inf|NaN)$/, line);
      const name = /^[a-z0-9_]+/.exec(line)[0];
      assert.ok(typed.has(name) || typed.has(name.replace(/_(bucket|sum|count)$/, '')), `${name} has no TYPE line before it`);
    }
  }
  assert.ok(typed.size > 15);
  await until('gauges fall back', async () => (await p.metric('portico_requests_open')) === 0
    && (await p.metric('portico_client_connections_open')) === 0);
});

check('histograms add up', async () => {
  const text = String((await p.admin('/metrics')).body).split('\n');
  const histograms = new Map(); // name and labels -> the counts of its buckets
  for (const line of text) {
    const found = /^(\w+)_bucket\{(.*),le="[^"]+"\} (\d+)$/.exec(line);
    if (!found || !found[2].startsWith('app="one"')) continue;
    const which = `${found[1]}_count{${found[2]}} `;
    histograms.set(which, [...(histograms.get(which) ?? []), Number(found[3])]);
  }
  assert.ok([...histograms.keys()].includes('portico_request_duration_seconds_count{app="one"} '));
  for (const [which, buckets] of histograms) {
    assert.ok(buckets.length > 3);
    assert.deepEqual(buckets, [...buckets].sort((a, b) => a - b), 'buckets are cumulative');
    assert.equal(text.find((line) => line.startsWith(which)), `${which}${buckets.at(-1)}`);
  }
});

check('the admin address knows nothing else', async () => {
  assert.equal((await p.admin('/')).status < 500, true);
  assert.equal((await p.admin('/nothing')).status, 404);
  assert.equal((await p.h1('127.0.0.1', '/metrics', { kind: 'http' })).status, 404); // clients never reach it
});

check('the greeting names each app, its address, the CA and how to stop', async () => {
  const text = await until('it is there', () => {
    const all = p.access.join('\n');
    return /Ctrl-C/.test(all) && all;
  });
  assert.ok(text.includes(`https://one.localhost:${p.ports.https}/`));
  assert.ok(text.includes(p.caFile));
  assert.match(text, /nghttp/);
  assert.match(text, /dies\s.*does not start/);
  assert.match(text, /cannot find the thing that it needs/);
});

check('ends clean', () => p.stop());

check('PORTICO_LOG says how much every role tells', async () => {
  process.env.PORTICO_LOG = 'error';
  const quiet = new Portico({ apps: { one: worker('h1', 'one.localhost') } });
  delete process.env.PORTICO_LOG;
  await until('edge is there', () => family(quiet.pid).some((entry) => {
    const [pid] = entry.split('@');
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('role\0edge');
  }));
  await quiet.stop();
  assert.deepEqual(quiet.lines.filter((line) => /Z (warn|info|debug) /.test(line)), []);
}, 60);
