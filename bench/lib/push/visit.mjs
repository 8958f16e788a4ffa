// SPDX-License-Identifier: Apache-2.0
// A scripted client that behaves as a browser would whose own work takes no time: it asks for what
// the document's octets name as soon as they are here, for what is named by something else when that
// is whole, and for nothing that was promised to it or that it has.
import http2 from 'node:http2';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import { ASSETS, CRITICAL, REFERENCE, childrenOf, nameOf, pathOf } from './page.mjs';

const { NGHTTP2_CANCEL } = http2.constants;
const DATA = 0x0; // RFC 9113 6.1
const DEADLINE_MS = 30_000;
// Chromium's windows, so that none of them is what limits a page of this size.
const STREAM_WINDOW = 6 << 20, CONNECTION_WINDOW = 15 << 20;

/** The connection, with an ear to its frames: Node does not tell of octets on streams that were reset. */
class Tap extends Duplex {
  octets = new Map(); // stream -> payload of its DATA frames
  total = 0; // of all of them
  arrivals = []; // [ms, total]
  #header = Buffer.alloc(0);
  #stream = 0; // of a DATA frame, or 0
  #left = 0; // of the frame's payload

  constructor(socket) {
    super();
    this.socket = socket;
    socket.on('data', (part) => {
      this.#listen(part);
      if (!this.push(part)) socket.pause();
    });
    socket.on('end', () => this.push(null)).on('error', (error) => this.destroy(error));
  }

