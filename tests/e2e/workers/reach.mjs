// SPDX-License-Identifier: Apache-2.0
// Tells who it is and what of the machine it can reach: /try?path=... and /connect?path=...
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { where } from './routes.mjs';

const outcome = (run) => {
  try {
    return run() ?? 'done';
  } catch (error) {
    return error.code;
  }
};

http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://worker');
  const path = searchParams.get('path');
  const tell = (value) => response.end(JSON.stringify(value));
  if (pathname === '/who') {
    tell({ uid: process.getuid(), gid: process.getgid(), groups: process.getgroups(), cwd: process.cwd(), home: process.env.HOME, socket: process.env.PORTICO_SOCKET,
      caps: /CapEff:\s*(\S+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1],
      descriptors: fs.readdirSync('/proc/self/fd').map((fd) => outcome(() => fs.readlinkSync(`/proc/self/fd/${fd}`))) });
  } else if (pathname === '/try') {
    tell({
      list: outcome(() => fs.readdirSync(path).length), read: outcome(() => fs.readFileSync(path).length),
      write: outcome(() => fs.writeFileSync(`${path}/x`, 'x')),
    });
  } else if (pathname === '/connect') {
    const socket = net.connect(path, () => {
      socket.destroy();
      tell('connected');
    });
    socket.on('error', (error) => tell(error.code));
  } else if (pathname === '/signal') {
    tell(outcome(() => process.kill(Number(searchParams.get('pid')), 0)));
  } else {
    tell(null);
  }
}).listen(where());
process.on('SIGTERM', () => process.exit(0));
