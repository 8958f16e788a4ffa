// SPDX-License-Identifier: Apache-2.0
// A page that tells what its browser did: whether an early hint was acted on before the response was
// there, and what came back over a WebSocket.
import http from 'node:http';
import { Decoder, acceptOf, frame } from './ws.mjs';

const asked = []; // paths, in order
const reports = [];
let release = null; // answers the page that waits for its hint to be acted on

const PAGE = `<!doctype html><link rel=stylesheet href=/hinted.css><p id=p>…</p><script type=module>
const entry = performance.getEntriesByName(new URL('/hinted.css', location))[0];
const navigation = performance.getEntriesByType('navigation')[0];
const report = { initiator: entry?.initiatorType, protocol: navigation.nextHopProtocol,
  interim: navigation.firstInterimResponseStart > 0, colour: getComputedStyle(document.body).color };
const socket = new WebSocket(location.origin.replace('http', 'ws') + '/echo');
socket.onopen = () => socket.send('hello from the page');
socket.onmessage = ({ data }) => { report.echo = data; socket.close(1000); };
socket.onclose = ({ code }) => { report.close = code; fetch('/report', { method: 'POST', body: JSON.stringify(report) }); };
</script>`;

const server = http.createServer((request, response) => {
  if (request.url !== '/result') asked.push(request.url);
  const html = () => response.writeHead(200, { 'content-type': 'text/html' }).end(PAGE);
  switch (request.url) {
    case '/hint': // the response waits until the hint has brought the request, so the order is certain
      response.writeEarlyHints({ link: '</hinted.css>; rel=preload; as=style' });
      release = html;
      break;
    case '/plain':
      html();
      break;
    case '/hinted.css':
      response.writeHead(200, { 'content-type': 'text/css', 'cache-control': 'max-age=60' }).end('body { color: rgb(1, 2, 3) }');
      release?.();
      release = null;
      break;
    case '/report': {
      let text = '';
      request.on('data', (part) => { text += part; }).on('end', () => {
        reports.push(JSON.parse(text));
        response.end();
      });
      break;
    }
    default:
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ asked, reports }));
  }
});
server.on('upgrade', (request, socket) => {
  asked.push('websocket');
  socket.on('error', () => {});
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(request.headers['sec-websocket-key'])}\r\n\r\n`);
  const decoder = new Decoder(true, (opcode, payload) => {
    socket.write(frame(opcode, payload, { mask: false }));
    if (opcode === 8) socket.end();
  });
  socket.on('data', (octets) => decoder.feed(octets));
});
server.listen(process.env.PORTICO_SOCKET);
