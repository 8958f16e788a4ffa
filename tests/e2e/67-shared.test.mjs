// SPDX-License-Identifier: Apache-2.0
// As root, what a role that was broken into does to descriptors that monitor shares with it: whoever
// comes after it must be able to use them, and somebody comes.
import assert from 'node:assert/strict';
import http from 'node:http';
import path from 'node:path';
import { Portico, check, run, until, worker } from './lib.mjs';

const rootOnly = (name, body) => check(name, body, 60, process.getuid() !== 0 && 'needs root');

// Calls shutdown() on each listening socket of a process, as that process could.
const SHUT = `
import ctypes, os, socket, sys
pid = int(sys.argv[1])
process = os.pidfd_open(pid)
for name in os.listdir('/proc/%d/fd' % pid):
    fd = ctypes.CDLL(None).syscall(438, process, int(name), 0) # pidfd_getfd
    try:
        s = socket.socket(fileno=fd)
        if s.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            print(s.getsockname())
            s.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
`;
// Ends the channel of a role, as that role could: its descriptor 3.
const HANG_UP = `
import ctypes, os, socket, sys
socket.socket(fileno=ctypes.CDLL(None).syscall(438, os.pidfd_open(int(sys.argv[1])), 3, 0)).shutdown(socket.SHUT_RDWR)
`;
let p;

async function shut(role) {
  const { code, stdout, stderr } = await run('python3', ['-c', SHUT, String(p.role(role))]);
  assert.equal(code, 0, stderr);
  return stdout.trim().split('\n');
}

rootOnly('starts', async () => {
  p = await Portico.start({ loops: 2, apps: { one: worker('h1', 'one.test') } });
});

rootOnly('edge has shut its listening sockets down: the next edge serves', async () => {
  assert.ok((await shut('edge')).length >= 4);
  await assert.rejects(p.h1('one.test', '/whoami', { kind: 'http' }), /ECONNREFUSED/);
  await p.killRole('edge');
  for (const kind of ['http', 'https']) {
    for (let i = 0; i < 8; i++) await until('it is served', async () => (await p.h1('one.test', '/whoami', { kind })).status === 200);
  }
});

rootOnly('control has shut its own down: the next control answers', async () => {
  assert.ok((await shut('control')).length >= 2);
  await assert.rejects(p.admin('/healthz'), /ECONNREFUSED/);
  await p.killRole('control');
  await until('it answers at the listener', async () => (await p.admin('/healthz')).status === 200);
  await until('it answers at admin.sock', () => new Promise((resolve) => {
    http.get({ socketPath: path.join(p.data, 'admin.sock'), path: '/apps' }, (response) => resolve(response.resume().statusCode === 200)).on('error', () => resolve(false));
  }));
});

for (const role of ['edge', 'control']) {
  rootOnly(`${role} hangs up and stays: it is ended, and the next one works`, async () => {
    const pid = p.role(role), from = p.lines.length;
    process.kill(pid, 'SIGSTOP');
    assert.equal((await run('python3', ['-c', HANG_UP, String(pid)])).code, 0);
    await p.line(new RegExp(`role\\.exit role=${role} .*signal=9`), { from });
    await until('there is another one', () => p.role(role));
    await until('it serves', async () => (await p.h1('one.test', '/whoami', { kind: 'http' })).status === 200 && (await p.admin('/healthz')).status === 200);
  });
}

rootOnly('ends', () => p.stop());
