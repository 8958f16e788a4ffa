// SPDX-License-Identifier: Apache-2.0
// Accepts connections and says what is not HTTP.
import net from 'node:net';
import { where } from './routes.mjs';

net.createServer((socket) => {
  socket.on('error', () => {});
  socket.end('220 mail.example ESMTP\r\n');
}).listen(where());
process.on('SIGTERM', () => process.exit(0));
