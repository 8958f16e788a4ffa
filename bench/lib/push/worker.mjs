// SPDX-License-Identifier: Apache-2.0
// The app: an h2c worker that thinks THINK_MS before it answers the document, and helps by MODE:
//   none            not at all
//   link            Link: preload of what is critical, on the response
//   hints           the same in a 103, before it thinks
//   push-critical   a PUSH_PROMISE for each critical one, before it thinks
//   push-all        a PUSH_PROMISE for every resource of the page
//   inline          what is critical stands in the document
// /made says how many responses it has made since the last time, the document's not counted.
import http2 from 'node:http2';
import { ASSETS, CRITICAL, LINK, NAMES, body, nameOf, page, pathOf } from './page.mjs';

const { MODE, THINK_MS } = process.env;
const PROMISED = { 'push-critical': CRITICAL, 'push-all': NAMES }[MODE] ?? [];
const html = page(MODE === 'inline');
let made = 0;

function asset(stream, name) {
  made++;
  stream.respond({
    ':status': 200, 'content-type': ASSETS[name].type, 'content-length': body[name].length, etag: `"${name}"`,
    'cache-control': 'public, max-age=3600', priority: ASSETS[name].priority,
    ...(ASSETS[name].as === 'font' ? { 'access-control-allow-origin': '*' } : {}),
  });
  stream.end(body[name]);
}

function promise(stream, headers, name) {
  stream.pushStream({
    ':method': 'GET', ':scheme': headers[':scheme'], ':authority': headers[':authority'], ':path': pathOf(name),
  }, (error, pushed) => {
    if (error) return;
    pushed.on('error', () => {});
    if (!pushed.destroyed && !pushed.closed) asset(pushed, name);
  });
}

async function answer(stream, headers) {
  if (stream.pushAllowed) for (const name of PROMISED) promise(stream, headers, name);
  if (MODE === 'hints') stream.additionalHeaders({ ':status': 103, link: LINK });
  if (Number(THINK_MS)) await new Promise((resolve) => setTimeout(resolve, Number(THINK_MS)));
  if (stream.destroyed) return;
  stream.respond({
    ':status': 200, 'content-type': 'text/html; charset=utf-8', 'content-length': html.length, 'cache-control': 'no-cache',
    ...(MODE === 'link' ? { link: LINK } : {}),
  });
  stream.end(html);
}

const server = http2.createServer();
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  const path = headers[':path'], name = nameOf(path);
  if (path === '/') {
    answer(stream, headers);
  } else if (ASSETS[name]) {
    asset(stream, name);
  } else if (path === '/made') {
    stream.respond({ ':status': 200, 'content-type': 'application/json', 'cache-control': 'no-store' });
    stream.end(JSON.stringify(made));
    made = 0;
  } else {
    stream.respond({ ':status': 404 }, { endStream: true });
  }
});
server.listen(process.env.PORTICO_SOCKET ?? process.env.PORT);
