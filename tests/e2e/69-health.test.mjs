// SPDX-License-Identifier: Apache-2.0
// healthCheckPath: an instance that answers badly leaves the routes, the last one never.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import { PORTICO, Portico, ask, check, run, until, worker } from './lib.mjs';

let p;
const instances = async () => (await p.states()).one;
/** To one instance itself, past edge. */
const tell = (socket, where) => ask({ host: 'one.localhost', path: where, socketPath: socket });
const answering = async () => {
  const seen = new Set();
  for (let i = 0; i < 12; i++) seen.add(JSON.parse((await p.h1('one.localhost', '/', { kind: 'http' })).body).instance);
  return [...seen].sort();
};

check('starts', async () => {
  p = await Portico.start({
    accessLog: 'off',
    apps: {
      one: worker('version', 'one.localhost', { instances: 2, healthCheckPath: '/health', healthCheck: { interval: '1s', failures: 2 } }),
      h2: worker('h2c', 'h2.localhost', { http20ProxyFlag: 1, healthCheckPath: '/status?code=404', healthCheck: { interval: '1s', failures: 1 } }),
    },
  });
}, 60);

check('a sick instance leaves the routes and comes back when it is well', async () => {
  assert.deepEqual(await answering(), ['one-0', 'one-1']);
  const [first] = await instances();
  await tell(first.socket, '/sick');
  await p.line(/worker\.unhealthy app=one index=0 status=503/);
  await until('it gets no requests', async () => (await answering()).join() === 'one-1');
  assert.equal((await instances())[0].unhealthy, true);
  const { stdout } = await run(PORTICO, ['status', 'one', '--data', p.data]);
  assert.match(stdout, /^0 +UNHEALTHY/m);
  await tell(first.socket, '/well');
  await p.line(/worker\.healthy app=one index=0/);
  await until('it is back', async () => (await answering()).length === 2);
});

check('the last one stays', async () => {
  const both = await instances();
  const from = p.lines.length;
  for (const { socket } of both) await tell(socket, '/sick');
  await p.line(/worker\.unhealthy.*no better one/, { from });
  assert.equal((await p.h1('one.localhost')).status, 200);
  for (const { socket } of both) await tell(socket, '/well');
  await until('both are back', async () => (await answering()).length === 2);
});

check('a sick one stays out when the check is changed, and when control has died', async () => {
  const [first] = await instances();
  await tell(first.socket, '/sick');
  await until('it gets no requests', async () => (await answering()).join() === 'one-1');
  const manifest = JSON.parse(fs.readFileSync(p.manifest, 'utf8'));
  manifest.apps.one.healthCheck = { interval: '30s', failures: 3 };
  fs.writeFileSync(p.manifest, JSON.stringify(manifest));
  assert.equal((await run(PORTICO, ['reload', '--data', p.data])).code, 0);
  assert.equal((await instances())[0].unhealthy, true);
  assert.deepEqual(await answering(), ['one-1']);
  const from = p.lines.length;
  await p.killRole('control');
  await p.line(/worker\.unhealthy app=one index=0 status=503/, { from }); // long before three times 30 s
  await until('another control answers', async () => (await instances())[0].unhealthy === true);
  await until('it gets no requests', async () => (await answering()).join() === 'one-1');
  await tell(first.socket, '/well');
});

check('a sick upstream stays out when others come', async () => {
  const serve = async (status) => {
    const server = http.createServer((_, response) => response.writeHead(status).end(String(status))).listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  };
  const servers = await Promise.all([503, 200, 200].map(serve));
  const [bad, good, late] = servers.map((server) => `127.0.0.1:${server.address().port}`);
  const manifest = JSON.parse(fs.readFileSync(p.manifest, 'utf8'));
  const reload = async (...upstreams) => {
    manifest.apps.up = { upstreams, hosts: 'up.test', healthCheckPath: '/', healthCheck: { interval: '1s', failures: 2 } };
    fs.writeFileSync(p.manifest, JSON.stringify(manifest));
    assert.equal((await run(PORTICO, ['reload', '--data', p.data])).code, 0);
    return Object.fromEntries((await p.states()).up.map(({ address, unhealthy }) => [address, unhealthy]));
  };
  assert.deepEqual(await reload(bad, good), { [bad]: false, [good]: false });
  await p.line(/worker\.unhealthy app=up index=0 status=503/);
  assert.deepEqual(await reload(late, good, bad), { [late]: false, [good]: false, [bad]: true });
  for (let i = 0; i < 12; i++) assert.equal((await p.h1('up.test', '/', { kind: 'http' })).status, 200);
  assert.deepEqual(await reload(good), { [good]: false });
  for (const server of servers) server.close();
});

check('an HTTP/2 worker is asked in HTTP/2', async () => {
  await p.line(/worker\.unhealthy app=h2 index=0 status=404/);
  assert.equal((await p.h1('h2.localhost')).status < 500, true);
});

check('ends clean', () => p.stop());
