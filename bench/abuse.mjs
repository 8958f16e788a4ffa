#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// What abuse costs everybody else.  For each attack a Portico of its own with an instant worker;
// another client, the bystander, asks for little over two connections that it keeps (HTTP/2 over TLS,
// and HTTP/1.1), before, during and after the attack.  Printed: its latency during the attack against
// its calm value, edge's CPU, what was refused and why, what reached the worker, edge's memory.
//
//   bench/abuse.mjs [--loops N] [--seconds N] [--connections N] [--nice N] [--only REGEX]
//                   [--apart] [--concurrency N] [-o json]
//   PORTICO: the program, build/portico if unset
//
// Worker, bystander and attacker are a process each, all on loopback; every attack ends by itself.
// The attacker keeps CONNECTIONS (4) at work, opens another as soon as one is cut off, and is slowed
// down by nothing but --nice (10).  All share one machine, so where processors are few an attacker
// slows the bystander by its own computing alone.  Hence the rows of comparison that come first: the
// same process that only computes, and with as many connections that ask for what they may have, as
// Node's client does it and with as little effort as the attacks: who may ask may ask much.  What then
// slows the bystander is the worker that both ask; with --apart it asks another app, with its own, and
// with --concurrency the worker has so many requests at a time, and the others wait in edge.  A ratio
// says something about edge as far as it is beyond these, and nothing where other programs keep the
// machine busy (its load is printed): edge's CPU and the counts still do.  Latencies are those of Node's
// clients, so they hold Node's own work; CPU is in ticks of 10 ms.
import { fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import os from 'node:os';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Raw, attacks } from '../tests/e2e/attacks.mjs';
import { Portico, ROOT, toLoopback, until } from '../tests/e2e/lib.mjs';
import * as h2 from '../tests/e2e/workers/frames.mjs';

const HOST = 'one.localhost', OTHER = 'other.localhost'; // --apart: the bystander's, with a worker of its own
const BYSTANDER = '127.0.0.9'; // where it comes from: limits by address are not to hit it
const PAUSE_MS = 3; // of the bystander between an answer and its next request
const CALM_MS = 1500;
const LARGE = Buffer.alloc(1 << 20, 'l');

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const says = (from, what) => new Promise((resolve) => {
  const listener = (message) => message[what] !== undefined && (from.off('message', listener), resolve(message[what]));
  from.on('message', listener);
});

// ---- the attacks -------------------------------------------------------------------------------

/** Opens a connection, runs `during` with it, and ends with it. */
function connection(port, during, options = {}) {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: '127.0.0.1', ...options }, () => during(socket));
    socket.on('error', () => {}).on('close', resolve).resume();
  });
}

/** The first flight of a TLS client: costs the server a signature, and to send it again nothing. */
function clientHello() {
  return new Promise((resolve) => {
    const server = net.createServer((socket) => socket.on('error', () => {}).once('data', (octets) => {
      socket.destroy();
      server.close(() => resolve(octets));
    })).listen(0, '127.0.0.1', () => {
      tls.connect({ port: server.address().port, host: '127.0.0.1', servername: HOST, ALPNProtocols: ['h2'], minVersion: 'TLSv1.3' }).on('error', () => {});
    });
  });
}

/** Openssl's own client, which changes its keys at each line "k" that it reads. */
async function keyUpdates(port) {
  const child = spawn('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', HOST, '-tls1_3'], { stdio: ['pipe', 'ignore', 'pipe'] });
  child.stdin.on('error', () => {});
  child.stderr.on('data', () => child.stdin.write('k\n')); // it has said that it did the one before
  child.stdin.write('k\n');
  const stop = () => child.kill();
  process.once('exit', stop);
  await once(child, 'close');
  process.off('exit', stop);
}

/** A hundred streams that ask for a megabyte each. */
async function askForMuch(port, first, then) {
  const raw = await Raw.open(port, { first });
  then.begin?.(raw);
  for (let i = 0; i < 100; i++) await raw.send(h2.head(2 * i + 1, h2.request(`${HOST}:${port}`, '/large'), true));
  await then.end(raw);
  raw.end();
}

