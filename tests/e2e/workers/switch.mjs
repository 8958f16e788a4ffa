// SPDX-License-Identifier: Apache-2.0
// A worker that switches to whatever protocol it is asked for: by HTTP/1.1 Upgrade, or with MODE=h2c
// by extended CONNECT (MODE=h2c-plain: without SETTINGS_ENABLE_CONNECT_PROTOCOL).
//   /raw          echoes octets as they are; says when each direction ends
//   /hello        the same, after a greeting in the same write as its answer
//   /bye          says bye and ends its side, then listens on (h2c: the answer itself ends it)
//   /stall        reads nothing until it is asked for /go by a plain request
//   /other, /nameless, /two   101 that names another protocol, none, two
//   /refuse, /ok, /ended      403, 200 (HTTP/1.1) and 426 instead of a switch
//   /never        does not answer
// Any request without a switch is answered by what came: JSON of method, headers and content.
import http from 'node:http';
import http2 from 'node:http2';
import { where } from './routes.mjs';

const stalled = new Set();

function tunnel(stream, url, early) {
  const say = (text) => console.log(`switch @${url.searchParams.get('tag')} ${text}`);
  let octets = 0;
  const take = (part) => {
    octets += part.length;
    if (url.pathname === '/bye' || stream.write(part)) return;
    stream.pause();
    stream.once('drain', () => stream.resume());
  };
  say('open');
  stream.on('error', (error) => say(`error ${error.code}`));
  stream.on('close', () => say('closed'));
  if (url.pathname === '/bye' && stream.writable) stream.end('bye');
  if (early?.length) take(early);
  const begin = () => {
    stream.on('data', take);
    stream.on('end', () => {
      say(`end after ${octets}`);
      if (stream.writable) stream.end();
    });
  };
  if (url.pathname === '/stall') stalled.add(begin);
  else begin();
}

function plain(request, response) {
  const parts = [];
  if (request.url.startsWith('/go')) for (const go of stalled) go();
  if (request.url.startsWith('/go')) stalled.clear();
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    console.log(`plain ${request.method} ${request.url}`);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ method: request.method, url: request.url, headers: request.headers, content: String(Buffer.concat(parts)) }));
  });
}

function serveH1() {
  const server = http.createServer(plain);
  server.on('upgrade', (request, socket, early) => {
    const url = new URL(request.url, 'http://worker'), asked = request.headers.upgrade;
    const answer = {
      '/refuse': 'HTTP/1.1 403 Forbidden\r\nX-From: worker\r\nContent-Length: 8\r\n\r\nnot you\n',
      '/ok': 'HTTP/1.1 200 OK\r\nX-From: worker\r\nContent-Length: 10\r\n\r\nno switch\n',
      '/ended': 'HTTP/1.1 426 Upgrade Required\r\nUpgrade: other\r\nConnection: upgrade\r\nContent-Length: 6\r\n\r\nother\n',
    }[url.pathname];
    console.log(`upgrade ${request.method} ${request.url} ${early.length} octets ahead`);
    socket.on('error', () => {});
    if (url.pathname === '/never') return;
    if (answer) {
      socket.end(answer);
      return;
    }
    const named = { '/other': ['other'], '/nameless': [], '/two': [asked, 'other'] }[url.pathname] ?? [asked.toUpperCase()];
    const told = { method: request.method, headers: request.headers };
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${named.map((name) => `Upgrade: ${name}\r\n`).join('')}Connection: Upgrade\r\nX-Told: ${JSON.stringify(told)}\r\n\r\n${url.pathname === '/hello' ? 'hello' : ''}`);
    tunnel(socket, url, early);
  });
  return server;
}

function serveH2() {
  const server = http2.createServer({ settings: { enableConnectProtocol: process.env.MODE === 'h2c', initialWindowSize: 262144 } });
  server.on('session', (session) => session.on('error', () => {}));
  server.on('request', (request, response) => {
    if (request.method !== 'CONNECT') plain(request, response);
  });
  // For Node's compatibility layer a CONNECT is an event of its own.
  server.on('connect', () => {});
  server.on('stream', (stream, headers) => {
    if (headers[':method'] !== 'CONNECT') return;
    const url = new URL(headers[':path'], 'http://worker');
    console.log(`connect ${headers[':protocol']} ${headers[':path']}`);
    stream.on('error', () => {});
    if (url.pathname === '/never') return;
    if (url.pathname === '/refuse') {
      stream.respond({ ':status': 403, 'x-from': 'worker' });
      stream.end('not you\n');
      return;
    }
    stream.respond({ ':status': 201, 'x-told': JSON.stringify(headers) }, { endStream: url.pathname === '/bye' });
    if (url.pathname === '/hello') stream.write('hello');
    tunnel(stream, url);
  });
  return server;
}

process.on('SIGTERM', () => process.exit(0));
(process.env.MODE?.startsWith('h2c') ? serveH2() : serveH1()).listen(where(), () => console.log('switch worker listens'));
