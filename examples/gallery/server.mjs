// SPDX-License-Identifier: Apache-2.0
// The gallery's worker: HTTP/2 without TLS, by prior knowledge, with server push.
//
//     PORT=3000 node server.mjs
//     curl --http2-prior-knowledge http://127.0.0.1:3000/
//
// With PORTICO_SOCKET set it listens on that unix socket instead.
import { createHash } from 'node:crypto';
import { readFileSync, unlinkSync } from 'node:fs';
import http2 from 'node:http2';
import { brotliCompressSync, constants as zlib, gzipSync } from 'node:zlib';
import { WORKS, render } from './art.mjs';
import * as pages from './pages.mjs';

const works = new Map(WORKS.map((work) => [work.id, work]));
const instance = process.env.WEBSITE_INSTANCE_ID ?? `process ${process.pid}`;
const count = { requests: 0, pushed: 0, refused: 0 };

// ---- what there is -----------------------------------------------------------------------------

const MAX_AGE = { page: 'no-cache', picture: 'public, max-age=3600', part: 'public, max-age=300' };

function resource(type, text, age) {
  const body = Buffer.from(text);
  const tag = createHash('sha256').update(body).digest('base64url').slice(0, 22);
  return {
    type,
    age,
    encodings: {
      identity: { body, etag: `"${tag}"` },
      gzip: { body: gzipSync(body), etag: `"${tag}-gz"` },
      br: {
        body: brotliCompressSync(body, { params: { [zlib.BROTLI_PARAM_QUALITY]: 5 } }),
        etag: `"${tag}-br"`,
      },
    },
  };
}

const file = (name, type) => resource(type, readFileSync(new URL(`public/${name}`, import.meta.url)), MAX_AGE.part);
const fixed = new Map([
  ['/style.css', file('style.css', 'text/css; charset=utf-8')],
  ['/script.js', file('script.js', 'text/javascript; charset=utf-8')],
  ['/favicon.svg', file('favicon.svg', 'image/svg+xml')],
  ['/', (() => {
    const { body, needs } = pages.hall();
    return { ...resource('text/html; charset=utf-8', body, MAX_AGE.page), needs };
  })()],
]);

const RECENT_MAX = 256; // anyone can ask for any number: what is remembered has an end
const recent = new Map();

function remembered(key, make) {
  const known = recent.get(key);
  if (known) {
    recent.delete(key);
    recent.set(key, known);
    return known;
  }
  const made = make();
  recent.set(key, made);
  if (recent.size > RECENT_MAX) recent.delete(recent.keys().next().value);
  return made;
}

/** The resource at a path, or null. */
function find(path) {
  const mark = path.indexOf('?');
  const name = mark < 0 ? path : path.slice(0, mark);
  if (fixed.has(name)) return fixed.get(name);

  const [, kind, id] = /^\/(art|img)\/([a-z]+)(?:\.svg)?$/.exec(name) ?? [];
  const work = works.get(id);
  if (!work || name.endsWith('.svg') !== (kind === 'img')) return null;
  const asked = mark < 0 ? null : new URLSearchParams(path.slice(mark)).get('seed');
  if (asked !== null && !/^\d{1,5}$/.test(asked)) return null;
  const seed = asked === null ? null : Number(asked);
  return remembered(`${kind} ${id} ${seed}`, () => {
    if (kind === 'img') return resource('image/svg+xml', render(work, seed), MAX_AGE.picture);
    const { body, needs } = pages.room(work, seed);
    return { ...resource('text/html; charset=utf-8', body, MAX_AGE.page), needs };
  });
}

// ---- how it is said ----------------------------------------------------------------------------

function encodingFor(accept = '') {
  const named = new Map(String(accept).split(',').map((part) => {
    const [name, ...rest] = part.trim().toLowerCase().split(/\s*;\s*/);
    return [name, rest.some((q) => /^q=0(\.0*)?$/.test(q))];
  }));
  return ['br', 'gzip'].find((name) => named.get(name) === false) ?? 'identity';
}

function isFresh(request, etag) {
  const held = request['if-none-match'];
  return held !== undefined
    && (held.trim() === '*' || held.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag));
}

