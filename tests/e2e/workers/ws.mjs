// SPDX-License-Identifier: Apache-2.0
// A small strict RFC 6455 codec for tests, and a worker that speaks it: over HTTP/1.1 Upgrade, or
// with WS=h2c over RFC 8441 (WS=h2c-plain: HTTP/2 without SETTINGS_ENABLE_CONNECT_PROTOCOL).
//   /echo      echoes messages; the close handshake by the rules, violations get their codes
//   /raw       echoes octets as they are; says when each direction ends
//   /hello     sends a text in the same write as its answer
//   /flood?n=  sends n MiB of binary messages; /bye sends a text and ends its side, then listens on
//   /stall     reads nothing until the instance is asked for /go by a plain request
//   /head      tells in a text which head it got
//   /refuse, /ok, /wrong, /none   do not switch, or wrongly; /never does not answer (HTTP/1.1 only)
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import http2 from 'node:http2';
import { pathToFileURL } from 'node:url';
import { where } from './routes.mjs';

export const TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10;

export const newKey = () => randomBytes(16).toString('base64');
export const acceptOf = (key) => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

/** One frame's octets.  mask: clients mask (RFC 6455 5.3); true, false or four octets. */
export function frame(opcode, payload = '', { fin = true, rsv = 0, mask = true, length } = {}) {
  const body = Buffer.from(payload);
  const n = length ?? body.length;
  const long = n > 65535 ? 8 : n > 125 ? 2 : 0;
  const key = mask ? (mask === true ? randomBytes(4) : Buffer.from(mask)) : Buffer.alloc(0);
  const head = Buffer.alloc(2 + long);
  head[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  head[1] = (mask ? 0x80 : 0) | (long === 8 ? 127 : long === 2 ? 126 : n);
  if (long === 8) head.writeBigUInt64BE(BigInt(n), 2);
  if (long === 2) head.writeUInt16BE(n, 2);
  if (mask) for (let i = 0; i < body.length; i++) body[i] ^= key[i & 3];
  return Buffer.concat([head, key, body]);
}

export function closePayload(code, reason = '') {
  const text = Buffer.from(reason), out = Buffer.alloc(2 + text.length);
  out.writeUInt16BE(code);
  text.copy(out, 2);
  return out;
}

export class Violation extends Error {
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

const utf8 = (octets) => {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(octets);
  } catch {
    throw new Violation(1007, 'not UTF-8');
  }
};
const mayClose = (code) => (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999);

/** Takes octets, gives {opcode, payload} of whole messages and of control frames to `on`; throws a
 *  Violation.  masked: whether frames have to be (true) or must not be (false). */
export class Decoder {
  #parts = [];
  #have = 0;
  #message = null; // {opcode, parts, octets, decoder}
  #control = 0;
  frames = 0;

  constructor(masked, on, limit = 64 << 20) {
    Object.assign(this, { masked, on, limit });
  }

  feed(octets) {
    this.#parts.push(octets);
    this.#have += octets.length;
    while (this.#step());
  }

  /** Nothing half-read is left. */
  get idle() {
    return this.#have === 0 && !this.#message;
  }

  #peek(n) {
    if (this.#have < n) return null;
    if (this.#parts[0].length < n) this.#parts = [Buffer.concat(this.#parts)];
    return this.#parts[0];
  }

  #step() {
    let at = this.#peek(2);
    if (!at) return false;
    const fin = (at[0] & 0x80) !== 0, opcode = at[0] & 15, masked = (at[1] & 0x80) !== 0;
    if (at[0] & 0x70) throw new Violation(1002, 'reserved bits');
    if (opcode > 10 || (opcode > 2 && opcode < 8)) throw new Violation(1002, 'reserved opcode');
    if (masked !== this.masked) throw new Violation(1002, 'masking');
    let n = at[1] & 127;
    if (opcode >= 8 && (n > 125 || !fin)) throw new Violation(1002, 'control frame too long or in parts');
    if (opcode === 0 && !this.#message) throw new Violation(1002, 'nothing to continue');
    if ((opcode === 1 || opcode === 2) && this.#message) throw new Violation(1002, 'a message within a message');
    let head = n === 127 ? 10 : n === 126 ? 4 : 2;
    if (!(at = this.#peek(head))) return false;
    if (n === 126) n = at.readUInt16BE(2);
    else if (n === 127) {
      const big = at.readBigUInt64BE(2);
      if (big > BigInt(this.limit)) throw new Violation(big >> 63n ? 1002 : 1009, 'too long');
      n = Number(big);
    }
    if ((head === 4 && n < 126) || (head === 10 && n < 65536)) throw new Violation(1002, 'length not minimal');
    if (masked) head += 4;
    if (this.#have < head + n) return false;
    const all = this.#peek(head + n);
    const payload = Buffer.from(all.subarray(head, head + n));
    if (masked) for (let i = 0; i < n; i++) payload[i] ^= all[head - 4 + (i & 3)];
    this.#parts[0] = all.subarray(head + n);
    if (this.#parts[0].length === 0) this.#parts.shift();
    this.#have -= head + n;
    this.frames++;
    this.#frame(opcode, payload, fin);
    return this.#have > 0;
  }

  #frame(opcode, payload, fin) {
    if (opcode === CLOSE) {
      if (payload.length === 1) throw new Violation(1002, 'half a code');
      if (payload.length && !mayClose(payload.readUInt16BE())) throw new Violation(1002, 'close code');
      utf8(payload.subarray(2));
    }
    if (opcode >= 8) {
      this.on(opcode, payload);
      return;
    }
    this.#message ??= { opcode, parts: [], octets: 0 };
    const m = this.#message;
    m.parts.push(payload);
    m.octets += payload.length;
    if (m.octets > this.limit) throw new Violation(1009, 'too long');
    if (!fin) return;
    this.#message = null;
    const whole = Buffer.concat(m.parts);
    if (m.opcode === TEXT) utf8(whole);
    this.on(m.opcode, whole);
  }
}

// ---- the worker ----

/** The rules' echo on a duplex stream: an answer to every message and ping, one Close, then the end. */
function echo(stream, say) {
  let closed = false;
  const send = (opcode, payload) => closed || stream.write(frame(opcode, payload, { mask: false }));
  const finish = (payload, why) => {
    if (closed) return;
    send(CLOSE, payload);
    closed = true;
    stream.end();
    say(why);
  };
  const decoder = new Decoder(true, (opcode, payload) => {
    if (opcode === CLOSE) finish(payload.subarray(0, 2), `close code=${payload.length ? payload.readUInt16BE() : 1005}`);
    else if (opcode === PING) send(PONG, payload);
    else if (opcode !== PONG) send(opcode, payload);
  });
  const take = (octets) => {
    if (closed) return;
    try {
      decoder.feed(octets);
    } catch (error) {
      if (!(error instanceof Violation)) throw error;
      finish(closePayload(error.code), `violation code=${error.code}`);
    }
  };
  stream.on('data', (octets) => {
    take(octets);
    if (!closed && stream.writableNeedDrain) {
      stream.pause();
      stream.once('drain', () => stream.resume());
    }
  });
  stream.on('end', () => {
    if (!closed) say('end without a close');
    closed = true;
    stream.end();
  });
  return take;
}

const stalled = new Set();

const behaviours = {
  '/echo': (stream, { say, early }) => {
    const take = echo(stream, say);
    if (early?.length) take(early);
  },
  '/raw': (stream, { say, early }) => {
    let octets = early?.length ?? 0;
    if (early?.length) stream.write(early);
    stream.on('data', (part) => {
      octets += part.length;
      if (!stream.write(part)) {
        stream.pause();
        stream.once('drain', () => stream.resume());
      }
    });
    stream.on('end', () => {
      say(`end after ${octets}`);
      stream.end();
    });
  },
  '/hello': (stream, { say, early }) => behaviours['/echo'](stream, { say, early }),
  '/head': (stream, { say, head, early }) => {
    stream.write(frame(TEXT, JSON.stringify(head), { mask: false }));
    behaviours['/echo'](stream, { say, early });
  },
  '/flood': (stream, { say, query }) => {
    const part = frame(BINARY, Buffer.alloc(65536, 'flood'), { mask: false });
    let left = Number(query.get('n')) * 16, sent = 0;
    const more = () => {
      for (; left > 0; left--) {
        sent++;
        if (!stream.write(part)) {
          left--;
          break;
        }
      }
      if (left === 0) {
        left = -1;
        say(`flood of ${sent} is out`);
      }
    };
    stream.on('drain', more);
    stream.on('data', () => {});
    stream.on('end', () => stream.end());
    more();
  },
  '/bye': (stream, { say, early }) => {
    let octets = early?.length ?? 0;
    const hash = createHash('sha256');
    if (early?.length) hash.update(early);
    stream.end('bye');
    stream.on('data', (part) => {
      octets += part.length;
      hash.update(part);
    });
    stream.on('end', () => say(`heard ${octets} ${hash.digest('hex')}`));
  },
  '/stall': (stream, { say }) => {
    stream.pause();
    const hash = createHash('sha256');
    let octets = 0;
    stalled.add(() => {
      stream.on('data', (part) => {
        octets += part.length;
        hash.update(part);
      });
      stream.on('end', () => {
        say(`heard ${octets} ${hash.digest('hex')}`);
        stream.end();
      });
      stream.resume();
    });
  },
};
for (const name of ['/wrong', '/none']) behaviours[name] = behaviours['/raw'];

function plain(url, response) {
  const found = { '/refuse': [403, 'not you\n'], '/ok': [200, 'no switch\n'] }[url.pathname];
  if (url.pathname === '/go') {
    for (const go of stalled) go();
    stalled.clear();
  }
  response.statusCode = found?.[0] ?? 200;
  response.setHeader('x-from', 'worker');
  response.end(found?.[1] ?? `plain ${response.req?.headers?.upgrade ?? 'none'}\n`);
}

function serve() {
  let count = 0;
  const start = (stream, url, head, early) => {
    const id = `${url.pathname}#${++count}${url.searchParams.has('tag') ? `@${url.searchParams.get('tag')}` : ''}`;
    const say = (text) => console.log(`ws ${id} ${text}`);
    stream.on('error', (error) => say(`error ${error.code}`));
    stream.on('close', () => say(`closed${stream.rstCode === undefined ? '' : ` rst=${stream.rstCode}`}`));
    say('open');
    return (behaviours[url.pathname] ?? behaviours['/echo'])(stream, { say, early, head, query: url.searchParams });
  };
  const extra = (headers) => ({
    ...(headers['sec-websocket-protocol'] ? { 'sec-websocket-protocol': headers['sec-websocket-protocol'].split(/\s*,\s*/).pop() } : {}),
    ...(headers['sec-websocket-extensions'] ? { 'sec-websocket-extensions': headers['sec-websocket-extensions'] } : {}),
    'set-cookie': ['a=1', 'b=2'], 'x-from': 'worker',
  });
  const hello = frame(TEXT, 'hello', { mask: false });
  let server;
  if (process.env.WS?.startsWith('h2c')) {
    server = http2.createServer({ settings: { enableConnectProtocol: process.env.WS === 'h2c', initialWindowSize: 262144 } });
    server.on('stream', (stream, headers) => {
      const url = new URL(headers[':path'], 'http://worker');
      stream.on('error', () => {});
      if (headers[':method'] !== 'CONNECT' || ['/refuse', '/ok'].includes(url.pathname)) {
        const status = headers[':method'] === 'CONNECT' && url.pathname === '/refuse' ? 403 : 200;
        if (url.pathname === '/go') {
          for (const go of stalled) go();
          stalled.clear();
        }
        stream.respond({ ':status': status, 'x-from': 'worker' });
        stream.end(status === 403 ? 'not you\n' : 'plain none\n');
        return;
      }
      // what another hop's proxy may leave behind must not get any further
      stream.respond({ ':status': 200, ...extra(headers), ...(url.searchParams.has('accept') ? { 'sec-websocket-accept': 'someone-elses' } : {}) });
      if (url.pathname === '/hello') stream.write(hello);
      start(stream, url, { ...headers });
    });
    server.on('session', (session) => session.on('error', () => {}));
  } else {
    server = http.createServer((request, response) => plain(new URL(request.url, 'http://worker'), response));
    server.on('upgrade', (request, socket, early) => {
      const url = new URL(request.url, 'http://worker');
      if (request.headers.upgrade.toLowerCase() !== 'websocket') {
        socket.end('HTTP/1.1 200 OK\r\nContent-Length: 17\r\nConnection: close\r\n\r\nupgrade was seen\n');
        return;
      }
      if (url.pathname === '/never') return;
      const answer = { '/refuse': 'HTTP/1.1 403 Forbidden\r\nX-From: worker\r\nContent-Length: 8\r\n\r\nnot you\n',
        '/ok': 'HTTP/1.1 200 OK\r\nX-From: worker\r\nContent-Length: 10\r\n\r\nno switch\n' }[url.pathname];
      if (answer) {
        socket.end(answer);
        return;
      }
      const accept = url.pathname === '/wrong' ? acceptOf(newKey()) : acceptOf(request.headers['sec-websocket-key']);
      const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'];
      if (url.pathname !== '/none') lines.push(`Sec-WebSocket-Accept: ${accept}`);
      for (const [name, value] of Object.entries(extra(request.headers))) for (const v of [value].flat()) lines.push(`${name}: ${v}`);
      const text = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`);
      socket.write(url.pathname === '/hello' ? Buffer.concat([text, hello]) : text);
      start(socket, url, { ...request.headers, method: request.method }, early);
    });
  }
  process.on('SIGTERM', () => process.exit(0));
  server.listen(process.env.WS_PORT ? { port: Number(process.env.WS_PORT), host: '127.0.0.1' } : where(), () => console.log('ws worker listens'));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) serve();
