// SPDX-License-Identifier: Apache-2.0
// What went through Portico says so in Via (RFC 9110 7.6.3), and what comes through it again and again ends.
import assert from 'node:assert/strict';
import { Portico, check, close2, fetch2, raw, worker } from './lib.mjs';

let p;

async function start(limits = {}) {
  p = await Portico.start({
    limits,
    apps: {
      h1: worker('h1', 'h1.localhost'), h2: worker('h2c', 'h2.localhost'),
      one: worker('asks', 'one.localhost'), two: worker('asks', 'two.localhost'),
    },
  });
}

check('starts', () => start());

check('a worker reads in Via which version the request came in, behind what its client says', async () => {
  for (const app of ['h1', 'h2']) {
    const host = `${app}.localhost`, via = ({ body }) => JSON.parse(body).headers.via;
    assert.equal(via(await p.h1(host, '/echo')), '1.1 portico', `${app}, HTTP/1.1`);
    assert.equal(via(await p.h1(host, '/echo', { headers: { via: ['1.0 fred', '1.1 p.example (Squid, or so)'] } })),
      '1.0 fred, 1.1 p.example (Squid, or so), 1.1 portico', app);
    const session = await p.h2(host);
    assert.equal(via(await fetch2(session, '/echo')), '2.0 portico', `${app}, HTTP/2`);
    assert.equal(via(await fetch2(session, '/echo', { headers: { via: '2 fred' } })), '2 fred, 2.0 portico', app);
    await close2(session);
    const old = String(await raw(p.ports.http, `GET /echo HTTP/1.0\r\nHost: ${p.authority(host, 'http')}\r\n\r\n`));
    assert.match(old, /"via":"1\.0 portico"/, `${app}, HTTP/1.0`);
  }
});

const asked = async (host) => JSON.parse((await p.h1(host, '/asked')).body).asked;
const ask = (host, next, more) => p.h1(host, '/', { headers: { 'x-ask': next, 'x-ask-port': p.ports.http, ...more } });

check('an app that asks itself is asked ten times', async () => {
  const { status, body } = await ask('one.localhost', 'one.localhost');
  assert.equal(status, 508);
  assert.match(String(body), /an app asks itself/);
  assert.equal(await asked('one.localhost'), 10);
  assert.equal(await p.metric('portico_faults_total', { app: 'one', reason: 'loop' }), 1);
  // Any client can say so: no reason for an alarm.
  assert.equal(await p.metric('portico_gateway_failures_total', { app: 'one' }), 0);
  await p.line(/"status":508,.*"fault":"loop"/, { of: p.access });
});

check('nor does it go on for ever when a client has sent a quote ahead, for Via knows none', async () => {
  assert.equal((await ask('one.localhost', 'one.localhost', { via: '1.1 "' })).status, 508);
  assert.equal(await asked('one.localhost'), 10);
});

check('ends clean', () => p.stop());

check('limits.hops says how often', async () => {
  await start({ hops: 3 });
  assert.equal((await ask('two.localhost', 'one.localhost')).status, 508);
  assert.deepEqual([await asked('two.localhost'), await asked('one.localhost')], [1, 2]);
  await p.stop();
});
