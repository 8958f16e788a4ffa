// SPDX-License-Identifier: Apache-2.0
// An h2c worker that dies between the last octet of its content and END_STREAM: the client has all
// that Content-Length promised, so nothing is cut, and the request that it sends next is answered.
import assert from 'node:assert/strict';
import net from 'node:net';
import { Portico, check, fetch2, close2, until } from './lib.mjs';
import * as h2 from './workers/frames.mjs';

let p, server;
const begun = []; // sockets of workers that still owe END_STREAM

check('starts', async () => {
  server = await h2.h2cServer((send, f, socket) => {
    if (f.type !== h2.TYPE.HEADERS) return;
    const first = begun.length < 2 && !begun.includes(socket);
    if (first) begun.push(socket);
    send(h2.head(f.id, { ':status': 200, 'content-length': '4' }), h2.data(f.id, Buffer.from('full'), !first));
  });
  p = await Portico.start({
    loops: 1,
    apps: { whole: { upstreams: [`tcp://127.0.0.1:${server.address().port}`], hosts: ['whole.localhost'], http20ProxyFlag: 1 } },
  }, { ready: false });
}, 60);

check('HTTP/1.1: the next request on the connection is not lost', async () => {
  const socket = net.connect(p.ports.http, '127.0.0.1');
  let got = '', ended = false;
  socket.setEncoding('latin1').on('data', (part) => (got += part)).on('close', () => (ended = true)).on('error', () => {});
  const ask = () => socket.write('GET / HTTP/1.1\r\nHost: whole.localhost\r\n\r\n');
  ask();
  await until('the content is here', () => got.endsWith('full'));
  ask();
  begun[0].destroy();
  await until('the second answer', () => ended || got.match(/full/g).length === 2);
  assert.equal(got.match(/HTTP\/1\.1 200/g).length, 2, got);
  assert.ok(!ended);
  socket.destroy();
});

check('HTTP/2: the stream ends well', async () => {
  const session = await p.h2('whole.localhost', { kind: 'http' });
  const answer = fetch2(session, '/');
  await until('the worker has begun', () => begun.length === 2);
  begun[1].destroy();
  const { status, body, rstCode } = await answer;
  assert.equal(status, 200);
  assert.equal(String(body), 'full');
  assert.equal(rstCode, 0);
  await close2(session);
});

check('ends clean', async () => {
  await p.stop();
  server.close();
});
