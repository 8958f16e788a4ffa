// SPDX-License-Identifier: Apache-2.0
// Large content arrives unharmed through a slow other side, and edge holds only what windows allow.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Raw } from './attacks.mjs';
import { Portico, check, close2, fetch2, openDescriptors, residentKib, until, worker } from './lib.mjs';
import * as h2 from './workers/frames.mjs';
import { patternHash, patternStream } from './workers/pattern.mjs';

const SIZE = 100 << 20;
const FLAT_KIB = 32 << 10; // what edge may grow by while SIZE passes and one side sleeps
let p, edge;

check('starts', async () => {
  p = await Portico.start({
    accessLog: 'off',
    apps: {
      one: worker('h1', 'one.localhost', { instances: 1, env: { LISTEN: 'port' } }),
      two: worker('h2c', 'two.localhost', { instances: 1 }),
      small: worker('h1', 'small.localhost', { instances: 1 }),
    },
  });
  edge = p.role('edge');
  assert.ok(edge, 'edge is a process of its own');
  for (const host of ['one.localhost', 'two.localhost']) { // buffers that are kept come now
    const session = await p.h2(host);
    await Promise.all(Array.from({ length: 20 }, () => fetch2(session, '/bytes?n=2000000')));
    await close2(session);
  }
}, 60);

const hashOf = async (stream, onOctets = () => {}) => {
  const hash = createHash('sha256');
  let octets = 0;
  for await (const part of stream) {
    hash.update(part);
    octets += part.length;
    const wait = onOctets(octets);
    if (wait) await wait;
  }
  return { octets, hash: hash.digest('hex') };
};

/** A reader that stops once near the start until edge has stopped growing; the growth it saw. */
function sleepyReader() {
  let slept = false;
  const seen = { growth: 0 };
  const before = residentKib(edge);
  return {
    seen,
    onOctets(octets) {
      if (slept || octets < (1 << 20)) return null;
      slept = true;
      return (async () => {
        let last = -1, calm = 0;
        while (calm < 5) { // five looks in a row without a change: all buffers on the way are full
          await new Promise((resolve) => setTimeout(resolve, 60));
          const now = residentKib(edge);
          calm = now === last ? calm + 1 : 0;
          last = now;
          seen.growth = Math.max(seen.growth, now - before);
        }
      })();
    },
  };
}

async function download(client, host) {
  const reader = sleepyReader();
  const where = `/bytes?n=${SIZE}`;
  if (client === 'h1') {
    return p.h1(host, where, {
      onResponse: async (response) => ({ ...(await hashOf(response, reader.onOctets)), growth: reader.seen.growth }),
    });
  }
  const session = await p.h2(host);
  const result = await hashOf(session.request({ ':path': where }), reader.onOctets);
  await close2(session);
  return { ...result, growth: reader.seen.growth };
}

/** Sends SIZE octets to a worker that reads slowly at first, and watches edge meanwhile. */
async function upload(client, host) {
  const before = residentKib(edge);
  let growth = 0;
  const watch = setInterval(() => {
    growth = Math.max(growth, residentKib(edge) - before);
  }, 25);
  const where = `/echo?rate=${60 << 20}`;
  let told;
  try {
    if (client === 'h1') {
      const { status, body } = await p.h1(host, where, { method: 'POST', body: patternStream(SIZE), headers: { 'content-length': SIZE } });
      assert.equal(status, 200);
      told = JSON.parse(body);
    } else {
      const session = await p.h2(host);
      const { status, body } = await fetch2(session, where, { body: patternStream(SIZE) });
      assert.equal(status, 200);
      told = JSON.parse(body);
      await close2(session);
    }
  } finally {
    clearInterval(watch);
  }
  return { octets: told.octets, hash: told.sha256, growth };
}

for (const client of ['h1', 'h2']) {
  for (const [host, protocol] of [['one.localhost', 'h1'], ['two.localhost', 'h2c']]) {
    for (const [what, transfer] of [['down', download], ['up', upload]]) {
      check(`100 MiB ${what}, ${client} client, ${protocol} worker, through a slow side`, async () => {
        const { octets, hash, growth } = await transfer(client, host);
        assert.equal(octets, SIZE);
        assert.equal(hash, patternHash(SIZE));
        assert.ok(growth < FLAT_KIB, `edge grew by ${growth} KiB`);
      }, 60);
    }
  }
}

