// SPDX-License-Identifier: Apache-2.0
// Both ends of a push by hand: a worker that promises and answers, or does not, as a script says,
// and a client that sees each frame.
import { Hpack } from './strict-h2.mjs';
import { Raw } from './attacks.mjs';
import * as h2 from './workers/frames.mjs';

const { TYPE, END_STREAM, END_HEADERS, ACK } = h2;
const PADDED = 8;

/** Field blocks in the order in which they come, whatever frames they are cut into. */
function blocks(on) {
  const hpack = new Hpack();
  let begun;
  return (f) => {
    if (f.type === TYPE.HEADERS || f.type === TYPE.PUSH) {
      const promised = f.type === TYPE.PUSH ? f.payload.readUInt32BE(0) : 0;
      begun = { id: f.id, promised, end: f.type === TYPE.HEADERS && Boolean(f.flags & END_STREAM), parts: [promised ? f.payload.subarray(4) : f.payload] };
    } else if (f.type === TYPE.CONT) {
      begun.parts.push(f.payload);
    } else {
      return;
    }
    if (!(f.flags & END_HEADERS)) return;
    const fields = hpack.read(Buffer.concat(begun.parts));
    on({ ...begun, fields, get: Object.fromEntries(fields) });
  };
}

/** One connection from Portico, as its worker sees it. */
class Conn {
  #next = 2;

  constructor(send, socket) {
    this.send = send;
    this.socket = socket;
  }

  /** Promises on a stream.  return  the promised stream's id */
  promise(id, path, { authority = this.authority, method = 'GET', scheme = 'http', ...more } = {}) {
    const promised = this.#next;
    this.#next += 2;
    this.send(h2.promise(id, promised, { ':method': method, ':scheme': scheme, ':authority': authority, ':path': path, ...more }));
    return promised;
  }

  /** A whole answer, or with `open` the beginning of one. */
  answer(id, body = '', { status = 200, open = false, length = true, ...more } = {}) {
    const octets = Buffer.from(body);
    this.send(h2.head(id, { ':status': status, ...(length ? { 'content-length': octets.length } : {}), ...more }, !octets.length && !open),
      ...this.#content(id, octets, !open));
  }

  #content(id, octets, end) {
    const frames = [];
    for (let at = 0; at < octets.length; at += 16384) frames.push(h2.data(id, octets.subarray(at, at + 16384), end && at + 16384 >= octets.length));
    return frames;
  }
}

/** An h2c worker.  on(conn, {id, path, get, end}) is called for each request; onFrame(conn, f) for each frame. */
export async function pushWorker(on, { onFrame = () => {}, first } = {}) {
  const conns = [];
  const server = await h2.h2cServer((send, f, socket) => {
    let conn = conns.find((each) => each.socket === socket);
    if (!conn) {
      conn = new Conn(send, socket);
      conn.read = blocks((head) => {
        if (head.get[':method'] === undefined) return;
        conn.authority = head.get[':authority'];
        on(conn, { ...head, path: head.get[':path'], authority: head.get[':authority'] });
      });
      socket.on('close', () => conns.splice(conns.indexOf(conn), 1));
      conns.push(conn);
    }
    conn.read(f);
    onFrame(conn, f);
  }, { first });
  return { server, conns, port: server.address().port, resetAll: () => conns.forEach(({ socket }) => socket.destroy()) };
}

