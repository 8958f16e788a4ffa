// SPDX-License-Identifier: Apache-2.0
// Random traffic against a Portico of one's own: HTTP/1.1 and HTTP/2, TLS and plain, uploads,
// downloads, pushes, small windows, SETTINGS in flight, aborts at random moments, workers killed.
// Each octet of each answer is compared; at the end nothing may be left open.
//
//     PORTICO=build-asan/src/bin/portico node tests/e2e/stress.mjs --seconds 60 --seed 7 \
//         --connections 60 --kill 1     (seconds between kills of a worker; 0: none)
import { createHash } from 'node:crypto';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import { parseArgs } from 'node:util';
import { Portico, openDescriptors, toLoopback, until, worker } from './lib.mjs';
import { pattern, patternHash } from './workers/pattern.mjs';

const { values: option } = parseArgs({
  options: {
    seconds: { type: 'string', default: '20' }, seed: { type: 'string', default: String(Date.now() % 1e9) },
    connections: { type: 'string', default: '60' }, kill: { type: 'string', default: '1' }, edge: { type: 'string', default: '0' }, loops: { type: 'string', default: '2' },
  },
});
const seed = Number(option.seed), seconds = Number(option.seconds), killEvery = Number(option.kill), edgeEvery = Number(option.edge);
console.log(`seed ${seed}, ${seconds} s, ${option.connections} connections`);

