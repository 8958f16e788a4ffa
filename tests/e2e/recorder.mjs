// SPDX-License-Identifier: Apache-2.0
// A listener between an HTTP/2 client and a server, both without TLS, that keeps the frames which the
// server sends: what was on the wire, told by nobody who took part.
import net from 'node:net';
import { TYPE, reader } from './workers/frames.mjs';

/** {port, frames, close()} */
export function recorder(port) {
  const frames = [], sockets = new Set();
  const server = net.createServer((client) => {
    const upstream = net.connect(port, '127.0.0.1');
    for (const [from, to] of [[client, upstream], [upstream, client]]) {
      sockets.add(from);
      from.on('error', () => to.destroy()).on('close', () => to.destroy());
      from.pipe(to);
    }
    upstream.on('data', reader((f) => frames.push(f)));
  });
  const close = () => new Promise((resolve) => {
    server.close(resolve);
    for (const socket of sockets) socket.destroy();
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve({ port: server.address().port, frames, close }));
  });
}

/** DATA frames as [stream, octets] pairs, neighbours of one stream added up. */
export function runs(frames) {
  const all = [];
  for (const { type, id, payload } of frames) {
    if (type !== TYPE.DATA || payload.length === 0) continue;
    if (all.at(-1)?.[0] === id) all.at(-1)[1] += payload.length;
    else all.push([id, payload.length]);
  }
  return all;
}

/** The stream that a PUSH_PROMISE promises. */
export const promisedOf = ({ payload }) => payload.readUInt32BE(0) & 0x7fffffff;
