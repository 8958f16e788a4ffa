// SPDX-License-Identifier: Apache-2.0
// limits.concurrency and limits.queue are exact over several loops: the worker counts.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { Portico, check, until, worker, close2 } from './lib.mjs';

let p;
const apps = {
  one: worker('busy', 'one.test', { limits: { concurrency: 3, queue: 5 } }),
  many: worker('busy', 'many.test', { instances: 3, limits: { concurrency: 5, queue: 1000 } }),
  none: worker('busy', 'none.test', { limits: { queue: 0 } }),
};

/** A request that is under way until its client ends it: {begun, whole, end(), abort()}.  begun: {status, headers}. */
function held(host) {
  const request = http.request({ host: '127.0.0.1', port: p.ports.http, method: 'POST', agent: false, headers: { host } });
  const it = { request, answered: false };
  it.begun = new Promise((resolve, reject) => {
    request.on('response', (response) => {
      it.answered = true;
      it.whole = new Promise((done) => response.on('close', () => done(response.complete)));
      it.whole.then(() => {
        it.ended = true;
      });
      response.resume();
      resolve({ status: response.statusCode, headers: response.headers });
    });
    request.on('error', reject);
  });
  it.begun.catch(() => {});
  it.end = async () => {
    request.end('the end');
    await it.begun;
    assert.equal(await it.whole, true);
  };
  it.abort = () => request.destroy();
  request.flushHeaders();
  request.write('.');
  return it;
}

const waiting = (app) => p.metric('portico_requests_waiting', { app });
const waits = (app, count) => until(`${count} of ${app} wait`, async () => (await waiting(app)) === count);
const answered = (all) => all.filter((one) => one.answered);
const peak = async (host) => JSON.parse((await p.h1(host, '/peak', { kind: 'http' })).body);

async function limits(name, change) {
  const manifest = JSON.parse(fs.readFileSync(p.manifest, 'utf8'));
  Object.assign(manifest.apps[name].limits, change);
  fs.writeFileSync(`${p.manifest}.new`, JSON.stringify(manifest, null, 1));
  fs.renameSync(`${p.manifest}.new`, p.manifest);
  const from = p.lines.length;
  p.kill('SIGHUP');
  const [, committed] = /revision=(\d+)/.exec(await p.line(/control\.reload apps=/, { from }));
  await until('its routes are in force', async () => JSON.parse((await p.admin('/apps')).body).revisionInForce > Number(committed));
}

check('starts', async () => {
  p = await Portico.start({ loops: 2, accessLog: 'off', apps });
});

check('of sixty requests three are at the worker, five wait, and the others get 503 with Retry-After', async () => {
  const all = Array.from({ length: 60 }, () => held('one.test'));
  await until('all but five are answered', () => answered(all).length === 55);
  const heads = await Promise.all(answered(all).map(async (one) => ({ one, ...(await one.begun) })));
  const served = heads.filter(({ status }) => status === 200), refused = heads.filter(({ status }) => status === 503);
  assert.equal(served.length, 3);
  assert.equal(refused.length, 52);
  for (const { headers } of refused) assert.equal(headers['retry-after'], '1');
  assert.equal(await waiting('one'), 5);

  // One that ends makes room for one that waits, and so for one more to wait.
  let queue = all.filter((one) => !one.answered), busy = served.map(({ one }) => one);
  for (let round = 0; round < 12; round++) {
    assert.equal((await held('one.test').begun).status, 503, 'the room is full');
    await busy.shift().end();
    await until('another one is served', () => answered(queue).length === 1);
    busy.push(...answered(queue));
    queue = [...queue.filter((one) => !one.answered), held('one.test')];
    await waits('one', 5);
  }
  // Some that wait give up, on either loop; their turn passes to others.
  for (const one of queue.splice(0, 2)) one.abort();
  await waits('one', queue.length);
  for (const one of busy) await one.end();
  await until('those that wait are served', () => answered(queue).length === queue.length);
  for (const one of queue) {
    assert.equal((await one.begun).status, 200);
    await one.end();
  }
  assert.equal((await peak('one.test')).peak, 3);
}, 60);

