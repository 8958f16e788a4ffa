// SPDX-License-Identifier: Apache-2.0
// What a hostile client does to make others pay: each attack is one connection's worth, bounded in
// count, and ends when the peer ends it.  The tests ask what it got for it, bench/abuse.mjs what it
// cost everybody else.
import net from 'node:net';
import * as h2 from './workers/frames.mjs';

const { TYPE, END_HEADERS, END_STREAM, ACK } = h2;
const PRIORITY_UPDATE = 0x10, UNKNOWN = 0x42, PADDED = 8;
const CALM = 0xb, HPACK = 0x9;

/** A raw HTTP/2 client: what comes is read unless `deaf`, and answered only where the attack says so. */
export class Raw {
  frames = [];
  closed = false;
  isHasty = false;
  #waiting = new Set();

  static open(port, { first = h2.settings(), deaf = false, localAddress } = {}) {
    return new Promise((resolve, reject) => {
      const raw = new Raw();
      raw.socket = net.connect({ port, host: '127.0.0.1', localAddress }, () => {
        raw.socket.write(Buffer.concat([Buffer.from(h2.PREFACE), first]));
        resolve(raw);
      });
      raw.socket.on('error', (error) => (raw.closed ? undefined : reject(error)));
      raw.socket.on('close', () => {
        raw.closed = true;
        raw.wake();
      });
      raw.socket.on('data', h2.reader((frame) => {
        if (frame.type !== TYPE.DATA) raw.frames.push({ ...frame, payload: Buffer.from(frame.payload) });
        raw.onFrame?.(frame);
        raw.wake();
      }));
      if (deaf) raw.socket.pause();
    });
  }

  wake() {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  /** Writes, and waits while the socket takes no more.  false: it is closed. */
  async send(...list) {
    if (this.closed || !this.socket.writable) return false;
    this.socket.write(Buffer.concat(list));
    while (this.socket.writableNeedDrain && !this.closed) {
      await new Promise((resolve) => {
        const awake = () => (this.socket.off('drain', awake), resolve());
        this.#waiting.add(awake);
        this.socket.once('drain', awake);
      });
    }
    return !this.closed;
  }

  async until(predicate, ms = 60_000) {
    const end = Date.now() + ms;
    while (!predicate() && !this.closed && Date.now() < end) {
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, 100);
        this.#waiting.add(() => (clearTimeout(timer), resolve()));
      });
    }
    return predicate();
  }

  get goaway() {
    const frame = this.frames.findLast((f) => f.type === TYPE.GOAWAY);
    return frame ? { last: frame.payload.readUInt32BE(0), code: frame.payload.readUInt32BE(4) } : undefined;
  }

  resets() {
    return this.frames.filter((f) => f.type === TYPE.RST).map((f) => f.payload.readUInt32BE(0));
  }

  end() {
    this.socket.destroy();
  }
}

/** Sends make(0), make(1), ... in runs, until the peer closes or `most` are out; then hears the end,
 *  unless it is in haste. */
async function flood(raw, most, make) {
  for (let i = 0; i < most;) {
    const run = [];
    for (let k = 0; k < 64 && i < most; k++, i++) run.push(make(i));
    if (!(await raw.send(...run.flat()))) break;
    await new Promise((resolve) => setImmediate(resolve)); // what came is looked at
    if (raw.goaway) break;
  }
  if (!raw.socket.isPaused()) await raw.until(() => raw.goaway && (raw.closed || raw.isHasty));
}

const id = (i) => 2 * i + 1;
const literal = (name, value) => h2.block({ [name]: value });
/** "cookie: a" into the dynamic table, then as an index of one octet. */
const indexed = (name, value) => Buffer.concat([Buffer.from([0x40]), h2.block({ [name]: value }).subarray(1)]);

