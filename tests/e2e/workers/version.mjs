// SPDX-License-Identifier: Apache-2.0
// A worker that says which version it is.  START_MS: how long it takes to listen; /sick makes its
// /health fail, /well heals it; a POST's content comes back as it goes, so its client says how long
// that takes.  It ends at SIGTERM at once, as most that were never told do.
import fs from 'node:fs';
import http from 'node:http';

let sick = false;
const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://worker');
  if (pathname === '/sick') sick = true;
  if (pathname === '/well') sick = false;
  if (pathname === '/health') response.statusCode = sick ? 503 : 200;
  const body = JSON.stringify({
    version: process.env.VERSION ?? 'none', pid: process.pid, instance: process.env.WEBSITE_INSTANCE_ID, app: process.env.WEBSITE_SITE_NAME,
  });
  response.setHeader('x-pid', process.pid);
  if (request.method === 'POST') {
    response.flushHeaders();
    request.pipe(response);
    return;
  }
  response.setHeader('content-type', 'application/json');
  setTimeout(() => response.end(body), Number(searchParams.get('ms') ?? 0));
});
process.on('SIGTERM', () => {
  if (process.env.TERM_LOG) fs.appendFileSync(process.env.TERM_LOG, `${process.pid} ${Date.now()}\n`);
  process.exit(0);
});
if (process.env.FAIL) {
  console.error('this version cannot start');
  process.exit(3);
}
setTimeout(() => server.listen(process.env.PORTICO_SOCKET, () => console.log('version worker listens')), Number(process.env.START_MS ?? 0));