check('hundreds of connections, three instances: the limit is reached everywhere and never passed', async () => {
  const agents = Array.from({ length: 150 }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }));
  const session = await p.h2('many.test');
  let bad = 0, count = 0;
  await Promise.all([
    ...agents.map(async (agent, n) => {
      for (let i = 0; i < 12; i++) {
        const { status } = await p.h1('many.test', `/?ms=${(n * 7 + i * 3) % 12}`, { kind: 'http', agent });
        bad += status !== 200;
        count++;
      }
    }),
    ...Array.from({ length: 50 }, async () => {
      for (let i = 0; i < 12; i++) {
        const stream = session.request({ ':path': `/?ms=${i % 5}` });
        const status = await new Promise((resolve) => stream.on('response', (head) => resolve(head[':status'])));
        await new Promise((resolve) => stream.resume().on('close', resolve));
        bad += status !== 200;
        count++;
      }
    }),
  ]);
  for (const agent of agents) agent.destroy();
  await close2(session);
  assert.equal(bad, 0);
  assert.equal(count, 2400);
  const seen = new Map();
  while (seen.size < 3) {
    const { peak: most, instance } = await peak('many.test');
    if (!seen.has(instance)) seen.set(instance, most);
  }
  assert.deepEqual([...seen.values()], [5, 5, 5]);
  assert.equal(await waiting('many'), 0);
}, 90);

check('a limit that is raised lets those in that wait; one that is lowered holds as soon as the surplus has ended', async () => {
  const all = Array.from({ length: 8 }, () => held('one.test'));
  await until('three are served', () => answered(all).length === 3);
  await waits('one', 5);
  await limits('one', { concurrency: 6 });
  await until('six are', () => answered(all).length === 6);
  await waits('one', 2);
  await limits('one', { concurrency: 2 });
  const ended = new Set();
  const endOne = async () => {
    const one = answered(all).find((each) => !ended.has(each));
    ended.add(one);
    await one.end();
  };
  for (let i = 0; i < 4; i++) await endOne();
  assert.equal(await waiting('one'), 2, 'there are two under way still');
  await endOne();
  await until('one more is served', () => answered(all).length === 7);
  await limits('one', { concurrency: 0 });
  await until('all are', () => answered(all).length === 8);
  const more = Array.from({ length: 20 }, () => held('one.test'));
  await until('there is no limit', () => answered(more).length === 20);
  while (ended.size < 8) await endOne();
  for (const one of more) await one.end();
  await limits('one', { concurrency: 3 });
}, 60);

check('a worker that dies gives its places back', async () => {
  await peak('one.test');
  const first = Array.from({ length: 3 }, () => held('one.test'));
  await until('three are served', () => answered(first).length === 3);
  const next = Array.from({ length: 5 }, () => p.h1('one.test', '/', { kind: 'http' }));
  await waits('one', 5);
  process.kill((await p.states()).one[0].pid, 'SIGKILL');
  for (const one of first) assert.equal(await one.whole, false, 'it was cut');
  for (const { status } of await Promise.all(next)) assert.equal(status, 200);
  const all = Array.from({ length: 8 }, () => held('one.test'));
  await until('three are served again', () => answered(all).length === 3);
  await waits('one', 5);
  for (let ended = 0; ended < 8; ended++) {
    await until('it is served', () => answered(all).length > ended);
    await answered(all).find((one) => !one.ended).end();
  }
  assert.equal((await peak('one.test')).peak, 3);
}, 60);

check('without a limit and without a queue nothing is held back', async () => {
  const all = Array.from({ length: 30 }, () => held('none.test'));
  await until('all are served', () => answered(all).length === 30);
  for (const one of all) await one.end();
  assert.equal((await peak('none.test')).peak, 30);
});

check('ends clean', () => p.stop());