/** `run` is one connection's worth, again and again; `many`: so many at once, rather than a few. */
function all({ http: plain, https }) {
  const authority = `${HOST}:${plain}`;
  const shared = attacks({ port: plain, authority, path: '/attack', hasty: true }).map(({ name, run }) => ({ name, run }));
  let hello;
  const firstFlight = async () => {
    hello ??= await clientHello();
    await connection(https, (s) => { s.write(hello); s.once('data', () => s.destroy()); });
  };
  return [
    { name: '(only computes)', compare: true, run: () => sleep(0).then(() => { for (const end = Date.now() + 50; Date.now() < end;); }) },
    { name: '(ordinary requests)', compare: true, run: ordinary(plain) },
    { name: '(ordinary requests, written by hand)', compare: true, run: () => tireless(plain) },
    { name: '(ordinary requests, written by hand, fifty a connection)', compare: true, run: () => tireless(plain, 50) },
    { name: '(ordinary requests, a connection each)', compare: true, run: () => connection(plain, (s) => s.end(`GET /attack HTTP/1.1\r\nHost: ${authority}\r\nConnection: close\r\n\r\n`)) },
    ...shared,
    { name: '100 streams of 1 MiB that take nothing', run: () => askForMuch(plain, h2.settings({ 4: 0 }), { end: (raw) => raw.until(() => raw.closed) }) },
    { name: '100 streams of 1 MiB, an octet at a time', run: () => askForMuch(plain, h2.settings({ 4: 1 }), {
      begin: (raw) => { raw.onFrame = (f) => f.type === h2.TYPE.DATA && f.payload.length && raw.send(h2.windowUpdate(f.id, 1)); },
      end: (raw) => raw.until(() => raw.closed),
    }) },
    { name: '100 streams of 1 MiB, left at once', run: () => askForMuch(plain, h2.settings({ 4: 1 << 20 }), { end: (raw) => raw.until(() => raw.frames.some((f) => f.type === h2.TYPE.HEADERS)) }) },
    { name: 'heads that come octet by octet', many: 500, run: () => connection(plain, (s) => {
      s.write(`GET / HTTP/1.1\r\nHost: ${authority}\r\nX-Slow: `);
      const timer = setInterval(() => s.write('x'), 50);
      s.on('close', () => clearInterval(timer));
    }) },
    { name: 'malformed HTTP/1.1', run: () => connection(plain, (s) => s.write(`GET / HTTP/1.1\r\nHost: ${authority}\r\nHost: b\r\n\r\n`)) },
    { name: 'heads of 60 KiB: commas in Connection, and short fields', run: () => connection(plain, (s) => (
      s.end(`GET /attack HTTP/1.1\r\nHost: ${authority}\r\nConnection: ${','.repeat(60000)}close${'\r\na:'.repeat(200)}\r\n\r\n`))) },
    { name: 'TLS handshakes that stop after the first flight', run: firstFlight },
    { name: 'the same, 300 at a time', many: 300, run: firstFlight },
    { name: 'TLS handshakes that complete, and nothing else', run: () => new Promise((resolve) => {
      const socket = tls.connect({ port: https, host: '127.0.0.1', servername: HOST, ALPNProtocols: ['h2'], rejectUnauthorized: false });
      socket.once('data', () => socket.destroy()).on('error', () => {}).on('close', resolve); // SETTINGS: it is complete
    }) },
    { name: 'what is not TLS', run: () => connection(https, (s) => s.write(Buffer.concat([Buffer.from('1603010020', 'hex'), Buffer.alloc(32, 0x55)]))) },
    { name: 'key updates', run: () => keyUpdates(https) },
    { name: '10,000 connections that say nothing', many: 10000, run: () => connection(plain, () => {}) },
    { name: 'connections that end at once', many: 20, run: () => connection(plain, (s) => s.destroy()) },
  ];
}

