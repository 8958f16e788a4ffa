// SPDX-License-Identifier: Apache-2.0
// Asks the front end what it was asked, as a proxy does, under the host that x-ask names; counts, and has enough at 100.
import http from 'node:http';
import { where } from './routes.mjs';

let asked = 0;

http.createServer((request, response) => {
  if (request.url === '/asked') {
    response.end(JSON.stringify({ asked }));
    asked = 0;
    return;
  }
  if (++asked > 100) {
    response.writeHead(500).end();
    return;
  }
  const { 'x-ask': host, 'x-ask-port': port } = request.headers;
  const headers = { ...request.headers, host };
  http.get({ host: '127.0.0.1', port, path: request.url, headers, agent: false }, (answer) => {
    response.statusCode = answer.statusCode;
    answer.pipe(response);
  });
}).listen(where());
process.on('SIGTERM', () => process.exit(0));
