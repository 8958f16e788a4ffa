// SPDX-License-Identifier: Apache-2.0
// RFC 6455 case by case: what a worker answers to it directly, it answers through Portico, octet for
// octet.  The cases are those that conformance suites ask: framing, pings, reserved bits and
// opcodes, parts, UTF-8, closing, sizes, each in one write and chopped.
import assert from 'node:assert/strict';
import path from 'node:path';
import { Portico, WORKERS, check, hasProgram } from './lib.mjs';
import { BINARY, CLOSE, PING, PONG, TEXT, closePayload, frame } from './workers/ws.mjs';
import { haproxyConfig, open1, proxy } from './ws-lib.mjs';

const MASK = [0x11, 0x22, 0x33, 0x44];
const put = (opcode, payload, options) => frame(opcode, payload, { mask: MASK, ...options });
const bye = put(CLOSE, closePayload(1000));
const part = (fin) => ({ fin });

/** name -> octets; each makes the worker end its side. */
function* cases() {
  for (const opcode of [TEXT, BINARY]) { // 1: framing
    for (const size of [0, 125, 126, 127, 128, 65535, 65536]) yield [`1 opcode ${opcode} of ${size}`, [put(opcode, 'x'.repeat(size)), bye]];
  }
  for (const size of [0, 5, 125, 126]) yield [`2 ping of ${size}`, [put(PING, Buffer.alloc(size, 0xfe)), bye]];
  yield ['2 pongs that nobody asked for', [put(PONG, ''), put(PONG, 'x'), put(PING, 'y'), bye]];
  yield ['2 ten pings', [...Array.from({ length: 10 }, (_, i) => put(PING, `${i}`)), bye]];
  for (let rsv = 1; rsv < 8; rsv++) { // 3: reserved bits
    for (const opcode of [TEXT, BINARY, PING, CLOSE]) yield [`3 bits ${rsv} on ${opcode}`, [put(TEXT, 'before'), put(opcode, '', { rsv }), put(PING, 'after')]];
  }
  for (const opcode of [3, 4, 5, 6, 7, 11, 12, 13, 14, 15]) { // 4: reserved opcodes
    for (const payload of ['', 'payload']) yield [`4 opcode ${opcode} with '${payload}'`, [put(TEXT, 'before'), put(opcode, payload), put(PING, 'after')]];
  }
  const parts = (...more) => [put(TEXT, 'one ', part(false)), ...more, put(0, 'two', part(true)), bye]; // 5: parts
  yield ['5 two parts', parts()];
  yield ['5 a ping between', parts(put(PING, 'p'))];
  yield ['5 many', [put(TEXT, '', part(false)), ...Array.from({ length: 50 }, () => put(0, 'x', part(false))), put(0, '', part(true)), bye]];
  yield ['5 a ping in parts', [put(PING, 'p', part(false)), put(0, 'q', part(true)), bye]];
  yield ['5 a pong in parts', [put(PONG, 'p', part(false)), put(0, 'q', part(true)), bye]];
  yield ['5 a close in parts', [put(CLOSE, closePayload(1000), part(false)), bye]];
  for (const fin of [true, false]) yield [`5 a continuation of nothing, fin ${fin}`, [put(0, 'x', part(fin)), put(TEXT, 'y'), bye]];
  yield ['5 a text within a text', parts(put(TEXT, 'within'))];
  yield ['5 a binary within a text', parts(put(BINARY, 'within', part(false)))];
  yield ['5 a close within a text', [put(TEXT, 'one', part(false)), bye]];
  const texts = ['κόσμε', '\u{10ffff}', '\u0000', '\u007f', '\u0080', '\u07ff', '\u0800', '\ud7ff', '\ue000', '\ufffd', '\uffff', '\u{10000}'].map((t) => Buffer.from(t)); // 6: UTF-8
  const bad = ['80', 'bf', 'c0af', 'c1bf', 'c080', 'e080af', 'e09fbf', 'eda080', 'edbfbf', 'f08080af', 'f0808080', 'f4908080', 'f5808080', 'f888808080', 'fc8480808080', 'fe', 'ff',
    'c2', 'e282', 'f09f98', 'cebae1bdb9cf83cebcceb5eda080656469746564'].map((h) => Buffer.from(h, 'hex'));
  for (const text of [...texts, ...bad]) {
    yield [`6 ${text.toString('hex')}`, [put(TEXT, text), bye]];
    yield [`6 ${text.toString('hex')} octet by octet`, [put(TEXT, '', part(false)), ...[...text].map((octet) => put(0, Buffer.of(octet), part(false))), put(0, '', part(true)), bye]];
    yield [`6 ${text.toString('hex')} as a reason`, [put(CLOSE, Buffer.concat([closePayload(1000), text]))]];
  }
  yield ['7 empty', [put(CLOSE, '')]]; // 7: closing
  yield ['7 half a code', [put(CLOSE, 'x')]];
  yield ['7 twice', [bye, bye]];
  yield ['7 a message behind it', [bye, put(TEXT, 'late')]];
  yield ['7 a ping behind it', [bye, put(PING, 'late')]];
  for (const size of [0, 123, 124]) yield [`7 a reason of ${size}`, [put(CLOSE, closePayload(1000, 'r'.repeat(size)))]];
  for (const code of [0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016, 1100, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65535]) {
    yield [`7 code ${code}`, [put(CLOSE, closePayload(code))]];
  }
  yield ['8 not masked', [frame(TEXT, 'bare', { mask: false }), bye]];
  yield ['8 a length that is not minimal', [Buffer.concat([Buffer.of(0x81, 0x80 | 126, 0, 5, ...MASK), Buffer.alloc(5)]), bye]];
  yield ['8 a length with its highest bit', [Buffer.of(0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, ...MASK)]];
  yield ['8 a length of 2^62', [Buffer.of(0x82, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, ...MASK)]];
  yield ['10 a message in 1,300-octet frames', [put(TEXT, 'a', part(false)), ...Array.from({ length: 50 }, () => put(0, 'x'.repeat(1300), part(false))), put(0, 'z'), bye]];
}

