// SPDX-License-Identifier: Apache-2.0
// What the workers of both protocols answer alike.  Handlers get (request, response, query); Node's
// HTTP/1.1 and HTTP/2 compatibility objects look the same here.
import { createHash } from 'node:crypto';
import { patternStream } from './pattern.mjs';

const number = (query, name, otherwise) => Number(query.get(name) ?? otherwise);
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export const instance = process.env.WEBSITE_INSTANCE_ID ?? String(process.pid);

function json(response, value) {
  const text = JSON.stringify(value);
  response.setHeader('content-type', 'application/json');
  response.setHeader('content-length', Buffer.byteLength(text));
  response.end(text);
}

/** Reads the content, at most `rate` octets a second where asked, and tells what came. */
async function tell(request, response, query) {
  const hash = createHash('sha256'), rate = number(query, 'rate', 0);
  let octets = 0;
  const began = Date.now();
  for await (const part of request) {
    hash.update(part);
    octets += part.length;
    if (rate) await later(Math.max(0, (octets / rate) * 1000 - (Date.now() - began)));
  }
  json(response, {
    pid: process.pid, instance, app: process.env.APP, method: request.method, path: request.url,
    httpVersion: request.httpVersion, rawHeaders: request.rawHeaders, headers: request.headers,
    octets, sha256: hash.digest('hex'), trailers: request.trailers,
  });
}

export const routes = {
  '/echo': tell,
  '/whoami': (request, response) => json(response, { pid: process.pid, instance, app: process.env.APP }),
  '/env': (request, response) => json(response, process.env),
  '/bytes': (request, response, query) => {
    const n = number(query, 'n', 1024);
    response.setHeader('content-type', 'application/octet-stream');
    if (!query.has('chunked')) response.setHeader('content-length', n);
    if (request.method === 'HEAD') response.end();
    else patternStream(n).pipe(response).on('error', () => {});
  },
  '/status': (request, response, query) => {
    response.statusCode = number(query, 'code', 200);
    response.end([204, 304].includes(response.statusCode) ? undefined : 'status\n');
  },
  '/slow': async (request, response, query) => {
    console.log(`slow request has begun in ${process.pid}`);
    await later(number(query, 'ms', 500));
    json(response, { pid: process.pid, slow: true });
  },
  /** n parts, ms between them; with `silent` no end comes */
  '/drip': async (request, response, query) => {
    for (let i = 0; i < number(query, 'n', 3); i++) {
      response.write(`part ${i}\n`);
      await later(number(query, 'ms', 100));
    }
    if (!query.has('silent')) response.end();
  },
  '/link': (request, response, query) => {
    response.setHeader('link', query.getAll('v'));
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>link</title>\n'.padEnd(number(query, 'n', 0)));
  },
  '/links': (request, response, query) => {
    response.setHeader('link', Array.from({ length: number(query, 'n', 10) }, (_, i) => `</asset?name=many${i}>; rel=preload; as=style`));
    response.end('many\n');
  },
  '/asset': (request, response, query) => {
    response.setHeader('content-type', query.get('type') ?? 'text/css');
    response.setHeader('x-asked-with', JSON.stringify(request.headers));
    response.end(`/* asset ${query.get('name')} */\n`.padEnd(number(query, 'n', 0)));
  },
  '/exit': (request, response, query) => {
    process.exit(number(query, 'code', 3));
  },
};

export function dispatch(more = {}) {
  const all = { ...routes, ...more };
  return (request, response) => {
    const { pathname, searchParams } = new URL(request.url, 'http://worker');
    const route = all[pathname];
    request.on('error', () => {});
    response.on('error', () => {});
    if (!route) {
      response.statusCode = 404;
      response.end('the worker has no such path\n');
      return;
    }
    Promise.resolve(route(request, response, searchParams)).catch((error) => {
      if (error.code !== 'ECONNRESET' && error.code !== 'ERR_STREAM_PREMATURE_CLOSE') console.log(`worker: ${error.message}`);
      response.destroy?.();
    });
  };
}

/** Where Portico wants the worker: the socket, or with LISTEN=port the port. */
export function where() {
  if (process.env.PORTICO_SOCKET && process.env.LISTEN !== 'port') return { path: process.env.PORTICO_SOCKET };
  return { port: Number(process.env.PORT ?? 0), host: '127.0.0.1' };
}
