// SPDX-License-Identifier: Apache-2.0
// HTTP/2 frames made and read by hand, for peers that break rules on purpose.  Heads are written as
// literals without indexing; heads that come are not decoded.
import net from 'node:net';
import tls from 'node:tls';

export const TYPE = { DATA: 0, HEADERS: 1, PRIORITY: 2, RST: 3, SETTINGS: 4, PUSH: 5, PING: 6, GOAWAY: 7, WINDOW: 8, CONT: 9 };
export const END_STREAM = 1, ACK = 1, END_HEADERS = 4;
export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

function number(n, prefix, first) {
  const max = (1 << prefix) - 1;
  if (n < max) return [first | n];
  const out = [first | max];
  for (n -= max; n >= 128; n = Math.floor(n / 128)) out.push((n % 128) | 128);
  return [...out, n];
}

const text = (s) => {
  const octets = Buffer.from(s, 'latin1');
  return Buffer.concat([Buffer.from(number(octets.length, 7, 0)), octets]);
};

/** fields: an object, or pairs where order or repetition matters. */
export const block = (fields) => Buffer.concat((Array.isArray(fields) ? fields : Object.entries(fields)).flatMap(([name, values]) => (
  [values].flat().map((value) => Buffer.concat([Buffer.from([0]), text(name), text(String(value))])))));

export function frame(type, flags, id, payload = Buffer.alloc(0)) {
  const body = Buffer.from(payload);
  const head = Buffer.alloc(9);
  head.writeUIntBE(body.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(id, 5);
  return Buffer.concat([head, body]);
}

export const u32 = (...values) => {
  const out = Buffer.alloc(values.length * 4);
  values.forEach((value, i) => out.writeUInt32BE(value, i * 4));
  return out;
};

export const settings = (values = {}) => frame(TYPE.SETTINGS, 0, 0, Buffer.concat(Object.entries(values).map(([id, value]) => {
  const row = Buffer.alloc(6);
  row.writeUInt16BE(Number(id), 0);
  row.writeUInt32BE(value, 2);
  return row;
})));

/** A section in one frame, or with CONTINUATION where it is long. */
export function section(type, id, fields, { end = false, before = Buffer.alloc(0) } = {}) {
  const whole = Buffer.concat([before, block(fields)]);
  const parts = [];
  for (let at = 0; at === 0 || at < whole.length; at += 16384) parts.push(whole.subarray(at, at + 16384));
  return Buffer.concat(parts.map((part, i) => frame(i ? TYPE.CONT : type, (i === parts.length - 1 ? END_HEADERS : 0) | (end && i === 0 ? END_STREAM : 0), id, part)));
}

export const head = (id, fields, end = false) => section(TYPE.HEADERS, id, fields, { end });
export const data = (id, octets, end = false) => frame(TYPE.DATA, end ? END_STREAM : 0, id, octets);
export const reset = (id, code) => frame(TYPE.RST, 0, id, u32(code));
export const promise = (id, promised, fields) => section(TYPE.PUSH, id, fields, { before: u32(promised) });
export const goaway = (last, code = 0) => frame(TYPE.GOAWAY, 0, 0, u32(last, code));
export const windowUpdate = (id, add) => frame(TYPE.WINDOW, 0, id, u32(add));

/** Cuts octets into frames: feed(chunk) calls on({type, flags, id, payload}). */
export function reader(on, { preface = false } = {}) {
  let rest = Buffer.alloc(0), wait = preface ? PREFACE.length : 0;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    if (wait) {
      if (rest.length < wait) return;
      rest = rest.subarray(wait);
      wait = 0;
    }
    while (rest.length >= 9 && rest.length >= 9 + rest.readUIntBE(0, 3)) {
      const len = rest.readUIntBE(0, 3);
      const one = { type: rest[3], flags: rest[4], id: rest.readUInt32BE(5) & 0x7fffffff, payload: rest.subarray(9, 9 + len) };
      rest = rest.subarray(9 + len);
      on(one);
    }
  };
}

/** An h2c worker: `on(send, frame, socket)` is called for each frame; SETTINGS and PING are seen to. */
export function h2cServer(on, { first = settings() } = {}) {
  const server = net.createServer((socket) => {
    const send = (...frames) => socket.writable && socket.write(Buffer.concat(frames));
    socket.on('error', () => {});
    send(first);
    socket.on('data', reader((f) => {
      if (f.type === TYPE.SETTINGS && !(f.flags & ACK)) send(frame(TYPE.SETTINGS, ACK, 0));
      if (f.type === TYPE.PING && !(f.flags & ACK)) send(frame(TYPE.PING, ACK, 0, f.payload));
      on(send, f, socket);
    }, { preface: true }));
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

/** A client by hand: {send, frames, socket, until(pred)}; secure: options of tls.connect. */
export function h2Client(port, { first = settings(), secure, localAddress } = {}) {
  return new Promise((resolve, reject) => {
    const frames = [], waiting = new Set();
    const where = { port, host: '127.0.0.1', localAddress };
    const socket = secure ? tls.connect({ ...where, ALPNProtocols: ['h2'], ...secure }) : net.connect(where);
    socket.on(secure ? 'secureConnect' : 'connect', () => {
      socket.write(Buffer.concat([Buffer.from(PREFACE), first]));
      resolve(client);
    });
    const client = {
      socket, frames, closed: false, autoAck: true,
      send: (...list) => socket.writable && socket.write(Buffer.concat(list)),
      async until(predicate, ms = 60_000) {
        const end = Date.now() + ms;
        for (;;) {
          const found = frames.find(predicate);
          if (found) return found;
          if (client.closed || Date.now() > end) return null;
          await new Promise((wake) => {
            const timer = setTimeout(wake, 50);
            waiting.add(() => (clearTimeout(timer), wake()));
          });
        }
      },
    };
    socket.on('error', reject);
    socket.on('data', reader((f) => {
      frames.push(f);
      if (f.type === TYPE.SETTINGS && !(f.flags & ACK) && client.autoAck) client.send(frame(TYPE.SETTINGS, ACK, 0));
      if (f.type === TYPE.PING && !(f.flags & ACK) && client.autoAck) client.send(frame(TYPE.PING, ACK, 0, f.payload));
      for (const wake of waiting) wake();
      waiting.clear();
    }));
    socket.on('close', () => {
      client.closed = true;
      for (const wake of waiting) wake();
    });
  });
}

export const request = (authority, path, more = {}) => ({ ':method': 'GET', ':scheme': 'http', ':authority': authority, ':path': path, ...more });
