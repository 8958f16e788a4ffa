// SPDX-License-Identifier: Apache-2.0
// Nobody reads what Portico says any more (a terminal that was stopped, a logger that hangs), and a
// worker has filled what there is room for: everything else goes on.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { PORTICO, Portico, check, isAlive, scratch, until, worker } from './lib.mjs';

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

for (const [name, text] of Object.entries({ pipe: PIPE, terminal: TERMINAL })) {
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
    const [{ pid }] = (await p.states()).one;
    process.kill(pid, 'SIGKILL');
    await until('it is started again', async () => {
      const [now] = (await p.states()).one;
      return now.state === 'READY' && now.pid !== pid;
    });
    for (const kind of ['http', 'https']) assert.equal((await p.h1('one.test', '/whoami', { kind })).status, 200);
    const edge = p.role('edge');
    process.kill(edge, 'SIGKILL');
    await until('edge is gone', () => !isAlive(edge));
    await until('another edge serves', async () => (await p.h1('one.test', '/whoami', { kind: 'http' })).status === 200);
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