check('an upload that its worker takes gets the window of the connection, and only one at a time', async () => {
  const STREAM = 128 << 10, CONN = 1 << 20;
  for (const host of ['one.localhost', 'two.localhost']) {
    const raw = await Raw.open(p.ports.http), sent = { 1: 0, 3: 0 };
    const granted = (id) => raw.frames.filter((f) => f.type === h2.TYPE.WINDOW && f.id === id).reduce((sum, f) => sum + f.payload.readUInt32BE(0), 0);
    const window = (id) => STREAM + granted(id) - sent[id];
    const send = async (id) => {
      await raw.send(h2.data(id, Buffer.alloc(16384)));
      sent[id] += 16384;
    };
    for (const id of [1, 3]) {
      await raw.send(h2.head(id, h2.request(p.authority(host, 'http'), '/echo', { ':method': 'POST' })));
      while (sent[id] < 2 * STREAM) {
        assert.ok(await raw.until(() => window(id) >= 16384));
        await send(id);
      }
      // All but what is less than half of the window has been given back.
      assert.ok(await raw.until(() => window(id) > (id === 1 ? CONN : STREAM) / 2), host);
      assert.ok(window(id) <= (id === 1 ? CONN : STREAM), host);
    }
    await raw.send(h2.data(1, Buffer.alloc(0), true));
    assert.ok(await raw.until(() => raw.frames.some((f) => f.type === h2.TYPE.HEADERS && f.id === 1)));
    while (window(3) <= CONN / 2) { // it is free for the other one
      assert.ok(await raw.until(() => window(3) >= 16384));
      await send(3);
    }
    raw.end();
  }
});

check('a stuck download stops neither its connection nor its worker', async () => {
  for (const host of ['one.localhost', 'two.localhost']) {
    const session = await p.h2(host);
    const stuck = session.request({ ':path': `/bytes?n=${SIZE}` });
    stuck.on('error', () => {});
    await new Promise((resolve) => stuck.once('response', resolve)); // and nobody reads it
    for (let i = 0; i < 20; i++) assert.equal((await fetch2(session, '/bytes?n=10000')).body.length, 10000);
    stuck.close();
    session.destroy();
  }
});

check('a client that leaves in the middle ends the worker\'s work', async () => {
  for (const host of ['one.localhost', 'two.localhost']) {
    for (let i = 0; i < 10; i++) {
      const session = await p.h2(host);
      const stream = session.request({ ':path': `/bytes?n=${SIZE}` });
      stream.on('error', () => {});
      await new Promise((resolve) => stream.once('data', resolve));
      session.destroy();
    }
    assert.equal((await p.h1(host, '/whoami')).status, 200);
  }
  await until('no request is open', async () => (await p.metric('portico_requests_open')) === 0);
});

check('a hundred uploads and downloads at once', async () => {
  const session = await p.h2('two.localhost');
  const other = await p.h2('one.localhost');
  const n = 300_000;
  const hash = patternHash(n);
  const answers = await Promise.all(Array.from({ length: 100 }, async (_, i) => {
    const on = i % 4 < 2 ? session : other;
    if (i % 2) return JSON.parse((await fetch2(on, '/echo', { body: patternStream(n) })).body).sha256;
    return createHash('sha256').update((await fetch2(on, `/bytes?n=${n}`)).body).digest('hex');
  }));
  assert.ok(answers.every((got) => got === hash));
  await Promise.all([close2(session), close2(other)]);
});

check('content in single octets', async () => {
  const session = await p.h2('one.localhost');
  const stream = session.request({ ':path': '/echo', ':method': 'POST' });
  const drip = new Transform({
    transform(part, _, done) {
      for (const octet of part) this.push(Buffer.from([octet]));
      done();
    },
  });
  const sent = pipeline(patternStream(3000), drip, stream);
  const parts = [];
  for await (const part of stream) parts.push(part);
  await sent;
  assert.equal(JSON.parse(Buffer.concat(parts)).sha256, patternHash(3000));
  await close2(session);
});

