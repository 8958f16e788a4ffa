// SPDX-License-Identifier: Apache-2.0
// limits.memory: who has edge hold most is let go before memory is out; who has it hold little stays.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import { Portico, check, isAlive, until } from './lib.mjs';
import { Raw } from './attacks.mjs';
import * as h2 from './workers/frames.mjs';

// In one turn of the loop it may be passed by what is read in it.
const MEMORY = 32 << 20, MOST = MEMORY * 1.5, STREAMS = 100, CLIENTS = 12, SLOW = 20_000_000;
const large = Buffer.alloc(SLOW, 'l');
const servers = [];
let p;

function answer(request, response) {
  request.resume(); // or Node resets the stream, and what it has not yet written of the response is lost
  response.on('error', () => {});
  response.end(request.url === '/slow' ? large : request.url === '/large' ? large.subarray(0, 1 << 20) : 'ok');
}

const held = () => p.metric('portico_memory_bytes');
const refused = () => p.metric('portico_refusals_total', { reason: 'memory' });

/** A client that asks for much at once and takes nothing of it. */
async function greedy(host) {
  const raw = await Raw.open(p.ports.http, { first: h2.settings({ 4: 0 }) });
  const fields = h2.request(p.authority(host, 'http'), '/large');
  await raw.send(...Array.from({ length: STREAMS }, (_, i) => h2.head(2 * i + 1, fields, true)));
  return raw;
}

/** A response of which nothing more is taken for now. */
function slow(host) {
  return new Promise((resolve, reject) => {
    const headers = { host: p.authority(host, 'http') };
    http.get({ host: '127.0.0.1', port: p.ports.http, path: '/slow', agent: false, headers }, (response) => {
      response.once('readable', () => resolve(response));
    }).on('error', reject);
  });
}

check('starts', async () => {
  const app = async (name, server, more) => {
    await new Promise((resolve) => server.on('sessionError', () => {}).listen(0, '127.0.0.1', resolve));
    servers.push(server);
    return { upstreams: [`tcp://127.0.0.1:${server.address().port}`], hosts: [`${name}.localhost`], ...more };
  };
  p = await Portico.start({
    loops: 1, accessLog: 'off', limits: { memory: `${MEMORY >> 20}MiB` },
    apps: {
      one: await app('one', http.createServer(answer)),
      // Node ends a session with more than maxSessionMemory MB unsent, whoever the slow reader is.
      two: await app('two', http2.createServer({ maxSessionMemory: 1000 }, answer), { http20ProxyFlag: 1 }),
    },
  });
  for (const { hosts: [host] } of Object.values(p.apps)) {
    await until(`${host} is served`, async () => (await p.h1(host, '/', { kind: 'http' })).status === 200);
  }
});

for (const app of ['one', 'two']) {
  check(`clients that take nothing of ${app}: memory has its bound, and others are served`, async () => {
    const host = `${app}.localhost`, before = await refused(), edge = await p.role('edge');
    const modest = await slow(host);
    const clients = [];
    for (let i = 0; i < CLIENTS; i++) {
      clients.push(await greedy(host));
      assert.equal((await p.h1(host, '/', { kind: 'http' })).status, 200);
      assert.ok(await held() <= MOST);
    }
    await until('some were let go', async () => (await refused()) > before && clients.some((raw) => raw.closed));
    assert.ok(await held() <= MOST);
    assert.ok(clients.some((raw) => !raw.closed), 'no more than need be');
    assert.ok(isAlive(edge));
    let octets = 0;
    for await (const part of modest) octets += part.length;
    assert.equal(octets, SLOW, 'who is slow but modest has all of it');
    for (const raw of clients) raw.end();
    await until('all is given back', async () => (await held()) < MEMORY / 8);
  });
}

check('many who have it hold little each: nobody of them is let go, and nobody new is taken until some have left', async () => {
  const manifest = JSON.parse(fs.readFileSync(p.manifest, 'utf8')), from = p.lines.length;
  manifest.limits.memory = '1MiB';
  fs.writeFileSync(p.manifest, JSON.stringify(manifest, null, 1));
  p.kill('SIGHUP');
  const [, committed] = /revision=(\d+)/.exec(await p.line(/control\.reload apps=/, { from }));
  await until('it is in force', async () => JSON.parse((await p.admin('/apps')).body).revisionInForce > Number(committed));
  const before = await refused(), clients = [];
  // A window of 0 and a small answer: some kilobytes each.
  while (await refused() === before) {
    const raw = await Raw.open(p.ports.http, { first: h2.settings({ 4: 0 }) });
    clients.push(raw);
    const fields = { ...h2.request(p.authority('one.localhost', 'http'), '/'), 'x-large': 'x'.repeat(8000) };
    await raw.send(...[1, 3, 5].map((id) => h2.head(id, fields, true)));
  }
  const closed = () => clients.filter((raw) => raw.closed).length;
  await until('those that came last were not taken', () => closed() > 0);
  const taken = clients.filter((raw) => !raw.closed);
  assert.ok(taken.length > 10 && closed() < taken.length, `${taken.length} taken, ${closed()} not`);
  for (const raw of taken) raw.end();
  await until('there is room again', async () => (await p.h1('one.localhost', '/', { kind: 'http' })).status === 200);
});

check('ends clean', async () => {
  await p.stop();
  for (const server of servers) server.close();
});
