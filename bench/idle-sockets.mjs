#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// What an idle WebSocket costs edge: opens COUNT of them through a Portico of its own, with clients by
// HTTP/1.1 (a connection each, over TLS and without) and by HTTP/2 over TLS (100 streams a
// connection), to workers that speak HTTP/1.1 and h2c, and prints edge's PSS a socket.
//
//   bench/idle-sockets.mjs [COUNT]        PORTICO: the program, build/portico if unset
//
// Clients and workers are this process; all is on loopback and in a temporary directory.
import { execFileSync, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import fs from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';

const COUNT = Number(process.argv[2] ?? 5000);
const STREAMS = 100; // a connection
const AT_ONCE = 50; // handshakes
const PORTICO = process.env.PORTICO ?? fileURLToPath(new URL('../build/portico', import.meta.url));
const HOST = 'idle.localhost';
// About what a browser sends.
const FIELDS = {
  'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36',
  'accept-encoding': 'gzip, deflate, br, zstd', 'accept-language': 'en-GB,en;q=0.9', 'cache-control': 'no-cache', pragma: 'no-cache',
  origin: `https://${HOST}`, cookie: `session=${'0123456789abcdef'.repeat(4)}`, 'sec-websocket-version': '13',
};

/** Workers that switch and then say nothing. */
const workers = {
  h1: () => net.createServer((socket) => {
    let head = '';
    socket.on('error', () => {});
    socket.on('data', (octets) => {
      head += octets.toString('latin1');
      const key = /^sec-websocket-key: (.*)\r$/im.exec(head)?.[1];
      if (!head.includes('\r\n\r\n') || !key) return;
      const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
      socket.removeAllListeners('data').resume();
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    });
  }),
  h2c: () => http2.createServer({ settings: { enableConnectProtocol: true, maxConcurrentStreams: 1000 } }).on('stream', (stream) => {
    stream.on('error', () => {}).resume().respond({ ':status': 200 });
  }),
};

function openH1(port, secure) {
  return new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', servername: HOST, rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] };
    const socket = (secure ? tls : net).connect(options, () => {
      const fields = { host: HOST, upgrade: 'websocket', connection: 'Upgrade', 'sec-websocket-key': randomBytes(16).toString('base64'), ...FIELDS };
      socket.write(`GET /socket?room=1 HTTP/1.1\r\n${Object.entries(fields).map(([n, v]) => `${n}: ${v}\r\n`).join('')}\r\n`);
    });
    socket.on('error', reject).once('data', (octets) => {
      if (String(octets).startsWith('HTTP/1.1 101 ')) resolve(() => socket.destroy());
      else reject(new Error(String(octets)));
    });
  });
}

const sessions = [];
async function openH2(port, i) {
  const at = Math.floor(i / STREAMS);
  sessions[at] ??= new Promise((resolve, reject) => {
    const session = http2.connect(`https://${HOST}:${port}`, {
      rejectUnauthorized: false, lookup: (_, options, found) => (options.all ? found(null, [{ address: '127.0.0.1', family: 4 }]) : found(null, '127.0.0.1', 4)),
    });
    session.on('error', reject).once('remoteSettings', () => resolve(session));
  });
  const session = await sessions[at];
  const stream = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'https', ':authority': HOST, ':path': '/socket?room=1', ...FIELDS }, { endStream: false });
  stream.on('error', () => {});
  const [head] = await once(stream, 'response');
  if (head[':status'] !== 200) throw new Error(`status ${head[':status']}`);
  return () => session.destroy();
}

/** {Pss, Private_Dirty, ...} of a process, in KiB. */
const memoryOf = (pid) => Object.fromEntries([...fs.readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8').matchAll(/^(\w+):\s+(\d+) kB$/gm)].map(([, k, v]) => [k, Number(v)]));

/** What the clients speak. */
const names = { plain: 'HTTP/1.1 without TLS', h1: 'HTTP/1.1 over TLS', h2: 'HTTP/2 over TLS' };

async function measure(client, worker) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'portico-idle-'));
  fs.chmodSync(home, 0o755);
  /* Two of them: a loop opens at most 4,096 HTTP/1.1 connections, or as many streams, to one. */
  const sockets = ['one', 'two'].map((name) => path.join(home, name));
  const servers = await Promise.all(sockets.map(async (at) => {
    const server = workers[worker]().listen(at);
    await once(server, 'listening');
    fs.chmodSync(at, 0o777);
    return server;
  }));
  fs.writeFileSync(path.join(home, 'p.yaml'), JSON.stringify({
    listen: { https: '127.0.0.1:0', http: '127.0.0.1:0' }, loops: 1, accessLog: 'off',
    apps: { idle: { upstreams: sockets.map((at) => `unix:${at}`), hosts: [HOST], http20ProxyFlag: worker === 'h2c' ? 1 : 0 } },
  }));
  const portico = spawn(PORTICO, ['up', '--manifest', path.join(home, 'p.yaml'), '--data', path.join(home, 'data')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  portico.stderr.setEncoding('utf8').on('data', (text) => { said += text; });
  const seen = async (pattern) => {
    while (!pattern.test(said)) {
      if (portico.exitCode !== null) throw new Error(said);
      await Promise.race([once(portico.stderr, 'data'), once(portico, 'exit')]);
    }
    return Number(pattern.exec(said)[1]);
  };
  const ports = { https: await seen(/listen .*kind=https .*address=\S*:(\d+)/), http: await seen(/listen .*kind=http .*address=\S*:(\d+)/) };
  const pid = await seen(/role\.start role=edge .*pid=(\d+)/);
  const opens = { plain: () => openH1(ports.http, false), h1: () => openH1(ports.https, true), h2: (i) => openH2(ports.https, i) };
  const open = opens[client];
  for (let close; !close;) { // not before the instances have been probed; the first ones warm up what all share
    sessions.length = 0;
    close = await open(0).catch(() => new Promise((resolve) => setTimeout(resolve, 50)));
    close?.();
  }
  sessions.length = 0;
  const before = memoryOf(pid), closes = [];
  for (let i = 0; i < COUNT; i += AT_ONCE) {
    closes.push(...await Promise.all(Array.from({ length: Math.min(AT_ONCE, COUNT - i) }, (_, k) => open(i + k))));
  }
  const after = memoryOf(pid);
  console.log(`client ${names[client].padEnd(20)}, worker ${worker.padEnd(3)}: ${((after.Pss - before.Pss) / COUNT).toFixed(1)} KiB of edge's PSS a socket (${before.Pss} -> ${after.Pss} KiB, ${COUNT} sockets)`);
  portico.kill('SIGTERM');
  for (const close of closes) close();
  await once(portico, 'exit');
  for (const server of servers) server.close();
  fs.rmSync(home, { recursive: true, force: true });
}

console.log(`${execFileSync(PORTICO, ['version'], { encoding: 'utf8' }).trim()}, Linux ${os.release()}`);
for (const client of ['plain', 'h1', 'h2']) for (const worker of ['h1', 'h2c']) await measure(client, worker);
process.exit(0);