check('descriptors are back to where they were', async () => {
  await until('client connections are closed', async () => (await p.metric('portico_client_connections_open')) === 0);
  const before = openDescriptors(edge);
  for (let round = 0; round < 3; round++) {
    const sessions = await Promise.all(Array.from({ length: 20 }, () => p.h2('small.localhost')));
    await Promise.all(sessions.map((session) => fetch2(session, '/whoami')));
    await Promise.all(sessions.map(close2));
  }
  await until('descriptors are given back', async () => openDescriptors(edge) <= before + 40);
});

/** An h2c worker whose responses have no end: `streams` tells what each has been allowed to send. */
async function endlessWorker() {
  const streams = new Map();
  let initial = 65535, pinged;
  const more = (send, id, octets) => {
    const one = streams.get(id);
    if (!one) return;
    one.allowed += octets;
    for (let n = octets; n > 0; n -= 16384) send(h2.data(id, Buffer.alloc(Math.min(n, 16384))));
  };
  const server = await h2.h2cServer((send, f, socket) => {
    if (f.type === h2.TYPE.SETTINGS && f.payload.length) {
      for (let at = 0; at < f.payload.length; at += 6) if (f.payload.readUInt16BE(at) === 4) initial = f.payload.readUInt32BE(at + 2);
    } else if (f.type === h2.TYPE.HEADERS) {
      streams.set(f.id, { allowed: 0, socket });
      send(h2.head(f.id, { ':status': 200 }));
      more(send, f.id, initial);
    } else if (f.type === h2.TYPE.WINDOW && f.id) {
      more(send, f.id, f.payload.readUInt32BE(0));
    } else if (f.type === h2.TYPE.RST) {
      streams.delete(f.id);
    } else if (f.type === h2.TYPE.PING && f.flags & h2.ACK) {
      pinged();
    }
  });
  /** What edge sent before now has come. */
  const settle = () => new Promise((resolve) => {
    pinged = resolve;
    [...streams.values()][0].socket.write(h2.frame(h2.TYPE.PING, 0, 0, Buffer.alloc(8)));
  });
  return { server, streams, settle };
}

check('an h2c worker may send more ahead where the client takes it, for so many responses as fit', async () => {
  const WINDOW = 64 << 10, WIDE = 256 << 10, TAKEN = 100 << 10, MOST = 5; // of 192 KiB more each, in http2Unsent
  const { server, streams, settle } = await endlessWorker();
  const q = await Portico.start({ loops: 1, accessLog: 'off', apps: { endless: { upstreams: [`tcp://127.0.0.1:${server.address().port}`], hosts: ['endless.localhost'], http20ProxyFlag: 1 } } });
  await until('the app is ready', async () => (await q.states()).endless[0].state === 'READY');
  const client = await h2.h2Client(q.ports.http, { first: Buffer.concat([h2.settings({ 4: TAKEN }), h2.windowUpdate(0, 1 << 30)]) });
  const took = new Map();
  client.socket.on('data', h2.reader((f) => f.type === h2.TYPE.DATA && took.set(f.id, (took.get(f.id) ?? 0) + f.payload.length)));
  for (let round = 0; round < 2; round++) {
    const ids = Array.from({ length: 8 }, (_, i) => 2 * (8 * round + i) + 1);
    for (const id of ids) client.send(h2.head(id, h2.request(q.authority('endless.localhost', 'http'), '/'), true));
    await until('all have taken what they may', () => ids.every((id) => took.get(id) === TAKEN));
    await settle();
    const allowed = [...streams.values()].map((one) => one.allowed).sort((a, b) => b - a);
    assert.equal(allowed.length, 8);
    assert.equal(allowed.filter((octets) => octets > WIDE).length, MOST, `${allowed}`);
    assert.ok(allowed.every((octets, i) => octets <= (i < MOST ? WIDE : WINDOW) + TAKEN), `${allowed}`);
    for (const id of ids) client.send(h2.reset(id, 8));
    await until('all have ended', () => streams.size === 0);
  }
  client.socket.destroy();
  await q.stop();
  server.close();
});

check('ends clean', () => p.stop());
