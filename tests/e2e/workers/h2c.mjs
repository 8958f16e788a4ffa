// SPDX-License-Identifier: Apache-2.0
// An h2c worker that pushes what it is asked to.
//   /page?n=3&size=1000&from=0   pushes /part?i=0&size=1000 ... and answers with a list of them
//   /foreign?authority=A         promises /part under that authority
//   /late?n=3                    pushes when its response has begun
//   /page?n=3&ms=200             waits before it answers
//   /page?n=3&hold=a             answers once /release?hold=a was asked
//   /page?n=3&gzip               parts are a tenth of their size to who takes gzip
//   /page?n=2&priority=u%3D0&priority=u%3D6   with a Priority field each
import http2 from 'node:http2';
import { dispatch, where } from './routes.mjs';
import { pattern } from './pattern.mjs';

const held = new Map(); // what lets a page go, by its hold
const counts = { requests: 0, offered: 0, completed: 0, reset: 0, failed: 0 };
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function part(stream, query, encoding) {
  const whole = Number(query.get('size') ?? 1000), size = query.has('gzip') && encoding === 'gzip' ? whole / 10 : whole;
  stream.respond({
    ':status': 200, 'content-type': 'text/plain', 'content-length': size, 'x-part': query.get('i') ?? '', etag: `"${query.get('i')}-${size}"`,
    ...(query.has('gzip') ? { vary: 'accept-encoding' } : {}),
  });
  stream.end(pattern(size));
}

function push(stream, headers) {
  counts.offered++;
  try {
    stream.pushStream(headers, (error, pushed) => {
      if (error) {
        counts.failed++;
        return;
      }
      pushed.on('error', () => {});
      pushed.on('close', () => (pushed.rstCode ? counts.reset++ : counts.completed++));
      if (!pushed.destroyed && !pushed.closed) part(pushed, new URL(headers[':path'], 'http://worker').searchParams, headers['accept-encoding']);
    });
  } catch (error) {
    counts.failed++;
  }
}

async function page(request, response, query) {
  const stream = response.stream, headers = request.headers;
  const n = Number(query.get('n') ?? 3), from = Number(query.get('from') ?? 0), size = query.get('size') ?? '1000';
  const list = [], priorities = query.getAll('priority');
  const released = query.has('hold') && new Promise((resolve) => held.set(query.get('hold'), resolve));
  for (let i = from; i < from + n; i++) {
    const where = `/part?i=${i}&size=${size}${query.has('gzip') ? '&gzip' : ''}`;
    list.push(where);
    if (stream.pushAllowed) {
      push(stream, {
        ':method': 'GET', ':path': where, ':scheme': headers[':scheme'],
        ':authority': query.get('authority') ?? headers[':authority'], 'accept-encoding': headers['accept-encoding'] ?? 'identity',
        ...(priorities[i - from] && { priority: priorities[i - from] }),
      });
    }
  }
  if (query.has('ms')) await later(Number(query.get('ms')));
  await released;
  if (stream.destroyed) return;
  response.setHeader('content-type', 'application/json');
  response.setHeader('x-push-allowed', String(stream.pushAllowed));
  response.end(JSON.stringify(list));
}

const server = http2.createServer({ settings: { maxConcurrentStreams: 1000 } }, dispatch({
  '/page': page,
  '/release': (request, response, query) => {
    held.get(query.get('hold'))();
    response.end();
  },
  '/part': (request, response, query) => part(response.stream, query, request.headers['accept-encoding']),
  '/counts': (request, response) => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ ...counts, pid: process.pid }));
  },
  '/hints': async (request, response, query) => {
    response.stream.additionalHeaders({ ':status': 103, link: query.getAll('v') });
    await later(Number(query.get('ms') ?? 50));
    response.end('after the hints\n');
  },
  /** promises after its own head, and with content still to come */
  '/late': async (request, response, query) => {
    response.setHeader('content-type', 'text/plain');
    if (query.has('length')) response.setHeader('content-length', 11);
    response.write('begun\n');
    await later(20);
    for (let i = 0; i < Number(query.get('n') ?? 1); i++) {
      push(response.stream, {
        ':method': 'GET', ':path': `/part?i=late${i}&size=1000`, ':scheme': request.headers[':scheme'], ':authority': request.headers[':authority'],
      });
    }
    await later(20);
    response.end('done\n');
  },
  '/tales': (request, response) => {
    response.setHeader('portico-push', '"/tale";reason=ok');
    response.addTrailers({ 'portico-push': '"/tale";reason=ok' });
    response.end('told\n');
  },
  '/reset': (request, response) => response.stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR),
  '/reset-mid': (request, response) => {
    response.stream.respond({ ':status': 200 });
    response.stream.write('x'.repeat(1000), () => setTimeout(() => response.stream.destroy(new Error('cut')), 50));
  },
  '/trailers': (request, response) => {
    response.addTrailers({ 'x-sum': '42' });
    response.end('content with trailers\n');
  },
  '/claim': (request, response, query) => { // to speak for an origin, in frames of its own
    const origin = query.get('origin');
    if (origin) {
      response.stream.session.origin(origin);
      response.stream.session.altsvc('h2=":1"', origin);
    }
    response.end(JSON.stringify({ socket: process.env.PORTICO_SOCKET }));
  },
  '/never': () => {},
}));
server.on('stream', () => counts.requests++);
const sessions = new Set();
server.on('session', (session) => {
  sessions.add(session);
  session.on('close', () => sessions.delete(session));
  session.on('error', () => {});
});
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  for (const session of sessions) session.close();
  setTimeout(() => process.exit(0), 8000).unref();
});
server.listen(where(), () => console.log('h2c worker listens'));
