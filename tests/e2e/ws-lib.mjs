// SPDX-License-Identifier: Apache-2.0
// WebSocket clients for the tests: HTTP/1.1 Upgrade octet by octet, and extended CONNECT by Node's
// http2.  Both give a duplex stream after the head.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';
import { scratch, until } from './lib.mjs';
import { CLOSE, Decoder, acceptOf, closePayload, frame, newKey } from './workers/ws.mjs';

/** An open tunnel, or an answer that is none (then `body` is its content). */
export class Ws {
  #queue = [];
  #wake = null;
  ended = false; // the other side has sent its end
  error = null;

  constructor(stream, status, headers, early = Buffer.alloc(0)) {
    Object.assign(this, { stream, status, headers, early });
    stream.on('error', (error) => {
      this.error = error;
      this.#ring();
    });
    stream.on('end', () => {
      this.ended = true;
      this.#ring();
    });
    this.closed = new Promise((resolve) => stream.on('close', () => {
      this.#ring();
      resolve();
    }));
  }

  #ring() {
    this.#wake?.();
    this.#wake = null;
  }

  #push(item) {
    this.#queue.push(item);
    this.#ring();
  }

  /** Begin to read frames. */
  frames() {
    this.decoder = new Decoder(false, (opcode, payload) => this.#push({ opcode, payload }));
    this.#begin((octets) => this.decoder.feed(octets));
    return this;
  }

  /** Begin to read octets. */
  octets() {
    this.#begin((octets) => this.#push(octets));
    return this;
  }

  #begin(take) {
    if (this.early.length) take(this.early);
    this.stream.on('data', (octets) => {
      try {
        take(octets);
      } catch (error) {
        this.error = error;
        this.stream.destroy();
        this.#ring();
      }
    });
  }

  /** The next frame or run of octets; null at the end; throws what went wrong. */
  async next() {
    while (this.#queue.length === 0) {
      if (this.error) throw this.error;
      if (this.ended || this.stream.destroyed) return null;
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#queue.shift();
  }

  /** All octets until the end. */
  async rest() {
    const parts = [];
    for (let part; (part = await this.next());) parts.push(part);
    return Buffer.concat(parts);
  }

  send(opcode, payload, options) {
    return this.stream.write(frame(opcode, payload, options));
  }

  /** The close handshake; gives the code that came back. */
  async close(code = 1000, reason = '') {
    this.send(CLOSE, closePayload(code, reason));
    const answer = await this.next();
    assert.equal(answer?.opcode, CLOSE);
    assert.equal(await this.next(), null);
    this.stream.end();
    return answer.payload.length ? answer.payload.readUInt16BE() : 1005;
  }

  destroy() {
    if (this.stream instanceof net.Socket && !this.stream.encrypted) this.stream.resetAndDestroy();
    else this.stream.destroy();
  }
}

function parseHead(text) {
  const [first, ...lines] = text.split('\r\n');
  const headers = {};
  for (const line of lines) {
    const name = line.slice(0, line.indexOf(':')).toLowerCase(), value = line.slice(line.indexOf(':') + 1).trim();
    headers[name] = headers[name] === undefined ? value : [headers[name], value].flat();
  }
  return { status: Number(first.split(' ')[1]), headers };
}

/** One HTTP/1.1 request, octet by octet as given, on a connection of its own; the answer's head, and a stream that goes
 *  on with what follows it. */
export async function ask1({ port, host, ca, octets }) {
  const options = { port, host: '127.0.0.1', allowHalfOpen: true };
  const socket = ca ? tls.connect({ ...options, ca, servername: host, ALPNProtocols: ['http/1.1'] }) : net.connect(options);
  await once(socket, ca ? 'secureConnect' : 'connect');
  socket.setNoDelay(true);
  socket.write(octets);
  let got = Buffer.alloc(0), at = -1;
  while ((at = got.indexOf('\r\n\r\n')) < 0) {
    const part = socket.read();
    if (part) got = Buffer.concat([got, part]);
    else if (socket.readableEnded || socket.destroyed) throw new Error(`ended before a head: ${got}`);
    else await Promise.race([once(socket, 'readable'), once(socket, 'end'), once(socket, 'close')]);
  }
  const { status, headers } = parseHead(got.subarray(0, at).toString('latin1'));
  return new Ws(socket, status, headers, got.subarray(at + 4));
}

