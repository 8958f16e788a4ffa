// SPDX-License-Identifier: Apache-2.0
// healthCheckPath: an instance that answers badly leaves the routes, the last one never.
import assert from 'node:assert/strict';
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

check('an HTTP/2 worker is asked in HTTP/2', async () => {
  await p.line(/worker\.unhealthy app=h2 index=0 status=404/);
  assert.equal((await p.h1('h2.localhost')).status < 500, true);
});

check('ends clean', () => p.stop());
