// SPDX-License-Identifier: Apache-2.0
// Tries what it is told to and says what came of it; listens at its socket, with TCP=ADDRESS at its ports.
// It does not come back while its home has a file "away".
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';

const { HOME, HTTP20_ONLY_PORT, PORT, PORTICO_SOCKET, WEBSITE_SITE_NAME: app, SECRET, TCP } = process.env;
if (fs.existsSync(path.join(HOME, 'away'))) process.exit(1);

let checks = 0, crowded = false;
const taken = new Set();
const outcome = (run) => {
  try {
    return run() ?? 'done';
  } catch (error) {
    return error.code ?? String(error);
  }
};
const PTRACE = 'import ctypes,errno,sys\nc=ctypes.CDLL(None,use_errno=True)\n'
  + 'r=c.ptrace(0x4206,int(sys.argv[1]),None,None)\nprint("done" if r==0 else errno.errorcode[ctypes.get_errno()])'; // PTRACE_SEIZE

const attempts = {
  read: (q) => outcome(() => fs.readFileSync(q.get('path'), 'latin1')),
  list: (q) => outcome(() => fs.readdirSync(q.get('path'))),
  write: (q) => outcome(() => fs.writeFileSync(q.get('path'), 'x')),
  signal: (q) => outcome(() => process.kill(Number(q.get('pid')), q.get('signal') ?? 0) && 'done'),
  ptrace: (q) => new Promise((resolve) => {
    execFile('python3', ['-c', PTRACE, q.get('pid')], (error, stdout, stderr) => resolve(stdout.trim() || stderr));
  }),
  connect: (q) => new Promise((resolve) => {
    const socket = net.connect(q.has('port') ? { port: Number(q.get('port')), host: q.get('host') ?? '127.0.0.1' } : { path: q.get('path') });
    socket.on('connect', () => socket.destroy() && resolve('done'));
    socket.on('error', (error) => resolve(error.code));
  }),
  /** Connections that say nothing; those that are ended come again. */
  crowd: (q) => new Promise((resolve) => {
    let left = Number(q.get('count'));
    const one = () => {
      const socket = net.connect(Number(q.get('port')), '127.0.0.1');
      socket.on('connect', () => (left -= 1) === 0 && resolve('done')).on('error', () => {});
      socket.on('close', () => crowded && setTimeout(one, 50));
    };
    crowded = true;
    for (let i = 0; i < Number(q.get('count')); i++) one();
  }),
  disperse: () => outcome(() => {
    crowded = false;
  }),
  /** Serves under a name that may be another's. */
  take: (q) => new Promise((resolve) => {
    const server = http.createServer((request, response) => response.end(JSON.stringify({ app, stolen: true })));
    server.on('error', (error) => resolve(error.code));
    server.listen(q.has('port') ? { port: Number(q.get('port')), host: '127.0.0.1' } : { path: q.get('path') }, () => {
      taken.add(server);
      resolve('done');
    });
  }),
  release: () => Promise.all([...taken].map((server) => {
    taken.delete(server);
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  })).then(() => 'done'),
  /** Its own name leads elsewhere from now on. */
  link: (q) => outcome(() => {
    fs.renameSync(PORTICO_SOCKET, `${PORTICO_SOCKET}.mine`);
    fs.symlinkSync(q.get('to'), PORTICO_SOCKET);
  }),
  unlink: () => outcome(() => fs.renameSync(`${PORTICO_SOCKET}.mine`, PORTICO_SOCKET)),
  ask: (q) => new Promise((resolve) => {
    const to = q.has('socket') ? { socketPath: q.get('socket') } : { host: '127.0.0.1', port: Number(q.get('port')) };
    http.request({ ...to, path: q.get('path'), method: q.get('method') ?? 'GET', agent: false, headers: { host: 'localhost' } }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (part) => (body += part)).on('end', () => resolve({ status: response.statusCode, body }));
    }).on('error', (error) => resolve({ status: error.code })).end();
  }),
  health: () => (checks += 1),
  who: () => ({ app, checks, pid: process.pid, uid: process.getuid(), home: HOME, cwd: process.cwd(), ports: [PORT, HTTP20_ONLY_PORT].filter(Boolean).map(Number), socket: PORTICO_SOCKET, secret: SECRET }),
  hint: (q, response) => response.setHeader('link', `<${q.get('to')}>; rel=preload`) && 'done',
};

http.createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://worker');
  response.setHeader('connection', 'close'); // each request finds its way anew
  response.end(JSON.stringify(await attempts[pathname.slice(1)]?.(searchParams, response) ?? null));
}).listen(TCP ? { port: Number(PORT), host: TCP } : PORTICO_SOCKET, () => console.log(`${app} says ${SECRET}`));
if (TCP && HTTP20_ONLY_PORT) http2.createServer().listen(Number(HTTP20_ONLY_PORT), TCP);
process.on('SIGTERM', () => process.exit(0));
