// SPDX-License-Identifier: Apache-2.0
// A worker of `make soak`: its answers are made from the request alone, so that tests/soak/plan.c
// knows every octet in advance.  PROTOCOL=h2c or h1.
//   /soak?id=I&n=OCTETS&at=PLACE  OCTETS of the app's pattern beginning at PLACE
//   &chunked  names no length      &wait=MS  waits first      &drip=N  in N parts with pauses
//   &early    answers before the upload ends; the upload's sum is in a trailer
//   &cut      sends half and ends the stream or connection
// With SOAK_LIE every 5th answer is wrong, to test the checker: octet, short, app, again.
// Each delivery of a POST is a line in $SOAK_LOG before anything else happens with it.
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import path from 'node:path';

const APP = process.env.APP;
const PATTERN = 1048573;
const pattern = createHash('shake128', { outputLength: PATTERN })
  .update(`down/${APP}/${process.env.SOAK_SEED}`).digest();
const log = fs.openSync(path.join(process.env.SOAK_LOG, `${APP}.${process.pid}`), 'a', 0o644);
let ending = false;
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const LIE = process.env.SOAK_LIE;
let served = 0;

/** The octets as parts that are not copied. */
function* octets(at, n) {
  for (let place = at % PATTERN; n > 0;) {
    const part = pattern.subarray(place, Math.min(place + Math.min(n, 65536), PATTERN));
    yield part;
    n -= part.length;
    place = (place + part.length) % PATTERN;
  }
}

function write(response, part) {
  return new Promise((resolve, reject) => {
    if (response.destroyed || response.stream?.destroyed) reject(new Error('gone'));
    else if (response.write(part)) resolve();
    else {
      const done = () => {
        response.off('drain', done).off('close', done);
        resolve();
      };
      response.on('drain', done).on('close', done);
    }
  });
}

/** All parts, with pauses when they are to drip. */
async function send(response, at, n, drip) {
  let sent = 0, next = drip ? n / (drip + 1) : Infinity;
  for (const part of octets(at, n)) {
    for (let rest = part; rest.length;) {
      const take = Math.max(1, Math.min(rest.length, Math.ceil(next - sent)));
      await write(response, rest.subarray(0, take));
      sent += take;
      rest = rest.subarray(take);
      if (sent >= next) {
        next += n / (drip + 1);
        await later(30);
      }
    }
  }
}

async function readUpload(request) {
  const hash = createHash('sha256');
  let count = 0;
  for await (const part of request) {
    hash.update(part);
    count += part.length;
  }
  return `${count} ${hash.digest('hex')}`;
}

async function answer(request, response) {
  const query = new URL(request.url, 'http://worker').searchParams;
  const n = Number(query.get('n')), at = Number(query.get('at')), drip = Number(query.get('drip') ?? 0);
  const lie = LIE && ++served % 5 === 0 ? LIE : undefined;
  if (request.method === 'POST') fs.writeSync(log, `${query.get('id')}\n`.repeat(lie === 'again' ? 2 : 1));
  response.setHeader('x-soak-app', lie === 'app' ? `${APP}x` : APP);
  response.setHeader('x-soak-id', query.get('id'));
  response.setHeader('x-soak-pid', process.pid);
  if (ending && !response.stream) response.setHeader('connection', 'close');
  if (!query.has('chunked')) response.setHeader('content-length', n);
  if (query.has('wait')) await later(Number(query.get('wait')));
  let upload;
  if (request.method === 'POST') {
    upload = readUpload(request);
    upload.catch(() => {});
    if (!query.has('early')) response.setHeader('x-soak-sum', await upload);
    else response.setHeader('trailer', 'x-soak-sum');
  }
  if (request.method === 'HEAD') {
    response.end();
  } else if (query.has('cut')) {
    await send(response, at, Math.floor(n / 2), drip);
    await later(20);
    if (response.stream) response.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    else request.socket.destroy();
  } else {
    if (query.has('early')) response.flushHeaders?.();
    if (lie === 'octet' && n) {
      await send(response, at, n - 1, drip);
      await write(response, Buffer.from([pattern[(at + n - 1) % PATTERN] ^ 1]));
    } else {
      await send(response, at, lie === 'short' && query.has('chunked') ? n - Math.min(n, 1) : n, drip);
    }
    if (query.has('early')) response.addTrailers({ 'x-soak-sum': await upload });
    response.end();
  }
}

function serve(request, response) {
  request.on('error', () => {});
  response.on('error', () => {});
  answer(request, response).catch((error) => {
    if (response.stream) response.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
    else request.socket?.destroy();
    if (!/gone|aborted|premature close|ECONNRESET/i.test(`${error.message} ${error.code}`)) console.log(`worker: ${error.stack}`);
  });
}

const h2c = process.env.PROTOCOL === 'h2c';
const server = h2c ? http2.createServer({ settings: { maxConcurrentStreams: 1000 } }, serve) : http.createServer(serve);
const sessions = new Set();
if (h2c) {
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session)).on('error', () => {});
  });
} else {
  server.keepAliveTimeout = 75_000;
}
process.on('SIGTERM', () => {
  ending = true;
  server.close(() => process.exit(0));
  server.closeIdleConnections?.();
  for (const session of sessions) session.close();
  setTimeout(() => process.exit(0), 25_000).unref();
});
server.listen({ path: process.env.PORTICO_SOCKET });
