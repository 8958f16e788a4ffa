// SPDX-License-Identifier: Apache-2.0
// A worker that behaves as gRPC servers do: HTTP/2 only, trailers, streams both ways, resets.  With
// HTTP20_ONLY_PORT it speaks HTTP/1.1 at its other address, as flag 2 wants.
import http from 'node:http';
import http2 from 'node:http2';

const calls = { resets: [] };
const server = http2.createServer();
server.on('sessionError', () => {});
server.on('stream', (stream, headers) => {
  stream.on('error', () => {});
  const head = { ':status': 200, 'content-type': 'application/grpc', 'x-te': headers.te ?? '' };
  const trailers = (fields) => stream.on('wantTrailers', () => stream.sendTrailers(fields));
  switch (headers[':path']) {
    case '/pkg.Echo/Bidi': // answers each piece before the next one comes
      stream.respond(head, { waitForTrailers: true });
      trailers({ 'grpc-status': '0', 'grpc-message': 'done' });
      stream.on('data', (piece) => stream.write(piece));
      stream.on('end', () => stream.end());
      break;
    case '/pkg.Echo/TrailersOnly':
      stream.respond({ ...head, 'grpc-status': '5', 'grpc-message': 'not found' }, { endStream: true });
      break;
    case '/pkg.Echo/Reset':
      stream.close(Number(headers['x-code']));
      break;
    case '/pkg.Echo/ResetLater':
      stream.respond(head);
      stream.write('partial');
      stream.once('data', () => stream.close(Number(headers['x-code'])));
      break;
    case '/pkg.Echo/Hang':
      stream.respond(head);
      stream.write('begun');
      stream.on('close', () => calls.resets.push(stream.rstCode));
      break;
    default:
      stream.respond({ ':status': 200, 'content-type': 'application/json' });
      stream.end(JSON.stringify(calls));
  }
});
if (process.env.HTTP20_ONLY_PORT) {
  server.listen(process.env.HTTP20_ONLY_PORT, '127.0.0.1');
  http.createServer((_, response) => response.end(JSON.stringify({ version: 'http/1.1', ...calls })))
    .listen(process.env.PORT, '127.0.0.1');
} else {
  server.listen(process.env.PORTICO_SOCKET);
}