/** What a client may do as well: requests on a kept HTTP/2 connection, twenty at a time. */
function ordinary(port) {
  const sessions = [];
  return async (i) => {
    const session = sessions[i] ??= http2.connect(`http://127.0.0.1:${port}`);
    const ask = () => once(session.request({ ':authority': `${HOST}:${port}`, ':path': '/attack' }).resume(), 'close');
    await Promise.all(Array.from({ length: 20 }, ask));
  };
}

/** The same by who spends next to nothing on a request: a hundred at a time, the next as soon as one is answered. */
async function tireless(port, most = Infinity) {
  const raw = await Raw.open(port);
  const request = h2.request(`${HOST}:${port}`, '/attack');
  let id = -1, asked = 0, answered = 0, due = 0;
  const ask = (n) => raw.send(h2.windowUpdate(0, 1000), ...Array.from({ length: Math.min(n, most - asked) }, () => (asked++, h2.head(id += 2, request, true))));
  raw.onFrame = (f) => {
    raw.frames.length = 0;
    if ((f.type !== h2.TYPE.DATA && f.type !== h2.TYPE.HEADERS) || !(f.flags & h2.END_STREAM)) return;
    if (++answered === most) raw.end();
    if (due++ === 0) setImmediate(() => (ask(due), due = 0));
  };
  await ask(100);
  await once(raw.socket, 'close');
}

// ---- the processes -----------------------------------------------------------------------------

const roles = {
  async worker() {
    let reached = 0;
    const server = http.createServer((request, response) => {
      if (request.url !== '/bystander') reached++;
      request.on('error', () => {}).resume();
      response.on('error', () => {}).end(request.url === '/large' ? LARGE : 'ok');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    process.send({ port: server.address().port });
    process.on('message', () => process.send({ reached }));
  },

  /** Tells the latencies, in microseconds, since it was last asked. */
  async bystander({ ports, host }) {
    let h2Took = [], h1Took = [];
    const from = { host: '127.0.0.1', localAddress: BYSTANDER };
    const session = http2.connect(`https://${host}:${ports.https}`, {
      createConnection: () => tls.connect({ ...from, port: ports.https, servername: host, ALPNProtocols: ['h2'], rejectUnauthorized: false }),
    });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const askH2 = async () => {
      const stream = session.request({ ':path': '/bystander' });
      stream.resume();
      const [head] = await once(stream, 'response');
      await once(stream, 'close');
      return head[':status'];
    };
    const askH1 = async () => {
      const request = http.get({ ...from, port: ports.http, path: '/bystander', agent, headers: { host: `${host}:${ports.http}` } });
      const [response] = await once(request, 'response');
      await once(response.resume(), 'end');
      return response.statusCode;
    };
    const measure = async (ask, took) => {
      for (;;) {
        const began = process.hrtime.bigint();
        const status = await ask();
        if (status !== 200) throw new Error(`the bystander got ${status}`);
        took().push(Number(process.hrtime.bigint() - began) / 1000);
        await sleep(PAUSE_MS);
      }
    };
    process.on('message', () => {
      process.send({ took: { h2: h2Took, h1: h1Took } });
      [h2Took, h1Took] = [[], []];
    });
    process.send({ ready: true });
    await Promise.all([measure(askH2, () => h2Took), measure(askH1, () => h1Took)]);
  },

  async attacker({ ports, index, connections, nice }) {
    if (nice) os.setPriority(nice);
    const { run, many } = all(ports)[index];
    let began = 0;
    process.on('message', () => {
      const { user, system } = process.cpuUsage();
      process.send({ spent: { began, cpu_s: (user + system) / 1e6 } }, () => process.exit());
    });
    process.send({ ready: true });
    for (let i = 0; i < (many ?? connections); i++) {
      (async () => {
        for (;;) {
          began++;
          await run(i).catch(() => {});
          await new Promise((resolve) => setImmediate(resolve));
        }
      })();
      if (i % 100 === 99) await sleep(5);
    }
  },
};

const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** A process that plays `role`; its descriptors are as many as may be. */
function play(role, options = {}) {
  const child = fork(fileURLToPath(import.meta.url), ['--role', role, JSON.stringify(options)], { execPath: '/bin/sh', execArgv: ['-c', 'ulimit -n "$(ulimit -Hn)"; exec "$0" "$@"', process.execPath] });
  children.add(child);
  child.on('exit', () => children.delete(child));
  return child;
}

async function ask(child, what) {
  const heard = says(child, what);
  child.send({});
  return heard;
}

async function end(child) {
  if (!children.has(child)) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

// ---- measuring ---------------------------------------------------------------------------------

const quantile = (list, q) => list.toSorted((a, b) => a - b)[Math.min(list.length - 1, Math.floor(list.length * q))] ?? NaN;
/** CPU seconds, and the highest resident memory in KiB. */
const cpuOf = (pid) => fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/.*\) /, '').split(' ').slice(11, 13).reduce((a, b) => a + Number(b), 0) / 100;
const peakOf = (pid) => Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);

