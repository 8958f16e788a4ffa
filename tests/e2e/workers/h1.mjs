// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 worker that does what it is asked, mischief included.
import http from 'node:http';
import { dispatch, where } from './routes.mjs';

const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const server = http.createServer(dispatch({
  '/hints': async (request, response, query) => {
    response.writeEarlyHints({ link: query.getAll('v') });
    await later(Number(query.get('ms') ?? 50));
    if (query.has('again')) response.setHeader('link', query.getAll('v'));
    response.end('after the hints\n');
  },
  '/hop': (request, response) => {
    response.writeHead(200, {
      connection: 'keep-alive, x-secret', 'keep-alive': 'timeout=5', 'x-secret': 'for the next hop only',
      'proxy-connection': 'keep-alive', 'x-kept': 'yes', server: 'the worker',
    });
    response.end('hop\n');
  },
  '/trailers': (request, response) => {
    response.writeHead(200, { trailer: 'x-sum', 'transfer-encoding': 'chunked' });
    response.write('content ');
    response.addTrailers({ 'x-sum': '42' });
    response.end('with trailers\n');
  },
  '/close-before': (request) => request.socket.destroy(),
  '/close-mid': (request, response) => {
    response.writeHead(200, { 'content-length': 100000 });
    response.write('x'.repeat(1000), () => setTimeout(() => request.socket.destroy(), 50));
  },
  '/close-mid-chunked': (request, response) => {
    response.writeHead(200);
    response.write('x'.repeat(1000), () => setTimeout(() => request.socket.destroy(), 50));
  },
  '/rubbish': (request) => request.socket.end('these are not the octets of an answer\r\n\r\n'),
  '/two-lengths': (request) => request.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde'),
  '/bad-chunk': (request) => request.socket.end('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n'),
  '/http10': (request) => request.socket.end('HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end'),
  '/huge-fields': (request) => request.socket.end(`HTTP/1.1 200 OK\r\nX-Huge: ${'h'.repeat(200000)}\r\nContent-Length: 0\r\n\r\n`),
  '/never': () => {},
}));
server.keepAliveTimeout = 75_000;
server.on('checkContinue', (request, response) => {
  if (request.headers['x-no-continue']) {
    response.statusCode = 417;
    response.end('not now\n');
    return;
  }
  response.writeContinue();
  server.emit('request', request, response);
});
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
  setTimeout(() => process.exit(0), 8000).unref();
});
server.listen(where(), () => console.log('h1 worker listens'));
