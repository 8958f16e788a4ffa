// SPDX-License-Identifier: Apache-2.0
// As root, an app's directory on a file system that does not answer (a user's own, by FUSE; an NFS server
// that is away): the app waits, and nobody else.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { PORTICO, Portico, WORKERS, isAlive, run, scratch, until, worker } from './lib.mjs';

// Mounts a file system at argv[1] whose owner is argv[2], and never answers; until its input ends.
const MOUNT = `
import ctypes, os, sys
fd = os.open('/dev/fuse', os.O_RDWR)
options = 'fd=%d,rootmode=40000,user_id=%s,group_id=%s,allow_other' % (fd, sys.argv[2], sys.argv[2])
r = ctypes.CDLL(None).mount(b'fuse', sys.argv[1].encode(), b'fuse', 0, options.encode())
print('mounted' if r == 0 else 'not mounted', flush=True)
sys.stdin.read()
ctypes.CDLL(None).umount2(sys.argv[1].encode(), 2) # lazily
`;

async function mounted(directory) {
  const child = spawn('python3', ['-c', MOUNT, directory, '64009'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const said = await new Promise((resolve) => {
    child.stdout.once('data', (text) => resolve(String(text)));
    child.once('close', () => resolve(''));
  });
  return { child, is: said === 'mounted\n' };
}

test('an app whose directory does not answer is restarted: others are, too', { timeout: 240_000, skip: process.getuid() !== 0 && 'needs root' }, async (t) => {
  const place = scratch(), link = path.join(place, 'current'), hung = path.join(place, 'hung');
  fs.mkdirSync(hung);
  fs.symlinkSync(WORKERS, link);
  const p = await Portico.start({ apps: { one: worker('h1', 'one.test'), two: { ...worker('h1', 'two.test'), directory: link } } });
  const mount = await mounted(hung);
  if (!mount.is) t.diagnostic('no FUSE here: a directory that answers');
  fs.unlinkSync(link);
  fs.symlinkSync('hung', link);
  const restart = spawn(PORTICO, ['restart', 'two', '--data', p.data], { stdio: 'ignore' });
  try {
    await p.line(/app\.copy app=two .*site\.1/);
    const [{ pid }] = (await p.states()).one;
    process.kill(pid, 'SIGKILL');
    await until('one is started again', async () => (await p.states()).one.some(({ state, pid: now }) => state === 'READY' && now !== pid));
    for (const host of ['one.test', 'two.test']) assert.equal((await p.h1(host, '/whoami')).status, 200);
    await p.stop();
  } finally {
    restart.kill('SIGKILL');
    mount.child.stdin.end();
    await until('it is gone', () => !isAlive(mount.child.pid));
    await run('umount', ['-l', hung]);
  }
});