check('who has much waiting has a turn like anybody else, and no more', async () => {
  p = await Portico.start({ loops: 1, accessLog: 'off', apps: { turns: worker('busy', 'turns.test', { limits: { concurrency: 1, queue: 100 } }) } });
  const order = [];
  const post = (session, name) => {
    const stream = session.request({ ':method': 'POST', ':path': '/' });
    stream.on('response', () => order.push({ name, stream })).on('error', () => {}).resume().write('.');
  };
  const [greedy, modest, late] = await Promise.all([p.h2('turns.test'), p.h2('turns.test'), p.h2('turns.test')]);
  for (let i = 1; i <= 10; i++) post(greedy, `greedy ${i}`);
  await waits('turns', 9);
  post(modest, 'modest 1');
  post(modest, 'modest 2');
  await waits('turns', 11);
  let ended = 0;
  const next = async () => {
    await until('one is served', () => order.length > ended);
    order[ended++].stream.end();
  };
  for (let i = 0; i < 4; i++) await next();
  await until('the fifth is served', () => order.length === 5);
  post(late, 'late'); // no earlier turn was its own: it does not catch up
  await waits('turns', 8);
  while (ended < 13) await next();
  assert.deepEqual(order.map(({ name }) => name), [
    'greedy 1', 'greedy 2', 'modest 1', 'greedy 3', 'modest 2', 'greedy 4', 'late', ...[5, 6, 7, 8, 9, 10].map((i) => `greedy ${i}`),
  ]);
  for (const session of [greedy, modest, late]) await close2(session);
  await p.stop();
}, 60);

check('a turn that was given up does not count', async () => {
  p = await Portico.start({ loops: 1, accessLog: 'off', apps: { turns: worker('busy', 'turns.test', { limits: { concurrency: 1, queue: 100 } }) } });
  const order = [];
  const post = (session, name) => {
    const stream = session.request({ ':method': 'POST', ':path': '/' });
    stream.on('response', () => order.push({ name, stream })).on('error', () => {}).resume().write('.');
    return stream;
  };
  const [first, second] = await Promise.all([p.h2('turns.test'), p.h2('turns.test')]);
  post(first, 'holds');
  await until('it is served', () => order.length === 1);
  const left = Array.from({ length: 10 }, () => post(first, 'left'));
  await waits('turns', 10);
  for (const stream of left) stream.close(8); // CANCEL
  await waits('turns', 0);
  for (let i = 1; i <= 3; i++) post(second, `second ${i}`);
  await waits('turns', 3);
  post(first, 'first');
  await waits('turns', 4);
  for (let ended = 0; ended < 5; ended++) {
    await until('one is served', () => order.length > ended);
    order[ended].stream.end();
  }
  assert.deepEqual(order.map(({ name }) => name), ['holds', 'second 1', 'first', 'second 2', 'second 3']);
  for (const session of [first, second]) await close2(session);
  await p.stop();
}, 60);

check('what goes on at one app costs nobody a turn at another', async () => {
  const limits = { concurrency: 1, queue: 100 };
  p = await Portico.start({
    loops: 1, accessLog: 'off', apps: { turns: worker('busy', 'turns.test', { limits }), other: worker('busy', 'other.test', { limits }) },
  });
  const order = [];
  const post = (session, app, name, served) => {
    const stream = session.request({ ':method': 'POST', ':path': '/', ':authority': p.authority(`${app}.test`, 'http') });
    stream.on('response', () => served({ name, stream })).on('error', () => {}).resume().write('.');
  };
  const [greedy, both, late] = await Promise.all([1, 2, 3].map(() => p.h2('turns.test', { kind: 'http' })));
  for (let i = 1; i <= 5; i++) post(greedy, 'turns', `greedy ${i}`, (one) => order.push(one));
  await waits('turns', 4);
  let elsewhere = 0;
  for (let i = 0; i < 30; i++) {
    post(both, 'other', '', ({ stream }) => {
      elsewhere++;
      stream.end();
    });
  }
  await until('all are served there', () => elsewhere === 30);
  for (const [name, session] of Object.entries({ late, both })) {
    post(session, 'turns', name, (one) => order.push(one));
    await waits('turns', name === 'late' ? 5 : 6);
  }
  for (let ended = 0; ended < 7; ended++) {
    await until('one is served', () => order.length > ended);
    order[ended].stream.end();
  }
  assert.deepEqual(order.map(({ name }) => name), ['greedy 1', 'greedy 2', 'late', 'both', 'greedy 3', 'greedy 4', 'greedy 5']);
  for (const session of [greedy, both, late]) await close2(session);
  await p.stop();
}, 60);
