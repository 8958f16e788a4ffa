// SPDX-License-Identifier: Apache-2.0
// Nobody reads what Portico says any more (a terminal that was stopped, a logger that hangs or is
// gone), and a worker has filled what there is room for: everything else goes on.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { PORTICO, Portico, check, isAlive, processes, run, scratch, until, worker } from './lib.mjs';

const place = scratch();
// A pipe, as a shell makes it: unlike a socket's its room is used up to the last octet.
const PIPE = `#!/bin/bash
exec '${PORTICO}' "$@" > >(exec cat) 2>&1
`;
// And a terminal, behind which somebody copies what he reads until he is stopped.
const TERMINAL = `#!/usr/bin/env python3
import os, sys
ours, terminal = os.openpty()
if os.fork() == 0:
    os.close(terminal)
    if os.fork() > 0:
        os._exit(0)
    try:
        while True:
            os.write(1, os.read(ours, 4096).replace(b'\\r', b''))
    except OSError:
        os._exit(0)
os.wait()
os.close(ours)
os.dup2(terminal, 1)
os.dup2(terminal, 2)
os.execv('${PORTICO}', sys.argv)
`;
fs.writeFileSync(path.join(place, 'loud.sh'), '#!/bin/sh\nwhile :; do echo "$0 has much to say, and says it again and again"; done\n', { mode: 0o755 });

// The log of a service is a socket.
const SOCKET = `#!/bin/sh
exec '${PORTICO}' "$@" 2>&1
`;

/** Another manifest than the one of the start, and how `portico reload` ends. */
async function reload(p, change) {
  p.begun ??= fs.readFileSync(p.manifest, 'utf8');
  const manifest = JSON.parse(p.begun);
  change(manifest);
  fs.writeFileSync(p.manifest, JSON.stringify(manifest, null, 1));
  return run(PORTICO, ['reload', '--data', p.data]);
}

async function restarts(p) {
  const [{ pid }] = (await p.states()).one;
  process.kill(pid, 'SIGKILL');
  await until('it is started again', async () => {
    const [now] = (await p.states()).one;
    return now.state === 'READY' && now.pid !== pid;
  });
}

/** Without the lines that tell it: the process that is that role. */
function role(p, name) {
  const is = ([pid, { ppid }]) => {
    try {
      return ppid === p.pid && fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(`\0${name}\0`);
    } catch {
      return false;
    }
  };
  return [...processes()].find(is)?.[0];
}

for (const [name, text] of Object.entries({ pipe: PIPE, terminal: TERMINAL, socket: SOCKET })) {
  const program = path.join(place, name);
  let p;

  check(`${name}: starts`, async () => {
    fs.writeFileSync(program, text, { mode: 0o755 });
    p = await Portico.start({ apps: { one: worker('h1', 'one.test'), loud: { directory: place, command: './loud.sh', hosts: 'loud.test' } } }, { program, ready: false });
    await p.ready(['one']);
  }, 60);

  check(`${name}: requests, a restart and a reload while nobody reads`, async () => {
    p.process.stdout.pause();
    for (let i = 0; i < 200; i++) { // what a loud worker leaves of the last page takes some lines yet
      p.kill('SIGHUP');
      await p.admin('/healthz');
    }
    await restarts(p);
    for (const kind of ['http', 'https']) assert.equal((await p.h1('one.test', '/whoami', { kind })).status, 200);
    const edge = p.role('edge');
    process.kill(edge, 'SIGKILL');
    await until('edge is gone', () => !isAlive(edge));
    await until('another edge serves', async () => (await p.h1('one.test', '/whoami', { kind: 'http' })).status === 200);
  }, 60);

  check(`${name}: what is told of a manifest, of an app and of a certificate keeps nobody waiting`, async () => {
    const faulty = await reload(p, (manifest) => {
      for (let i = 0; i < 30; i++) manifest.apps[`app${i}`] = { hosts: 'not a host' };
    });
    assert.notEqual(faulty.code, 0);
    assert.match(faulty.stderr, /not a host/);
    const gone = path.join(place, `${name}.pem`);
    fs.writeFileSync(gone, '');
    const changed = await reload(p, (manifest) => {
      manifest.apps.broken = { directory: place, command: 'exit 127', hosts: 'broken.test' };
      manifest.apps.one.certificate = { chain: gone, key: gone };
    });
    assert.equal(changed.code, 0, changed.stderr);
    fs.unlinkSync(gone);
    await until('the new app has failed', async () => (await p.states()).broken?.some(({ lastExit }) => lastExit?.status === 127));
    const edge = role(p, 'edge');
    process.kill(edge, 'SIGKILL'); // its successor is to get the certificate
    await until('another edge serves', async () => !isAlive(edge) && (await p.h1('one.test', '/whoami', { kind: 'http' })).status === 200);
    await restarts(p);
    assert.equal((await reload(p, () => {})).code, 0);
  }, 60);

  check(`${name}: what was left out is told, and it ends`, async () => {
    p.process.stdout.resume();
    await until('it is told', () => {
      p.kill('SIGHUP'); // the next event tells it
      return p.lines.some((line) => / log\.left_out count=\d+/.test(line));
    });
    await p.line(/\[loud\/0\] \(\d+ lines left out\)/);
    await p.stop();
  }, 60);
}

check('whoever read is gone: control, and who comes after it, goes on', async () => {
  const p = await Portico.start({ apps: { one: worker('h1', 'one.test') } }, { program: path.join(place, 'socket') });
  p.process.stdout.destroy();
  p.process.stderr.destroy();
  const first = role(p, 'control');
  await restarts(p);
  assert.equal(role(p, 'control'), first, 'it has not noticed');
  process.kill(first, 'SIGKILL');
  const next = await until('another control answers', async () => {
    const pid = role(p, 'control');
    return pid !== first && (await p.states()).one[0].state === 'READY' && pid;
  });
  assert.equal((await reload(p, (manifest) => { manifest.apps.one.instances = 2; })).code, 0);
  await until('two instances', async () => (await p.states()).one.filter(({ state }) => state === 'READY').length === 2);
  assert.equal((await p.h1('one.test', '/whoami', { kind: 'http' })).status, 200);
  assert.equal(role(p, 'control'), next);
  await p.stop();
}, 60);
