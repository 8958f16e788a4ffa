// SPDX-License-Identifier: Apache-2.0
// A worker that counts the requests that it has at a time.  A POST lasts as long as its content, which
// comes back as it goes; a GET lasts ?ms=.  /peak tells the most that there ever were, and forgets it.
import http from 'node:http';
import { where } from './routes.mjs';

let now = 0, peak = 0;
const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://worker');
  response.setHeader('x-instance', process.env.WEBSITE_INSTANCE_ID);
  if (pathname === '/peak') {
    response.end(JSON.stringify({ peak, instance: process.env.WEBSITE_INSTANCE_ID }));
    peak = now;
    return;
  }
  let counted = true;
  const done = () => {
    now -= counted;
    counted = false;
  };
  peak = Math.max(peak, ++now);
  response.on('close', done); // it was given up
  if (request.method === 'POST') {
    response.flushHeaders();
    request.on('data', (part) => response.write(part)).on('end', () => {
      done();
      response.end();
    });
    return;
  }
  setTimeout(() => {
    done();
    response.end('done');
  }, Number(searchParams.get('ms') ?? 0));
});
server.keepAliveTimeout = 75_000;
process.on('SIGTERM', () => process.exit(0));
server.listen(where());