/** hasty: a connection is given up as soon as its GOAWAY has come, for the next one. */
export function attacks({ port, authority, path = '/', hasty = false }) {
  const get = (i, more = {}) => h2.head(id(i), h2.request(authority, path, more), true);
  const post = (i, more = {}) => h2.head(id(i), { ...h2.request(authority, path, more), ':method': 'POST' });
  const requestBlock = h2.block(h2.request(authority, path));
  const settings = (values) => h2.settings(values);
  const on = (options, run) => async () => {
    const raw = await Raw.open(port, options);
    raw.isHasty = hasty;
    try {
      await run(raw);
    } finally {
      raw.end();
    }
    return raw;
  };
  const one = (name, reason, more, run, options = {}) => ({ name, reason, code: CALM, ...more, run: on(options, run) });

  return [
    // ---- streams made and thrown away: each may cost a worker a request ----
    one('rapid reset', 'budget.resets', { reached: true }, (raw) => flood(raw, 20000, (i) => [get(i), h2.reset(id(i), 8)])),
    one('rapid reset of requests that go on', 'budget.resets', { reached: true }, (raw) => flood(raw, 20000, (i) => [post(i), h2.reset(id(i), 8)])),
    // Each that reaches a worker takes a connection of its own.
    one('rapid reset of WebSockets', 'budget.resets', { reached: true, connects: true }, (raw) => flood(raw, 20000, (i) => [
      h2.head(id(i), { ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'http', ':authority': authority, ':path': path, 'sec-websocket-version': 13 }), h2.reset(id(i), 8),
    ])),
    one('made reset: a window past 2^31-1', 'budget.resets', { reached: true }, (raw) => flood(raw, 20000, (i) => [get(i), h2.windowUpdate(id(i), 0x7fffffff)])),
    one('made reset: WINDOW_UPDATE by 0', 'budget.resets', { reached: true }, (raw) => flood(raw, 20000, (i) => [get(i), h2.windowUpdate(id(i), 0)])),
    one('made reset: DATA after END_STREAM', 'budget.resets', { reached: true }, (raw) => flood(raw, 20000, (i) => [get(i), h2.data(id(i), Buffer.from('x'))])),
    one('made reset: a second head after END_STREAM', 'budget.resets', { reached: true }, (raw) => flood(raw, 20000, (i) => [get(i), get(i)])),
    one('made reset: more content than its length', 'budget.resets', { reached: true }, (raw) => flood(raw, 20000, (i) => [post(i, { 'content-length': 1 }), h2.data(id(i), Buffer.from('xx'))])),
    one('made reset: PRIORITY of a wrong size', 'budget.resets', { reached: true }, (raw) => flood(raw, 20000, (i) => [post(i), h2.frame(TYPE.PRIORITY, 0, id(i), Buffer.alloc(4))])),
    one('made reset: a stream that depends on itself', 'budget.resets', { reached: true }, (raw) => flood(raw, 20000, (i) => [post(i), h2.frame(TYPE.PRIORITY, 0, id(i), Buffer.concat([h2.u32(id(i)), Buffer.from([15])]))])),
    one('malformed requests', 'budget.resets', {}, (raw) => flood(raw, 20000, (i) => get(i, { 'Upper-Case': 'x' }))),
    // As many as are allowed at once are served meanwhile, and a fast worker makes room for more.
    one('more streams than allowed', 'budget.resets', { reached: true, served: true }, (raw) => flood(raw, 20000, post)),
    one('RST_STREAM on closed streams', 'budget.resets', { reached: true }, async (raw) => {
      await raw.send(get(0));
      await raw.until(() => raw.frames.some((f) => f.type === TYPE.HEADERS));
      await flood(raw, 20000, () => h2.reset(1, 8));
    }),

    // ---- field sections ----
    one('CONTINUATION without end', 'block.size', {}, (raw) => flood(raw, 2000, (i) => (i ? h2.frame(TYPE.CONT, 0, 1, Buffer.alloc(16384, 0x41)) : h2.frame(TYPE.HEADERS, END_STREAM, 1, requestBlock)))),
    one('empty CONTINUATION', 'block.size|budget.empty', {}, (raw) => flood(raw, 20000, (i) => (i ? h2.frame(TYPE.CONT, 0, 1) : h2.frame(TYPE.HEADERS, END_STREAM, 1, requestBlock)))),
    one('CONTINUATION octet by octet', 'block.size', {}, (raw) => flood(raw, 20000, (i) => (i ? h2.frame(TYPE.CONT, 0, 1, literal('x', 'y'.repeat(120)).subarray(i % 100, (i % 100) + 1)) : h2.frame(TYPE.HEADERS, END_STREAM, 1, requestBlock)))),
    one('a field block of a megabyte', 'block.size', {}, (raw) => flood(raw, 1, () => h2.head(1, { ...h2.request(authority, path), 'x-large': 'x'.repeat(1 << 20) }, true))),
    one('HPACK bomb: one octet stands for 4 KiB', 'block.size', {}, (raw) => flood(raw, 2000, (i) => h2.frame(TYPE.HEADERS, END_HEADERS | END_STREAM, id(i), Buffer.concat([requestBlock, ...(i ? [] : [indexed('x', 'b'.repeat(4000))]), Buffer.alloc(8000, 0xbe)])))),
    one('cookie crumbs', 'block.size', {}, (raw) => flood(raw, 2000, (i) => h2.frame(TYPE.HEADERS, END_HEADERS | END_STREAM, id(i), Buffer.concat([requestBlock, ...(i ? [] : [indexed('cookie', 'a')]), Buffer.alloc(8000, 0xbe)])))),
    one('sections larger than allowed', 'budget.resets', { dear: 'fields.large' }, (raw) => flood(raw, 2000, (i) => h2.frame(TYPE.HEADERS, END_HEADERS | END_STREAM, id(i), Buffer.concat([requestBlock, ...(i ? [] : [indexed('x', 'b'.repeat(4000))]), Buffer.alloc(20, 0xbe)])))),
    one('sections that say the same again and again', 'budget.resets', { dear: 'fields.large' }, (raw) => flood(raw, 2000, (i) => h2.frame(TYPE.HEADERS, END_HEADERS | END_STREAM, id(i), Buffer.concat([requestBlock, ...(i ? [] : [indexed('x', 'b'.repeat(3700))]), Buffer.alloc(i ? 15 : 14, 0xbe)])))),
    one('large sections, and no answer taken', 'sections', { reached: true }, (raw) => flood(raw, 2000, (i) => h2.frame(TYPE.HEADERS, END_HEADERS | END_STREAM, id(i), Buffer.concat([requestBlock, indexed('x', 'b'.repeat(12000)), indexed('x', 'b'.repeat(3000)), Buffer.alloc(2, 0xbe)]))), { first: settings({ 4: 0 }) }),
    one('an HPACK table larger than allowed', 'hpack', { code: HPACK }, (raw) => flood(raw, 1, () => h2.frame(TYPE.HEADERS, END_HEADERS | END_STREAM, 1, Buffer.concat([Buffer.from([0x3f, 0xe2, 0x1f]), requestBlock])))),
    // Each update costs an octet and a look: no more than any other octet.
    one('HPACK table resized 8,000 times', null, { reached: true, survives: true }, async (raw) => {
      await raw.send(h2.frame(TYPE.HEADERS, END_HEADERS | END_STREAM, 1, Buffer.concat([Buffer.alloc(8000, 0x20), requestBlock])));
      await raw.until(() => raw.frames.some((f) => f.type === TYPE.HEADERS));
    }),
    one('HPACK table emptied at each request', null, { reached: true, survives: true }, async (raw) => {
      for (let i = 0; i < 50; i++) await raw.send(h2.frame(TYPE.HEADERS, END_HEADERS | END_STREAM, id(i), Buffer.concat([Buffer.from([0x20]), requestBlock])));
      await raw.until(() => raw.frames.filter((f) => f.type === TYPE.HEADERS).length === 50);
    }),

    // ---- frames that cost an answer, or only a look ----
    one('SETTINGS', 'budget.settings', {}, (raw) => flood(raw, 20000, () => settings({ 3: 100 }))),
    one('SETTINGS with 2,730 entries', 'budget.settings', {}, (raw) => flood(raw, 1000, () => h2.frame(TYPE.SETTINGS, 0, 0, Buffer.concat(Array(2730).fill(settings({ 4: 65535 }).subarray(9)))))),
    one('SETTINGS that turn the windows about', 'budget.settings', { reached: true }, async (raw) => {
      await raw.send(...Array.from({ length: 100 }, (_, i) => get(i)));
      await flood(raw, 20000, (i) => settings({ 4: i & 1 ? 0 : 0x7fffffff }));
    }, { first: settings({ 4: 0 }) }),
    one('PING', 'budget.pings', {}, (raw) => flood(raw, 50000, () => h2.frame(TYPE.PING, 0, 0, Buffer.alloc(8)))),
    one('PING, and not reading', 'budget.pings', { deaf: true }, (raw) => flood(raw, 50000, () => h2.frame(TYPE.PING, 0, 0, Buffer.alloc(8))), { deaf: true }),
    one('GOAWAY', 'budget.settings', {}, (raw) => flood(raw, 20000, () => h2.goaway(0))),
    one('PRIORITY', 'budget.priority', {}, (raw) => flood(raw, 50000, (i) => h2.frame(TYPE.PRIORITY, 0, id(i % 1000), Buffer.concat([h2.u32(0), Buffer.from([1])])))),
    one('PRIORITY_UPDATE', 'budget.priority', {}, (raw) => flood(raw, 50000, (i) => h2.frame(PRIORITY_UPDATE, 0, 0, Buffer.concat([h2.u32(id(i % 1000)), Buffer.from('u=0,i')])))),
    one('frames of unknown types', 'budget.priority', {}, (raw) => flood(raw, 50000, () => h2.frame(UNKNOWN, 0xff, 0, Buffer.alloc(64)))),
    one('WINDOW_UPDATE of the connection', 'budget.window', {}, (raw) => flood(raw, 50000, () => h2.windowUpdate(0, 1))),
    one('WINDOW_UPDATE of streams', 'budget.window', { reached: true }, async (raw) => {
      await raw.send(post(0));
      await flood(raw, 50000, () => h2.windowUpdate(1, 1));
    }),
    one('empty DATA', 'budget.empty', { reached: true }, async (raw) => {
      await raw.send(post(0));
      await flood(raw, 20000, () => h2.data(1, Buffer.alloc(0)));
    }),
    one('DATA of nothing but padding', 'budget.empty', { reached: true }, async (raw) => {
      await raw.send(post(0));
      await flood(raw, 20000, () => h2.frame(TYPE.DATA, PADDED, 1, Buffer.concat([Buffer.from([200]), Buffer.alloc(200)])));
    }),
    one('acknowledgements of nothing', 'budget.settings', {}, (raw) => flood(raw, 50000, () => h2.frame(TYPE.SETTINGS, ACK, 0))),
    one('PING acknowledgements of nothing', 'budget.pings', {}, (raw) => flood(raw, 50000, () => h2.frame(TYPE.PING, ACK, 0, Buffer.alloc(8)))),
  ];
}
