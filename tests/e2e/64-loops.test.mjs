// SPDX-License-Identifier: Apache-2.0
// Four loops under load, while routes, certificates and logs change under them: what they share is
// met from all sides.  `make tsan` runs this under ThreadSanitizer.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { Portico, check, close2, collectPushes, fetch2, scratch, until, worker } from './lib.mjs';

const LOOPS = 4, SESSIONS = 12, ROUNDS = 12, STREAMS = 10;
let p, log;

check('starts', async () => {
  log = path.join(scratch(), 'access.log');
  p = await Portico.start({
    loops: LOOPS,
    accessLog: log,
    apps: { one: worker('h1', 'one.localhost', { instances: 2 }), two: worker('h2c', 'two.localhost', { instances: 2 }) },
  });
}, 60);

check('every answer is right while everything changes', async () => {
  let asked = 0, over = false;
  const good = ({ status }) => {
    assert.equal(status, 200);
    asked++;
  };
  const session = async (n) => {
    const kind = n % 2 ? 'http' : 'https', host = n % 3 ? 'one.localhost' : 'two.localhost';
    for (let round = 0; round < ROUNDS; round++) {
      const s = await p.h2(host, { kind });
      const pushes = collectPushes(s);
      const where = (i) => (host.startsWith('two') ? `/page?n=2&size=${i * 1000}` : `/bytes?n=${i * 3000}`);
      for (const answer of await Promise.all(Array.from({ length: STREAMS }, (_, i) => fetch2(s, where(i))))) good(answer);
      good(await p.h1(host, '/whoami', { kind }));
      await Promise.all(pushes);
      await close2(s);
    }
  };
  const changes = (async () => {
    const manifest = JSON.parse(fs.readFileSync(p.manifest, 'utf8'));
    for (let n = 0; !over && n < 100; n++) {
      const from = p.lines.length;
      manifest.apps.more = { upstreams: [`tcp://127.0.0.1:${9 + n}`], hosts: [`more${n}.localhost`] };
      fs.writeFileSync(p.manifest, JSON.stringify(manifest));
      p.kill('SIGHUP');
      await p.line(/control\.reload apps=3/, { from, seconds: 60 });
      p.kill('SIGUSR1');
      await p.line(/monitor\.reopen/, { from, seconds: 60 });
      await p.admin('/metrics');
    }
  })();
  try {
    await Promise.all(Array.from({ length: SESSIONS }, (_, n) => session(n)));
  } finally {
    over = true;
    await changes;
  }
  assert.equal(asked, SESSIONS * ROUNDS * (STREAMS + 1));
  await until('the log has them all', () => fs.readFileSync(log, 'utf8').split('\n').length > asked);
}, 100);

check('ends clean', () => p.stop());