  #listen(part) {
    for (let at = 0; at < part.length;) {
      if (this.#left) {
        const taken = Math.min(this.#left, part.length - at);
        if (this.#stream) this.#data(taken);
        this.#left -= taken;
        at += taken;
        continue;
      }
      const wanted = 9 - this.#header.length;
      this.#header = Buffer.concat([this.#header, part.subarray(at, at + wanted)]);
      at += wanted;
      if (this.#header.length < 9) return;
      this.#left = this.#header.readUIntBE(0, 3);
      this.#stream = this.#header[3] === DATA ? this.#header.readUInt32BE(5) : 0;
      this.#header = Buffer.alloc(0);
    }
  }

  #data(octets) {
    this.octets.set(this.#stream, (this.octets.get(this.#stream) ?? 0) + octets);
    this.total += octets;
    this.arrivals.push([performance.now(), this.total]);
  }

  _read() {
    this.socket.resume();
  }

  _write(part, encoding, done) {
    this.socket.write(part, done);
  }

  _final(done) {
    this.socket.end(done);
  }

  _destroy(error, done) {
    this.socket.destroy();
    done(error);
  }
}

/** One client with its cache, cookies and TLS session. */
export class Visitor {
  #cookies = new Map();
  #cache = new Set();

  constructor(server, host, { push, hints }) {
    Object.assign(this, { server, host, push, hints });
  }

  async visit() {
    const visit = new Visit(this, this.#cache);
    const result = await visit.run(this.#cookies);
    for (const name of visit.have) this.#cache.add(name);
    return result;
  }
}

class Visit {
  have = new Set(); // whole, or cached
  #known = new Set(); // needed by the page
  #coming = new Map(); // name -> the stream that will bring it
  #unwanted = []; // streams that were cancelled
  #whole = new Map(); // name -> ms
  #counts = { asked: 0, promised: 0, cancelled: 0, hinted: 0 };

  constructor(visitor, cache) {
    this.visitor = visitor;
    this.cache = cache;
    this.finished = new Promise((resolve, reject) => Object.assign(this, { finish: resolve, fail: reject }));
  }

  async run(cookies) {
    const { server, host, push } = this.visitor;
    const opened = performance.now();
    const socket = tls.connect({
      host: server.address, port: server.port, servername: host, ca: server.ca, ALPNProtocols: ['h2'], session: this.visitor.ticket,
    });
    socket.setNoDelay(true);
    socket.on('session', (ticket) => {
      this.visitor.ticket = ticket;
    });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    this.tap = new Tap(socket);
    this.authority = `${host}:${server.port}`;
    this.session = http2.connect(`https://${this.authority}`, {
      createConnection: () => this.tap, settings: { enablePush: push, initialWindowSize: STREAM_WINDOW },
    });
    this.session.on('error', (error) => this.fail(error));
    this.session.on('stream', (stream, headers) => this.#promised(stream, nameOf(headers[':path'])));
    await new Promise((resolve) => this.session.once('connect', resolve));
    this.session.setLocalWindowSize(CONNECTION_WINDOW);

    const timer = setTimeout(() => this.fail(new Error(`no page in ${DEADLINE_MS} ms: ${this.#state()}`)), DEADLINE_MS);
    const start = performance.now();
    try {
      this.#document(cookies);
      await this.finished;
      await new Promise((resolve) => this.session.ping(() => resolve())); // behind all that was sent before a cancel came
      return this.#result(opened, start);
    } finally {
      clearTimeout(timer);
      this.session.destroy();
    }
  }

  #ask(path, priority, more = {}) {
    this.#counts.asked++;
    const stream = this.session.request({ ':path': path, ':authority': this.authority, priority, 'accept-encoding': 'gzip', ...more });
    stream.on('error', () => {});
    return stream;
  }

  #document(cookies) {
    const stream = this.#ask('/', 'u=0, i', {
      accept: 'text/html', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-site': 'none',
      ...(cookies.size ? { cookie: [...cookies].map((pair) => pair.join('=')).join('; ') } : {}),
    });
    let text = '';
    const reference = new RegExp(REFERENCE);
    const read = () => {
      for (let at = reference.lastIndex, found; ; at = reference.lastIndex) {
        found = reference.exec(text);
        if (!found) {
          reference.lastIndex = at;
          break;
        }
        this.#discover(found[1] ?? found[2], found[2] !== undefined);
      }
    };
    stream.on('headers', ({ link }) => this.#hinted(link));
    stream.on('response', (headers) => {
      for (const cookie of headers['set-cookie'] ?? []) cookies.set(...cookie.split(';')[0].split(/=(.*)/s));
      this.#hinted(headers.link);
    });
    stream.on('data', (part) => {
      if (this.firstMs === undefined) {
        this.firstMs = performance.now();
        this.early = this.tap.total - this.tap.octets.get(stream.id);
      }
      text += part.toString('latin1');
      // Node tells of a promise a tick later than of the DATA behind it, when one read brought both.
      setImmediate(read);
    });
    stream.on('end', () => {
      this.documentMs = performance.now();
      read();
      this.#look();
    });
    stream.on('close', () => this.documentMs ?? this.fail(new Error(`the document was reset (${stream.rstCode})`)));
  }

  /** The page needs it. */
  #discover(name, inlined) {
    this.#known.add(name);
    if (inlined || this.cache.has(name) || this.have.has(name)) this.#complete(name);
    else this.#fetch(name);
  }

  #complete(name) {
    this.have.add(name);
    if (!this.#known.has(name)) return; // pushed before anything named it
    if (!this.#whole.has(name)) this.#whole.set(name, performance.now());
    for (const child of childrenOf(name)) if (!this.#known.has(child)) this.#discover(child, false);
    this.#look();
  }

  #fetch(name) {
    if (this.#coming.has(name) || this.have.has(name) || this.cache.has(name)) return;
    this.#receive(name, this.#ask(pathOf(name), ASSETS[name].priority));
  }

  #receive(name, stream) {
    this.#coming.set(name, stream);
    let ended = false;
    stream.on('end', () => {
      ended = true;
    });
    stream.on('close', () => {
      if (ended && stream.rstCode === 0) {
        this.#complete(name);
      } else if (this.#coming.get(name) === stream && !this.session.destroyed) { // promised and then not sent: ask
        this.#coming.delete(name);
        if (this.#known.has(name)) this.#fetch(name);
      }
    });
    stream.resume();
  }

  #promised(stream, name) {
    this.#counts.promised++;
    stream.on('error', () => {});
    if (this.cache.has(name) || this.#coming.has(name) || !ASSETS[name]) {
      this.#counts.cancelled++;
      this.#unwanted.push(stream);
      stream.close(NGHTTP2_CANCEL);
    } else {
      this.#receive(name, stream);
    }
  }

  #hinted(link) {
    if (!this.visitor.hints || !link) return;
    for (const [, name] of [link].flat().join(', ').matchAll(/<\/s\/([^>]+)>[^,]*rel="?preload/g)) {
      this.#counts.hinted++;
      this.#fetch(name);
    }
  }

  #look() {
    if (this.documentMs !== undefined && [...this.#known].every((name) => this.#whole.has(name))) this.finish();
  }

  /** What is missing. */
  #state() {
    const missing = [...this.#known].filter((name) => !this.#whole.has(name)).map((name) => {
      const { id } = this.#coming.get(name) ?? {};
      return `${name} (stream ${id}, ${this.tap.octets.get(id) ?? 0} octets)`;
    });
    return `${this.documentMs === undefined ? `the document, ${this.tap.octets.get(1) ?? 0} octets; ` : ''}${missing.join(', ')}`;
  }

  #result(opened, start) {
    const { tap } = this;
    const since = (ms) => ms - start;
    const octetsOf = (streams) => streams.reduce((sum, { id }) => sum + (tap.octets.get(id) ?? 0), 0);
    const unneeded = [...this.#coming].filter(([name]) => !this.#known.has(name)).map(([, stream]) => stream);
    return {
      connect: start - opened,
      first: since(this.firstMs),
      critical: since(Math.max(...CRITICAL.map((name) => this.#whole.get(name)))),
      document: since(this.documentMs),
      all: since(Math.max(this.documentMs, ...this.#whole.values())),
      octets: tap.total,
      early: this.early,
      wasted: octetsOf([...this.#unwanted, ...unneeded]),
      arrivals: tap.arrivals.map(([ms, octets]) => [since(ms), octets]),
      ...this.#counts,
    };
  }
}