/** Ends `stream` with the resource, whatever has become of the stream meanwhile. */
function answer(stream, request, found) {
  if (stream.destroyed || stream.closed) return;
  const { body, etag } = found.encodings[encodingFor(request['accept-encoding'])];
  const encoding = encodingFor(request['accept-encoding']);
  const headers = {
    ':status': 200,
    'content-type': found.type,
    'cache-control': found.age,
    etag,
    vary: 'accept-encoding',
    'x-content-type-options': 'nosniff',
  };
  if (found.type.startsWith('text/html')) headers['content-security-policy'] = "default-src 'self'";
  if (isFresh(request, etag)) {
    headers[':status'] = 304;
    stream.respond(headers, { endStream: true });
    return;
  }
  if (encoding !== 'identity') headers['content-encoding'] = encoding;
  headers['content-length'] = body.length;
  if (request[':method'] === 'HEAD') {
    stream.respond(headers, { endStream: true });
    return;
  }
  stream.respond(headers);
  stream.end(body);
}

/** Promises what the page needs and sends it.  A promise that cannot be made, or that the other
 *  side cancels, costs the page nothing. */
function push(stream, request, needs) {
  const asked = ['accept-encoding', 'accept-language', 'user-agent']
    .filter((name) => request[name] !== undefined)
    .map((name) => [name, request[name]]);
  for (const path of needs) {
    if (!stream.pushAllowed) return;
    const promised = {
      ':method': 'GET',
      ':scheme': request[':scheme'],
      ':authority': request[':authority'],
      ':path': path,
      ...Object.fromEntries(asked),
    };
    try {
      stream.pushStream(promised, (error, pushed) => {
        if (error) {
          count.refused++;
          return;
        }
        pushed.on('error', () => {});
        pushed.on('close', () => (pushed.rstCode ? count.refused++ : count.pushed++));
        answer(pushed, promised, find(path));
      });
    } catch (error) {
      // the peer turned push off, closed the stream or ran out of stream numbers just now
      count.refused++;
      return;
    }
  }
}

const kindOf = (path) => (path.endsWith('.css') ? 'style' : path.endsWith('.js') ? 'script' : 'image');

/** For a peer that takes no promises: the same as hints, before the page. */
function hint(stream, needs) {
  const link = needs.map((path) => `<${path}>; rel=preload; as=${kindOf(path)}`).join(', ');
  stream.additionalHeaders({ ':status': 103, link });
}

function plain(stream, status, type, text, headers = {}) {
  const body = Buffer.from(text);
  stream.respond({
    ':status': status, 'content-type': type, 'content-length': body.length, 'cache-control': 'no-store', ...headers,
  });
  stream.end(body);
}

function serve(stream, request) {
  const path = request[':path'];
  count.requests++;
  if (request[':method'] !== 'GET' && request[':method'] !== 'HEAD') {
    plain(stream, 405, 'text/plain; charset=utf-8', 'Only GET and HEAD.\n', { allow: 'GET, HEAD' });
    return;
  }
  if (path === '/whoami') {
    plain(stream, 200, 'application/json', JSON.stringify({ instance, pid: process.pid, ...count }) + '\n');
    return;
  }
  const found = find(path);
  if (!found) {
    plain(stream, 404, 'text/html; charset=utf-8', pages.missing(path));
    return;
  }
  // Who asks "has it changed?" was here before and has the parts too.
  if (found.needs && request[':method'] === 'GET' && request['if-none-match'] === undefined) {
    if (stream.pushAllowed) push(stream, request, found.needs);
    else hint(stream, found.needs);
  }
  answer(stream, request, found);
}

// ---- the server --------------------------------------------------------------------------------

const sessions = new Set();
const server = http2.createServer();
server.on('session', (session) => {
  sessions.add(session);
  session.on('close', () => sessions.delete(session));
  session.on('error', () => {});
});
server.on('stream', (stream, request) => {
  stream.on('error', () => {});
  stream.on('aborted', () => {});
  stream.resume(); // content that we do not read
  try {
    serve(stream, request);
  } catch (error) {
    console.error('gallery:', error);
    if (!stream.headersSent && !stream.destroyed) plain(stream, 500, 'text/plain', 'The gallery failed.\n');
    else stream.close(http2.constants.NGHTTP2_INTERNAL_ERROR);
  }
});
server.on('error', (error) => {
  console.error('gallery:', error.message);
  process.exit(1);
});

function stop() {
  server.close(() => process.exit(0));
  for (const session of sessions) session.close(); // GOAWAY; what runs may end
  setTimeout(() => process.exit(0), 10_000).unref();
}
process.once('SIGTERM', stop);
process.once('SIGINT', stop);

const socket = process.env.PORTICO_SOCKET;
const port = Number(process.env.PORT ?? 3000);
if (socket) {
  try {
    unlinkSync(socket); // left by a process that was killed
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}
server.listen(socket ? { path: socket } : { port, host: '127.0.0.1' }, () => {
  console.log(`gallery: listening on ${socket ?? `http://127.0.0.1:${port}`} (HTTP/2 by prior knowledge)`);
});