/** reason -> how often, over connections, HTTP/2 and requests. */
async function refusalsOf(p) {
  const { body } = await p.admin('/metrics');
  const found = {};
  for (const [, reason, count] of String(body).matchAll(/^portico_(?:http2_)?(?:refusals|faults)_total\{(?:app="\w+",)?reason="(.*)"\} (\d+)$/gm)) {
    found[reason] = (found[reason] ?? 0) + Number(count);
  }
  return found;
}

async function measure(index, { loops, seconds, connections, nice, apart, concurrency }) {
  const worker = play('worker'), own = apart ? play('worker') : worker;
  const [port, ownPort] = await Promise.all([says(worker, 'port'), says(own, 'port')]);
  const limits = concurrency ? { concurrency, queue: 10000 } : {};
  const p = await Portico.start({ loops, accessLog: 'off', apps: { one: { upstreams: [`tcp://127.0.0.1:${port}`], hosts: [HOST], limits }, other: { upstreams: [`tcp://127.0.0.1:${ownPort}`], hosts: [OTHER], limits } } }, { program: PORTICO });
  await until('both are served', async () => (await p.h1(OTHER, '/bystander', { kind: 'http' })).status === 200 && (await p.h1(HOST, '/bystander', { kind: 'http' })).status === 200);
  const bystander = play('bystander', { ports: p.ports, host: apart ? OTHER : HOST });
  await says(bystander, 'ready');
  const edge = p.role('edge'), start = peakOf(edge);

  const phase = async (ms) => {
    await ask(bystander, 'took');
    const before = cpuOf(edge), began = performance.now();
    await sleep(ms);
    const took = await ask(bystander, 'took');
    return { ...took, cpu: (cpuOf(edge) - before) / ((performance.now() - began) / 1000) };
  };
  await phase(500); // what both learn at first
  const calm = await phase(CALM_MS);
  const refused = await refusalsOf(p), reached = await ask(worker, 'reached');
  const attacker = play('attacker', { ports: p.ports, index, connections, nice });
  await says(attacker, 'ready');
  const during = await phase(seconds * 1000);
  const spent = await ask(attacker, 'spent');
  await end(attacker);
  const now = await refusalsOf(p);
  const row = {
    attack: all(p.ports)[index].name, loops, seconds, load: os.loadavg()[0],
    edge_cpu_share: { calm: calm.cpu, attack: during.cpu }, attacker: spent,
    refused: Object.fromEntries(Object.entries(now).map(([k, v]) => [k, v - (refused[k] ?? 0)]).filter(([, n]) => n > 0)),
    reached: await ask(worker, 'reached') - reached,
    edge_kib: { start, peak: peakOf(edge) },
  };
  await phase(500); // what the attack left behind goes
  const after = await phase(CALM_MS);
  for (const kind of ['h2', 'h1']) {
    const quiet = [...calm[kind], ...after[kind]];
    row[kind] = {
      samples: during[kind].length,
      p50_us: { before: quantile(calm[kind], 0.5), after: quantile(after[kind], 0.5), calm: quantile(quiet, 0.5), attack: quantile(during[kind], 0.5) },
      p99_us: { calm: quantile(quiet, 0.99), attack: quantile(during[kind], 0.99) },
    };
    row[kind].ratio = row[kind].p50_us.attack / row[kind].p50_us.calm;
  }
  await end(bystander);
  await p.stop();
  await end(worker);
  await end(own);
  return row;
}