export const NAVIGATION = { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' };
const ENABLE_PUSH = 2, INITIAL_WINDOW = 4, CONNECT = 8;
export const SETTING = { ENABLE_PUSH, INITIAL_WINDOW, CONNECT };

/** A client on one connection: streams by id, promises in order. */
export class Visitor {
  #next = 1;
  streams = new Map(); // id -> {fields, informational, octets, ended, reset}
  promises = []; // {id, parent, fields, path, order}
  order = []; // "promise:2", "head:1", ... in the order of the frames

  static async open(port, authority, { push = true, window = 1 << 20, deaf = false, takes = true, settings = {} } = {}) {
    const v = new Visitor();
    v.authority = authority;
    v.takes = takes;
    v.raw = await Raw.open(port, { deaf, first: Buffer.concat([
      h2.settings({ ...(push ? {} : { [ENABLE_PUSH]: 0 }), [INITIAL_WINDOW]: window, ...settings }), h2.windowUpdate(0, 0x3fffffff),
    ]) });
    const read = blocks((head) => v.#section(head));
    v.raw.onFrame = (f) => {
      read(f);
      v.#frame(f);
    };
    return v;
  }

  stream(id) {
    if (!this.streams.has(id)) this.streams.set(id, { id, fields: undefined, informational: [], parts: [], octets: 0, ended: false, reset: undefined });
    return this.streams.get(id);
  }

  #section({ id, promised, fields, get, end }) {
    if (promised) {
      this.order.push(`promise:${promised}`);
      this.promises.push({ id: promised, parent: id, fields, path: get[':path'], get });
      this.stream(promised).path = get[':path'];
      this.onPromise?.(promised, id, get);
      return;
    }
    const s = this.stream(id);
    if (get[':status']?.startsWith('1')) {
      s.informational.push(fields);
      this.order.push(`info:${id}`);
    } else if (s.fields) {
      s.trailers = fields;
    } else {
      s.fields = fields;
      s.get = get;
      s.status = Number(get[':status']);
      this.order.push(`head:${id}`);
    }
    s.ended ||= end;
  }

  #frame(f) {
    if (f.type === TYPE.DATA) {
      const s = this.stream(f.id);
      s.octets += f.payload.length;
      s.parts.push(Buffer.from(f.payload));
      s.ended ||= Boolean(f.flags & END_STREAM);
      this.order.push(`data:${f.id}`);
      if (this.takes && f.payload.length && !s.ended && s.reset === undefined) this.raw.send(h2.windowUpdate(f.id, f.payload.length));
    }
    if (f.type === TYPE.RST) this.stream(f.id).reset = f.payload.readUInt32BE(0);
    if (f.type === TYPE.SETTINGS && !(f.flags & ACK)) this.raw.send(h2.frame(TYPE.SETTINGS, ACK, 0));
    if (f.type === TYPE.PING && !(f.flags & ACK)) this.raw.send(h2.frame(TYPE.PING, ACK, 0, f.payload));
  }

  /** Asks, and gives the stream at once. */
  ask(path, { authority = this.authority, method = 'GET', end = true, ...more } = {}) {
    const id = this.#next;
    this.#next += 2;
    this.raw.send(h2.head(id, { ...h2.request(authority, path, more), ':method': method }, end));
    const s = this.stream(id);
    s.path = path;
    return s;
  }

  until(predicate, ms) {
    return this.raw.until(predicate, ms);
  }

  over(s) {
    return s.ended || s.reset !== undefined;
  }

  /** Asks, and waits for the end of the answer. */
  async get(path, options) {
    const s = this.ask(path, options);
    if (!await this.until(() => this.over(s))) throw new Error(`${path} got no end; frames: ${this.order.slice(-20)}`);
    return s;
  }

  /** A round trip: what was sent before has been acted on, and what was queued has come. */
  async ping() {
    const mark = Buffer.from(String(this.pings = (this.pings ?? 0) + 1).padStart(8, '0'));
    await this.raw.send(h2.frame(TYPE.PING, 0, 0, mark));
    if (!await this.until(() => this.raw.frames.some((f) => f.type === TYPE.PING && f.flags & ACK && f.payload.equals(mark)))) throw new Error('no PONG');
  }

  reset(id, code = 8) {
    this.stream(id).reset ??= code;
    return this.raw.send(h2.reset(id, code));
  }

  end() {
    this.raw.end();
  }
}

export const text = (s) => Buffer.concat(s.parts).toString('latin1');