/** What a worker answers to a violation may be lost to a client that still writes when the other side has closed (its
 *  kernel drops what it had not read): such a run says nothing and is made again. */
async function runCase(octets, chop, to) {
  for (let i = 0; ; i++) {
    const got = await runOnce(octets, chop, to);
    if (i === 50 || !/EPIPE|ECONNRESET/.test(got)) return got;
  }
}

/** All octets that come back until a clean end, or an error.  chop: octets a write, 0: all at once. */
async function runOnce(octets, chop, to) {
  const ws = (await open1(to)).octets();
  const all = Buffer.concat(octets);
  if (chop) {
    for (let at = 0; at < all.length && !ws.ended && !ws.error; at += chop) {
      ws.stream.write(all.subarray(at, at + chop));
      await new Promise(setImmediate);
    }
  } else {
    ws.stream.write(all);
  }
  const timer = setTimeout(() => ws.stream.destroy(new Error('no end')), 60_000);
  const got = await ws.rest().then((rest) => rest.toString('hex'), (error) => error.message);
  clearTimeout(timer);
  ws.stream.destroy();
  return got;
}

let p, direct;
const routes = [], stops = [];

check('starts', async () => {
  const one = (mode) => ({ directory: WORKERS, command: 'node ws.mjs', env: { WS: mode }, hosts: [`${mode}.localhost`], ...(mode === 'h1' ? {} : { http20ProxyFlag: 1 }) });
  p = await Portico.start({ apps: { h1: one('h1'), h2c: one('h2c') } });
  const alone = await proxy('node', () => [path.join(WORKERS, 'ws.mjs')], (port) => ({ WS_PORT: String(port) }));
  stops.push(alone.stop);
  direct = { port: alone.port, host: 'h1.localhost' };
  for (const host of ['h1.localhost', 'h2c.localhost']) {
    routes.push([`h1 to ${host}`, { port: p.ports.http, host }], [`h1 over TLS to ${host}`, { port: p.ports.https, host, ca: p.ca }]);
  }
}, 60);

check('HAProxy joins, and speaks RFC 8441 to us', async () => {
  const { port, stop } = await proxy('haproxy', haproxyConfig(`127.0.0.1:${p.ports.https} ssl verify none alpn h2 sni req.hdr(host),field(1,:)`));
  stops.push(stop);
  for (const host of ['h1.localhost', 'h2c.localhost']) routes.push([`HAProxy by RFC 8441 to ${host}`, { port, host }]);
}, 30, !hasProgram('haproxy') && 'haproxy is not installed');

for (const group of ['1', '2', '3', '4', '5', '6', '7', '8', '10']) {
  check(`group ${group} behaves as without us`, async () => {
    for (const [name, octets] of cases()) {
      if (name.split(' ')[0] !== group) continue;
      const chops = octets.reduce((sum, { length }) => sum + length, 0) < 100 ? [0, 1] : [0, 997];
      for (const chop of chops) {
        const wanted = await runCase(octets, chop, direct);
        assert.match(wanted, /^[0-9a-f]+$/, `${name}: ${wanted.slice(0, 80)}`);
        const answers = await Promise.all(routes.map(([, to]) => runCase(octets, chop, to)));
        for (const [i, got] of answers.entries()) assert.equal(got, wanted, `${name}, chopped ${chop}, ${routes[i][0]}`);
      }
    }
  }, 90);
}

check('ends', async () => {
  for (const stop of stops) await stop();
  await p.stop();
});