// mulberry32: the same seed gives the same choices (not the same timing)
let state = seed >>> 0;
function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = state;
  t = Math.imul(t ^ (t >>> 15), t | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const below = (n) => Math.floor(random() * n);
const chance = (p) => random() < p;
const pick = (list) => list[below(list.length)];
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const sizes = [0, 1, 100, 1000, 16384, 65535, 65536, 65537, 300000, 1500000];
const size = () => (chance(0.7) ? sizes[below(sizes.length - 2)] : pick(sizes)) + (chance(0.5) ? below(500) : 0);
const hashes = new Map();
const hashOf = (n) => hashes.get(n) ?? (hashes.set(n, patternHash(n)), hashes.get(n));

const tally = {}, wrong = [], underway = new Set(), streams = new Map();
const note = (what) => (tally[what] = (tally[what] ?? 0) + 1);
function fault(what) {
  wrong.push(what);
  console.log(`WRONG (seed ${seed}): ${what}`);
}

const p = await Portico.start({
  loops: Number(option.loops),
  accessLog: 'off',
  apps: {
    one: worker('h1', 'one.localhost', { instances: 2, timeouts: { request: '20s' }, limits: { body: '4MiB' } }),
    two: worker('h2c', 'two.localhost', { instances: 2, timeouts: { request: '20s' }, limits: { body: '4MiB' } }),
    port: worker('h2c', 'port.localhost', { instances: 1, timeouts: { request: '20s' }, env: { LISTEN: 'port' } }),
  },
}, { ready: true });
const edgePid = () => p.role('edge');
await later(500);
const fdsBefore = openDescriptors(edgePid());
const ending = Date.now() + seconds * 1000;
let serial = 0, disturbed = 0;
const disturbedSessions = new WeakSet();
const isDisturbed = () => Date.now() - disturbed < 6000 && (killEvery || edgeEvery);

/** A request and what its answer must be. */
function plan(h2) {
  const made = planned(h2);
  underway.add(`${made.method ?? 'GET'} ${made.where}`);
  return made;
}

function planned(h2) {
  const id = `${seed}-${serial++}`, headers = { 'x-id': id };
  const kind = below(10);
  if (kind < 4) {
    const n = size();
    return { id, headers, where: `/bytes?n=${n}${chance(0.5) ? '&chunked=1' : ''}&id=${id}`, check: ({ octets, hash }) => octets === n && hash === hashOf(n) };
  }
  if (kind < 7) {
    const n = size(), known = chance(0.5);
    if (known) headers['content-length'] = n;
    return {
      id, headers, where: `/echo?id=${id}${chance(0.1) ? '&rate=2000000' : ''}`, body: pattern(n), method: 'POST', whole: true,
      check: ({ text }) => {
        const told = JSON.parse(text);
        return told.headers['x-id'] === id && told.octets === n && told.sha256 === hashOf(n) && told.path.includes(id);
      },
    };
  }
  if (kind < 8 && h2) {
    const n = below(8), each = size() % 70000;
    return { id, headers, where: `/page?n=${n}&size=${each}&from=${serial * 10}&ms=${below(20)}`, whole: true, page: true, check: ({ text }) => JSON.parse(text).length === n };
  }
  if (kind < 9) return { id, headers, where: `/echo?id=${id}`, whole: true, method: pick(['GET', 'DELETE', 'PUT']), check: ({ text }) => JSON.parse(text).headers['x-id'] === id };
  return pick([
    { id, headers, where: `/status?code=204&id=${id}`, status: 204, check: ({ octets }) => octets === 0 },
    { id, headers, where: `/status?code=304&id=${id}`, status: 304, check: ({ octets }) => octets === 0 },
    { id, headers, where: `/bytes?n=5000&id=${id}`, method: 'HEAD', check: ({ octets }) => octets === 0 },
    { id, headers, where: `/slow?ms=${below(100)}&id=${id}`, check: () => true },
    { id, headers, where: '/trailers', whole: true, check: ({ text }) => /with trailers/.test(text) },
  ]);
}

function judge(what, wanted, { status, octets, hash, text, cut, aborted, error }) {
  underway.delete(`${wanted.method ?? 'GET'} ${wanted.where}`);
  if (aborted) return note('aborted');
  if (cut || error) {
    note('cut');
    if (!isDisturbed()) fault(`${what} ${wanted.where}: cut without a reason (${error?.code ?? error?.message ?? 'cut'} status ${status} after ${octets})`);
    return undefined;
  }
  if (status !== (wanted.status ?? 200)) {
    note(`status ${status}`);
    if (!isDisturbed() || ![502, 503, 504].includes(status)) fault(`${what} ${wanted.method ?? 'GET'} ${wanted.where}: status ${status} ${text?.slice(0, 200)}`);
    return undefined;
  }
  let fine = false;
  try {
    fine = wanted.check({ octets, hash, text });
  } catch (problem) {
    text = `${problem.message}: ${text}`;
  }
  if (!fine) fault(`${what} ${wanted.where}: wrong content: ${octets} octets ${text?.slice(0, 300)}`);
  return note('right');
}

/** Collects a readable: {octets, hash, text} */
function taker(stream, keep) {
  const hash = createHash('sha256'), parts = [];
  const got = { octets: 0 };
  stream.on('data', (part) => {
    got.octets += part.length;
    hash.update(part);
    if (keep && got.octets < 1e6) parts.push(part);
    if (chance(0.01)) {
      stream.pause();
      setTimeout(() => stream.resume(), below(30));
    }
  });
  got.done = () => Object.assign(got, { hash: hash.digest('hex'), text: keep ? Buffer.concat(parts).toString() : undefined });
  return got;
}

async function one1(host, agent, secure) {
  const wanted = plan(false);
  const abort = chance(0.12) ? below(60) : -1;
  await new Promise((resolve) => {
    let aborted = false, response, got;
    const request = (secure ? https : http).request({
      host, port: p.ports[secure ? 'https' : 'http'], path: wanted.where, method: wanted.method ?? 'GET', agent, lookup: toLoopback, servername: host,
      headers: { host: `${host}:1`, ...wanted.headers },
    });
    const end = (error) => {
      const result = { status: response?.statusCode, ...(got ? got.done() : {}), aborted, cut: response && !response.complete, error };
      resolve(judge(`h1 ${host}`, wanted, result));
    };
    request.on('response', (r) => {
      response = r;
      got = taker(r, wanted.whole || r.statusCode >= 400);
      r.on('close', () => end());
      r.on('error', () => {});
    });
    request.on('error', (error) => response ? undefined : end(error));
    if (wanted.body) {
      for (let at = 0; at < wanted.body.length;) {
        const n = 1 + below(100000);
        request.write(wanted.body.subarray(at, at + n));
        at += n;
      }
    }
    request.end();
    if (abort >= 0) {
      setTimeout(() => {
        aborted = true;
        request.destroy();
        if (!response) end();
      }, abort);
    }
  });
}

async function one2(host, session) {
  const wanted = plan(host !== 'one.localhost');
  const abort = chance(0.12) ? below(60) : -1;
  const pushes = session.pushes;
  session.onPush = (stream, head) => {
    note('pushed');
    const n = Number(/size=(\d+)/.exec(head[':path'])?.[1]);
    const got = taker(stream, false);
    stream.on('error', () => {});
    if (chance(0.1)) setTimeout(() => stream.close(8), below(20));
    let ended = false, status;
    stream.on('push', (h) => (status = h[':status']));
    stream.on('end', () => (ended = true));
    pushes.push(new Promise((resolve) => stream.on('close', () => {
      if (ended && stream.rstCode === 0 && status === 200 && !disturbedSessions.has(session)) {
        got.done();
        if (got.octets !== n || got.hash !== hashOf(n)) fault(`push ${head[':path']}: ${got.octets} octets`);
        else note('right push');
      } else if (!disturbedSessions.has(session)) note('cut push');
      resolve();
    })));
  };
  await new Promise((resolve) => {
    let status, aborted = false, failed, ended = false;
    const stream = session.request({ ':path': wanted.where, ':method': wanted.method ?? 'GET', ':authority': p.authority(host, session.kind), ...wanted.headers }, { endStream: !wanted.body });
    const got = taker(stream, true);
    streams.set(stream, got);
    stream.on('response', (head) => (status = head[':status']));
    stream.on('error', (error) => (failed = error));
    stream.on('end', () => {
      ended = true; // Node may wait for ever to write what the server has said it does not want
      setTimeout(() => stream.destroy(), 1000);
    });
    stream.on('close', () => {
      streams.delete(stream);
      // RST_STREAM with NO_ERROR after a whole answer says that the rest of the request is not wanted
      const cut = failed || stream.rstCode !== 0 || !ended;
      resolve(judge(`h2 ${host}`, wanted, { status, ...got.done(), aborted: aborted || disturbedSessions.has(session), cut, error: failed ?? (stream.rstCode ? { code: `rst ${stream.rstCode}` } : undefined) }));
    });
    if (wanted.body) {
      for (let at = 0; at < wanted.body.length;) {
        const n = 1 + below(100000);
        stream.write(wanted.body.subarray(at, at + n));
        at += n;
      }
      stream.end();
    }
    if (abort >= 0) {
      setTimeout(() => {
        aborted = true;
        stream.close(pick([0, 8, 7, 2]));
      }, abort);
    }
  });
}

const HOSTS = ['one.localhost', 'two.localhost', 'port.localhost'];

async function person1() {
  while (Date.now() < ending) {
    const secure = chance(0.5);
    const agent = new (secure ? https : http).Agent({ keepAlive: true, maxSockets: 2, ca: secure ? p.ca : undefined });
    const host = pick(HOSTS);
    for (let i = 0; i < 20 && Date.now() < ending; i++) await Promise.all([one1(host, agent, secure), one1(host, agent, secure)]);
    agent.destroy();
  }
}

async function person2() {
  while (Date.now() < ending) {
    const host = pick(HOSTS), kind = pick(['https', 'http']), initialWindowSize = pick([1, 100, 65535, 65535, 1 << 20]);
    const session = await p.h2(host, { kind, settings: { initialWindowSize, enablePush: chance(0.7) } }).catch((error) => {
      if (!isDisturbed()) fault(`session: ${error.message}`);
    });
    if (!session) {
      await later(100);
      continue;
    }
    session.kind = kind;
    session.pushes = [];
    // a window of one octet makes a frame of each octet: only for a while
    const tiny = initialWindowSize < 1000;
    for (let round = 0; round < 6 && !session.destroyed && !session.closed && Date.now() < ending; round++) {
      const many = tiny ? 2 : 1 + below(16);
      const jobs = Array.from({ length: many }, () => one2(host, session));
      if (chance(0.2)) session.settings({ initialWindowSize: pick([1000, 65535, 1 << 20]) });
      if (chance(0.1)) session.ping(() => {});
      if (tiny) setTimeout(() => session.destroyed || session.settings({ initialWindowSize: 65535 }), 50);
      if (chance(0.05)) {
        await later(below(50));
        quietly(session, jobs);
        break;
      }
      await Promise.all(jobs);
    }
    if (chance(0.5)) await Promise.all(session.pushes);
    else disturbedSessions.add(session);
    if (!session.destroyed) chance(0.5) ? session.close() : session.destroy();
  }
}

/** The whole connection goes: what its streams say then is no fault. */
function quietly(session, jobs) {
  disturbedSessions.add(session);
  session.destroy();
  note('connection destroyed');
  return Promise.allSettled(jobs);
}

async function killer() {
  if (!killEvery) return;
  while (Date.now() < ending - 4000) {
    await later(killEvery * 1000);
    const states = await p.states().catch(() => ({}));
    const pids = Object.values(states).flat().map(({ pid }) => pid).filter(Boolean);
    if (!pids.length) continue;
    disturbed = Date.now();
    try {
      process.kill(pick(pids), 'SIGKILL');
      note('worker killed');
    } catch { /* it has just ended */ }
  }
}

async function edgeKiller() {
  if (!edgeEvery) return;
  while (Date.now() < ending - 4000) {
    await later(edgeEvery * 1000);
    const role = pick(['edge', 'control']), pid = p.role(role);
    if (!pid) continue;
    disturbed = Date.now();
    process.kill(pid, 'SIGKILL');
    note(`${role} killed`);
  }
}

const people = Number(option.connections);
const all = [killer(), edgeKiller()];
for (let i = 0; i < people; i++) all.push(i % 3 === 0 ? person1() : person2());
const stuck = setTimeout(async () => {
  fault(`requests hang: ${[...underway].slice(0, 20).join(' ')}`);
  for (const [stream, got] of streams) console.log(stream.id, got.octets, stream.isPaused(), stream.readableLength, stream.destroyed, stream.session?.destroyed, stream.state, stream.session?.state, stream.session?.localSettings?.initialWindowSize);
  console.log(tally, String((await p.admin('/metrics')).body).split('\n').filter((line) => /_open/.test(line)).join('\n'));
  p.kill();
  process.exit(1);
}, (seconds + 25) * 1000);
await Promise.all(all);
clearTimeout(stuck);
console.log(tally);

await until('nothing is open', async () => (await p.metric('portico_client_connections_open')) === 0 && (await p.metric('portico_requests_open')) === 0, 30)
  .catch(async () => fault(`left open: ${await p.metric('portico_client_connections_open')} connections, ${await p.metric('portico_requests_open')} requests`));
await later(7000);
const left = await p.metric('portico_worker_connections_open'), fds = openDescriptors(edgePid());
console.log(`descriptors of edge: ${fdsBefore} before, ${fds} after, of which to workers ${left}; open pushes and requests 0`);
if (fds - fdsBefore > left + 2) fault('descriptors leaked');
await p.stop().catch((error) => fault(error.message));
console.log(wrong.length ? `${wrong.length} wrong` : 'all right');
process.exit(wrong.length ? 1 : 0);
