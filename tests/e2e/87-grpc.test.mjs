// SPDX-License-Identifier: Apache-2.0
// Traffic of gRPC's shape: trailers, trailers alone, streams both ways at once, resets both ways.
import assert from 'node:assert/strict';
import http2 from 'node:http2';
import { Portico, check, close2, fetch2, until, worker, whole } from './lib.mjs';

const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, NGHTTP2_ENHANCE_YOUR_CALM } = http2.constants;
const grpc = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
let p;

check('starts', async () => {
  p = await Portico.start({
    apps: {
      all: worker('grpc', 'all.localhost', { http20ProxyFlag: 1 }),
      split: worker('grpc', 'split.localhost', { http20ProxyFlag: 2 }),
    },
  });
}, 60);

for (const app of ['all', 'split']) {
  const host = `${app}.localhost`;

  check(`${app}: a stream both ways: each piece is answered before the next is sent`, async () => {
    const session = await p.h2(host);
    const stream = session.request({ ...grpc, ':path': '/pkg.Echo/Bidi' }, { endStream: false });
    const [headers] = await new Promise((resolve) => stream.once('response', (...head) => resolve(head)));
    assert.equal(headers[':status'], 200);
    assert.equal(headers['x-te'], 'trailers');
    for (let i = 0; i < 50; i++) {
      const echoed = new Promise((resolve) => stream.once('data', resolve));
      stream.write(`piece ${i}`);
      assert.equal(String(await echoed), `piece ${i}`);
    }
    const trailers = new Promise((resolve) => stream.once('trailers', resolve));
    stream.end();
    const got = await trailers;
    assert.equal(got['grpc-status'], '0');
    assert.equal(got['grpc-message'], 'done');
    await close2(session);
  });

  check(`${app}: trailers alone`, async () => {
    const session = await p.h2(host);
    const answer = await fetch2(session, '/pkg.Echo/TrailersOnly', { headers: grpc, body: 'x' });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['grpc-status'], '5');
    assert.equal(answer.body.length, 0);
    await close2(session);
  });

  check(`${app}: a worker's reset reaches the client with its code`, async () => {
    const session = await p.h2(host);
    for (const [where, code] of [
      ['Reset', NGHTTP2_CANCEL], ['Reset', NGHTTP2_ENHANCE_YOUR_CALM], ['ResetLater', NGHTTP2_INTERNAL_ERROR],
      ['ResetLater', NGHTTP2_CANCEL],
    ]) {
      const answer = await fetch2(session, `/pkg.Echo/${where}`, { headers: { ...grpc, 'x-code': String(code) }, body: 'x' });
      assert.equal(answer.rstCode, code, `${where} ${code}`);
    }
    await close2(session);
  });

  check(`${app}: a client's deadline reaches the worker`, async () => {
    const session = await p.h2(host);
    const before = JSON.parse((await fetch2(session, '/calls', { headers: grpc })).body).resets.length;
    const stream = session.request({ ...grpc, ':path': '/pkg.Echo/Hang' }, { endStream: false });
    const ended = whole(stream);
    await new Promise((resolve) => stream.once('data', resolve));
    stream.close(NGHTTP2_CANCEL);
    await ended;
    await until('the worker hears of it', async () => {
      const { resets } = JSON.parse((await fetch2(session, '/calls', { headers: grpc })).body);
      return resets.length === before + 1 && resets.at(-1) === NGHTTP2_CANCEL;
    });
    await close2(session);
  });
}

check('flag 2: what is not gRPC goes to the worker by HTTP/1.1', async () => {
  const session = await p.h2('split.localhost');
  assert.equal(JSON.parse((await fetch2(session, '/calls')).body).version, 'http/1.1');
  await close2(session);
});

check('ends clean', () => p.stop());