// ---- the table ---------------------------------------------------------------------------------

const ms = (us) => (us / 1000).toFixed(2);
const columns = [
  ['attack', (r) => r.attack, 48],
  ['h2 p50 ms', (r) => `${ms(r.h2.p50_us.calm)} ${ms(r.h2.p50_us.attack)}`, 11],
  ['ratio', (r) => r.h2.ratio.toFixed(2), 5],
  ['h1 p50 ms', (r) => `${ms(r.h1.p50_us.calm)} ${ms(r.h1.p50_us.attack)}`, 11],
  ['ratio', (r) => r.h1.ratio.toFixed(2), 5],
  ['h2 p99 ms', (r) => `${ms(r.h2.p99_us.calm)} ${ms(r.h2.p99_us.attack)}`, 12],
  ['edge CPU', (r) => `${r.edge_cpu_share.calm.toFixed(2)} ${r.edge_cpu_share.attack.toFixed(2)}`, 9],
  ['its CPU s', (r) => r.attacker.cpu_s.toFixed(1), 9],
  ['conns', (r) => String(r.attacker.began), 6],
  ['reached', (r) => String(r.reached), 7],
  ['MiB', (r) => `${(r.edge_kib.start / 1024).toFixed(0)} ${(r.edge_kib.peak / 1024).toFixed(0)}`, 7],
  ['refused', (r) => Object.entries(r.refused).map(([k, n]) => `${k} ${n}`).join(', '), 0],
];
const line = (cell) => columns.map((column, i) => (i ? cell(column).padStart(column[2]) : cell(column).padEnd(column[2]))).join('  ').trimEnd();

const PORTICO = process.env.PORTICO ?? `${ROOT}/build/portico`;

async function main() {
  process.setMaxListeners(0); // each Portico cleans up after itself at the exit
  const { values } = parseArgs({ options: {
    loops: { type: 'string', default: '2' }, seconds: { type: 'string', default: '3' }, connections: { type: 'string', default: '4' },
    nice: { type: 'string', default: '10' }, apart: { type: 'boolean', default: false }, concurrency: { type: 'string', default: '0' },
    only: { type: 'string', default: '' }, output: { type: 'string', short: 'o', default: 'table' },
  } });
  const options = { loops: Number(values.loops), seconds: Number(values.seconds), connections: Number(values.connections), nice: Number(values.nice), apart: values.apart, concurrency: Number(values.concurrency) };
  const wanted = all({}).map(({ name, compare }, index) => ({ name, compare, index })).filter(({ name, compare }) => compare || new RegExp(values.only, 'i').test(name));
  const rows = [];
  if (values.output !== 'json') {
    console.log(`${os.cpus().length} processors, ${options.loops} loops, ${options.connections} connections at nice ${options.nice}, ${options.seconds} s each, load ${os.loadavg()[0].toFixed(1)}; pairs are calm and attack, CPU is of one processor`);
    console.log(line(([title]) => title));
  }
  for (const { index } of wanted) {
    rows.push(await measure(index, options));
    if (values.output !== 'json') console.log(line(([, text]) => text(rows.at(-1))));
  }
  const most = Math.max(...rows.slice(0, wanted.filter((w) => w.compare).length).flatMap((r) => [r.h2.ratio, r.h1.ratio]));
  if (values.output === 'json') console.log(JSON.stringify({ processors: os.cpus().length, ...options, compare: most, rows }, null, 1));
  else console.log(`\nload ${os.loadavg()[0].toFixed(1)}; highest ratio of the rows of comparison: ${most.toFixed(2)}`);
}

const at = process.argv.indexOf('--role');
if (at >= 0) await roles[process.argv[at + 1]](JSON.parse(process.argv[at + 2]));
else await main().then(() => process.exit());
