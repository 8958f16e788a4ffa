// SPDX-License-Identifier: Apache-2.0
// The chat's worker: pages and WebSockets on one HTTP/1.1 port.
//
//     PORT=3003 node server.mjs        then open http://127.0.0.1:3003/
//
// With PORTICO_SOCKET set it listens on that unix socket instead.  Several instances share their
// rooms over CHAT_BUS, or $HOME/bus where Portico starts them; by itself it needs none.  Rooms live in
// memory: they are gone when the last instance ends.
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { WebSocketServer } from 'ws';
import { Bus } from './bus.mjs';
import { Rooms } from './rooms.mjs';

const instance = process.env.WEBSITE_INSTANCE_ID ?? `process ${process.pid}`;
const id = randomUUID();
const rooms = new Rooms();

// ---- pages -------------------------------------------------------------------------------------

const file = (name, type) => ({ type, body: fs.readFileSync(new URL(`public/${name}`, import.meta.url)) });
const files = new Map([
  ['/', { ...file('index.html', 'text/html; charset=utf-8'), link: '</style.css>; rel=preload; as=style, </script.js>; rel=preload; as=script' }],
  ['/style.css', file('style.css', 'text/css; charset=utf-8')],
  ['/script.js', file('script.js', 'text/javascript; charset=utf-8')],
  ['/favicon.svg', file('favicon.svg', 'image/svg+xml')],
]);

const server = http.createServer((request, response) => {
  const found = files.get(request.url.split('?')[0]);
  if (!found || !['GET', 'HEAD'].includes(request.method)) {
    response.writeHead(found ? 405 : 404, { 'content-type': 'text/plain', ...(found && { allow: 'GET, HEAD' }) });
    response.end(found ? 'only GET and HEAD\n' : 'nothing here\n');
    return;
  }
  response.writeHead(200, {
    'content-type': found.type,
    'content-length': found.body.length,
    'cache-control': 'no-cache',
    'content-security-policy': "default-src 'self'",
    ...(found.link && { link: found.link }),
  });
  response.end(request.method === 'HEAD' ? undefined : found.body);
});
server.keepAliveTimeout = 75_000; // longer than the front end keeps a connection

// ---- people ------------------------------------------------------------------------------------

const MAX_TEXT = 2000;
const ALIVE_MS = 25_000;
const BURST = 8; // messages at once, then one a second

const sockets = new WebSocketServer({ noServer: true, maxPayload: 16 << 10 });

/** Browsers say which page opens a socket; another site's pages have no business here. */
function isOurPage(request) {
  if (!request.headers.origin) return true;
  const host = request.headers['x-forwarded-host'] ?? request.headers.host;
  try {
    return new URL(request.headers.origin).host === host.split(',')[0].trim();
  } catch {
    return false;
  }
}

server.on('upgrade', (request, socket, head) => {
  socket.on('error', () => {}); // the peer is gone: nobody is left to tell
  const url = new URL(request.url, 'http://x');
  const room = url.searchParams.get('room') ?? 'lobby', name = (url.searchParams.get('name') ?? '').trim();
  const refusal = url.pathname !== '/ws' ? '404 Not Found'
    : !isOurPage(request) ? '403 Forbidden'
      : !/^[a-z0-9-]{1,32}$/.test(room) || !/^[^\p{Cc}]{1,24}$/u.test(name) ? '400 Bad Request' : undefined;
  if (refusal) {
    socket.end(`HTTP/1.1 ${refusal}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
    return;
  }
  sockets.handleUpgrade(request, socket, head, (ws) => enter(ws, room, name));
});

function tell(room, value) {
  const text = JSON.stringify(value);
  for (const ws of sockets.clients) if (ws.room === room && ws.readyState === ws.OPEN) ws.send(text);
}

const tellPeople = (room) => tell(room, { people: rooms.people(room) });

function enter(ws, room, name) {
  Object.assign(ws, { room, name, alive: true, tokens: BURST, filled: Date.now() });
  ws.send(JSON.stringify({ welcome: instance, others: bus?.size ?? 0, messages: rooms.messages(room) }));
  publishPeople(room);
  ws.on('pong', () => { ws.alive = true; });
  ws.on('error', () => {}); // 'close' follows
  ws.on('close', () => publishPeople(room));
  ws.on('message', (octets, isBinary) => {
    const text = isBinary ? '' : String(octets).trim().slice(0, MAX_TEXT);
    const now = Date.now();
    ws.tokens = Math.min(BURST, ws.tokens + (now - ws.filled) / 1000);
    ws.filled = now;
    if (!text) return;
    if (ws.tokens < 1) {
      ws.send(JSON.stringify({ slow: true, text }));
      return;
    }
    ws.tokens -= 1;
    const message = { id: randomUUID(), at: now, name, text, via: instance };
    rooms.add(room, message);
    tell(room, { message });
    bus?.send({ room, message });
  });
}

/** Who is in a room on this instance, to those here and to the other instances. */
function publishPeople(room) {
  const names = [...sockets.clients].filter((ws) => ws.room === room && ws.readyState === ws.OPEN).map((ws) => ws.name);
  rooms.setPeople(room, id, names);
  tellPeople(room);
  bus?.send({ room, names });
}

// A peer that vanished without a word is found out by a ping it does not answer.
const pulse = setInterval(() => {
  for (const ws of sockets.clients) {
    if (!ws.alive) {
      ws.terminate();
      continue;
    }
    ws.alive = false;
    ws.ping();
  }
}, ALIVE_MS);

// ---- the other instances -----------------------------------------------------------------------

const directory = process.env.CHAT_BUS ?? (process.env.WEBSITE_INSTANCE_ID && path.join(process.env.HOME, 'bus'));
const bus = directory ? new Bus(directory, id) : undefined;
bus?.on('join', (peer) => bus.send({ all: rooms.all(), here: rooms.peopleOf(id) }, peer));
bus?.on('leave', (peer) => rooms.forget(peer).forEach(tellPeople));
bus?.on('value', (peer, value) => {
  if (value.all) {
    for (const [room, messages] of value.all) for (const message of messages) if (rooms.add(room, message)) tell(room, { message });
    for (const [room, names] of value.here) {
      rooms.setPeople(room, peer, names);
      tellPeople(room);
    }
  } else if (value.message) {
    if (rooms.add(value.room, value.message)) tell(value.room, { message: value.message });
  } else {
    rooms.setPeople(value.room, peer, value.names);
    tellPeople(value.room);
  }
});

// ---- life --------------------------------------------------------------------------------------

const where = process.env.PORTICO_SOCKET ?? Number(process.env.PORT ?? 3003);
if (typeof where === 'string') fs.rmSync(where, { force: true });
server.listen(typeof where === 'string' ? { path: where } : { port: where, host: '127.0.0.1' }, () => {
  console.log(`chat: ${instance} listens at ${typeof where === 'string' ? where : `http://127.0.0.1:${server.address().port}/`}`);
});

// Everyone here is told to come back, and finds another instance or the next one.
process.once('SIGTERM', () => {
  clearInterval(pulse);
  server.close();
  server.closeIdleConnections();
  for (const ws of sockets.clients) ws.close(1012, 'restart');
  setTimeout(() => sockets.clients.forEach((ws) => ws.terminate()), 2000).unref();
  bus?.close();
});