/** A request's octets.  fields: undefined leaves one out, a list repeats it; together: what goes in the same write. */
export function request1(line, fields, together = Buffer.alloc(0)) {
  const text = Object.entries(fields).filter(([, v]) => v !== undefined).flatMap(([name, v]) => [v].flat().map((one) => `${name}: ${one}\r\n`)).join('');
  return Buffer.concat([Buffer.from(`${line}\r\n${text}\r\n`, 'latin1'), Buffer.from(together)]);
}

/** A WebSocket over HTTP/1.1.  headers: the handshake's fields, to be overridden; with: octets that go in the same write. */
export async function open1({ port, host, ca, where = '/echo', headers = {}, method = 'GET', version = '1.1', key = newKey(), with: together }) {
  const fields = { Host: `${host}:${port}`, Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Key': key, 'Sec-WebSocket-Version': '13', ...headers };
  const ws = await ask1({ port, host, ca, octets: request1(`${method} ${where} HTTP/${version}`, fields, together) });
  const answer = ws.headers;
  if (ws.status === 101) {
    assert.equal(answer['sec-websocket-accept'], acceptOf(key));
    assert.equal(answer.upgrade?.toLowerCase(), 'websocket');
    assert.equal(answer.connection?.toLowerCase(), 'upgrade');
    assert.equal(answer['content-length'], undefined);
    assert.equal(answer['transfer-encoding'], undefined);
    return ws;
  }
  const length = Number(answer['content-length'] ?? 0);
  ws.octets();
  let body = Buffer.alloc(0);
  const chunked = answer['transfer-encoding'] === 'chunked';
  while (chunked ? !body.includes('\r\n0\r\n\r\n') : body.length < length) {
    const part = await ws.next();
    if (!part) break;
    body = Buffer.concat([body, part]);
  }
  ws.body = chunked ? String(body).split('\r\n').filter((_, i) => i % 2).join('') : String(body);
  ws.stream.destroy();
  return ws;
}

/** HTTP/2 on a session of Node's. */
export async function open2(session, { host, port, where = '/echo', headers = {}, with: together }) {
  if (!session.remoteSettings?.enableConnectProtocol) await once(session, 'remoteSettings', { signal: AbortSignal.timeout(60_000) });
  const stream = session.request({
    ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': session.encrypted ? 'https' : 'http', ':path': where, ':authority': `${host}:${port}`,
    'sec-websocket-version': '13', ...headers,
  }, { endStream: false });
  if (together) stream.write(together);
  const [answer] = await Promise.race([once(stream, 'response'), once(stream, 'close').then(() => {
    throw new Error(`closed before a head, code ${stream.rstCode}`);
  })]);
  const ws = new Ws(stream, answer[':status'], answer);
  if (ws.status === 200) {
    for (const name of ['sec-websocket-accept', 'upgrade', 'connection', 'content-length', 'transfer-encoding']) assert.equal(answer[name], undefined, name);
    return ws;
  }
  stream.end();
  ws.octets();
  ws.body = String(await ws.rest());
  return ws;
}

// ---- other programs ----

const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Starts a program that listens on a port that it is told by `args(port)` or by `env(port)`: {port, stop}. */
export async function proxy(program, args, env = () => ({})) {
  for (let left = 5; ; left--) {
    const port = await freePort();
    const child = spawn(program, args(port), { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env(port) } });
    const said = [];
    children.add(child);
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => said.push(text));
    const listens = await until(`${program} listens`, () => new Promise((resolve, reject) => {
      if (child.exitCode !== null) resolve('no');
      const socket = net.connect(port, '127.0.0.1', () => {
        socket.destroy();
        resolve(child.exitCode === null ? 'yes' : 'no');
      }).on('error', reject);
    }));
    if (listens === 'no') { // somebody else has taken the port meanwhile
      children.delete(child);
      if (left) continue;
      throw new Error(`${program} ended: ${said.join('')}`);
    }
    const stop = async () => {
      child.kill('SIGKILL');
      children.delete(child);
      await once(child, 'exit');
    };
    return { port, stop };
  }
}

/** HAProxy's arguments for a port; server: its server line's address and options. */
export const haproxyConfig = (server) => (port) => {
  const file = path.join(scratch(), 'haproxy.cfg');
  fs.writeFileSync(file, `defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend f
  bind 127.0.0.1:${port}
  default_backend b
backend b
  server s ${server}
`);
  return ['-db', '-f', file];
};
