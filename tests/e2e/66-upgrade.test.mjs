// SPDX-License-Identifier: Apache-2.0
// A new binary takes over: nothing is refused, nothing is cut, and one that cannot leaves the old one
// at work.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { ask, check, close2, fetch2, isAlive, Portico, PORTICO, run, scratch, sha256, until, worker, whole } from './lib.mjs';
import { pattern } from './workers/pattern.mjs';
import { open1 } from './ws-lib.mjs';

const place = scratch();
const program = path.join(place, 'portico');

/** Puts a program where the running one was started: by rename, as package managers do. */
function install(make) {
  const next = path.join(place, 'next');
  fs.rmSync(next, { force: true });
  make(next);
  fs.chmodSync(next, 0o755);
  fs.renameSync(next, program);
}

const copy = (to) => fs.copyFileSync(PORTICO, to);
install(copy);

/** Overwrites the first octets of a function by an illegal instruction. */
async function without(name, to) {
  copy(to);
  const symbols = (await run('nm', [PORTICO])).stdout;
  const address = parseInt(new RegExp(`^([0-9a-f]+) [tT] ${name}$`, 'm').exec(symbols)[1], 16);
  const segments = (await run('readelf', ['-lW', PORTICO])).stdout;
  for (const [, offset, virtual, size] of segments.matchAll(/LOAD\s+0x(\w+)\s+0x(\w+)\s+\S+\s+0x(\w+)\s+0x\w+\s+R E/g)) {
    const at = address - parseInt(virtual, 16);
    if (at < 0 || at >= parseInt(size, 16)) continue;
    const fd = fs.openSync(to, 'r+');
    const trap = process.arch === 'arm64' ? [0, 0, 0, 0] : [0x0f, 0x0b];
    fs.writeSync(fd, Buffer.from(trap), 0, trap.length, parseInt(offset, 16) + at);
    fs.closeSync(fd);
    return;
  }
  throw new Error(`${name} is in no segment`);
}

const APPS = {
  one: worker('h1', 'one.test', { instances: 2 }),
  two: worker('h2c', 'two.test'),
  ws: worker('ws', 'ws.test'),
};
const p = await Portico.start({ apps: APPS }, { program });

const inode = (pid) => fs.statSync(`/proc/${pid}/exe`).ino;
const upgrade = () => run(program, ['upgrade', '--data', p.data]);
const pids = async () => Object.values(await p.states()).flat().map(({ pid }) => pid).sort();
const edges = () => p.lines.map((line) => / role\.start role=edge pid=(\d+)/.exec(line)?.[1]).filter(Boolean).map(Number).filter(isAlive);

const REFUSED_STREAM = 7;

/** One that asks without a pause until it is told to stop: {count, failures}. */
function load(request) {
  const result = { count: 0, failures: [] };
  let stopped = false;
  const over = (async () => {
    while (!stopped && p.code === undefined) {
      try {
        const { status, body } = await request();
        if (status !== 200 || body.length !== 5000) result.failures.push(`${status} ${body.length}`);
      } catch (error) {
        result.failures.push(error.message);
      }
      result.count++;
    }
  })();
  return { result, stop: () => { stopped = true; return over; } };
}

check('under load five binaries take over one after another, and no request fails', async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  const before = await pids();
  const loads = [
    // A connection each: every accept counts.
    load(() => p.h1('one.test', '/bytes?n=5000', { kind: 'http' })),
    load(() => p.h1('one.test', '/bytes?n=5000')),
    load(() => p.h1('two.test', '/bytes?n=5000')),
    load(() => p.h1('one.test', '/bytes?n=5000', { kind: 'http', agent })), // one that is kept open
    // Streams of one session until it is told to go away, then of the next.
    (() => {
      let session;
      return load(async function ask() {
        if (!session || session.closed || session.destroyed) {
          session = await p.h2('one.test');
          session.on('goaway', () => session.close());
        }
        const stream = session.request({ ':path': '/bytes?n=5000' });
        const got = await whole(stream);
        // Node answers our PING before it sends the request that waits: that one comes too late, and
        // is refused unseen (RFC 9113 6.8, 8.7).
        return session.closed && got.rstCode === REFUSED_STREAM ? ask() : got;
      });
    })(),
  ];
  for (let i = 0; i < 5; i++) {
    install(copy);
    const old = p.role('edge');
    const from = loads[0].result.count;
    const { code, stdout, stderr } = await upgrade();
    assert.equal(code, 0, `${stdout}${stderr}\n${p.tail()}`);
    assert.match(stdout, /done: version/);
    assert.notEqual(p.role('edge'), old);
    assert.equal(inode(p.pid), fs.statSync(program).ino, 'monitor runs the new binary');
    assert.equal(inode(p.role('edge')), inode(p.pid));
    assert.equal(inode(p.role('control')), inode(p.pid));
    await until('the old edge is gone', () => !isAlive(old));
    await until('more requests were answered', () => loads[0].result.count > from + 5);
  }
  for (const one of loads) await one.stop();
  agent.destroy();
  for (const { result } of loads) {
    assert.deepEqual(result.failures, [], p.tail());
    assert.ok(result.count > 20, `${result.count} requests`);
  }
  assert.deepEqual(await pids(), before, 'the workers are those from before');
  assert.equal(isAlive(p.pid), true);
}, 90);

check('the counters go on, and what is open is right when the old edge has gone', async () => {
  const total = () => p.metric('portico_requests_total', { app: 'one' });
  const before = await total();
  assert.ok(before > 100);
  const session = await p.h2('one.test');
  const content = new PassThrough(); // the request lasts until it ends
  content.write('said');
  const slow = fetch2(session, '/echo', { body: content });
  await until('it is under way', async () => (await p.metric('portico_requests_open', { app: 'one' })) === 1);
  assert.equal((await upgrade()).code, 0);
  await p.h1('one.test', '/whoami');
  assert.equal(await total(), before + 2, 'both edges\' counts are added up');
  assert.equal(await p.metric('portico_requests_open', { app: 'one' }), 1, 'in the old edge');
  content.end();
  assert.equal((await slow).status, 200);
  await until('nothing is open', async () => (await p.metric('portico_requests_open')) === 0 && (await p.metric('portico_client_connections_open')) === 0);
  assert.equal(await total(), before + 2);
});

check('a download, an upload, a stream of a session and a WebSocket outlive the upgrade', async () => {
  await until('one edge is left', () => edges().length === 1);
  const old = p.role('edge');
  const ws = await open1({ port: p.ports.https, host: 'ws.test', ca: p.ca, where: '/raw' });
  ws.octets();
  ws.stream.write('before');
  assert.equal(String(await ws.next()), 'before');
  const size = 24 << 20;
  const download = await p.h1('one.test', `/bytes?n=${size}`, { onResponse: (response) => response });
  const session = await p.h2('two.test');
  let goaway = false;
  session.on('goaway', () => { goaway = true; });
  const upload = session.request({ ':method': 'POST', ':path': '/echo' });
  const answered = once(upload, 'response');
  upload.write('first ');
  assert.equal((await upgrade()).code, 0);
  await until('GOAWAY has come', () => goaway);
  assert.notEqual(p.role('edge'), old);
  assert.equal(isAlive(old), true, 'the old edge drains');
  upload.end('second');
  const [head] = await answered;
  assert.equal(head[':status'], 200);
  let text = '';
  for await (const part of upload) text += part;
  assert.equal(JSON.parse(text).sha256, sha256('first second'));
  const parts = [];
  for await (const part of download) parts.push(part);
  assert.equal(sha256(Buffer.concat(parts)), sha256(pattern(size)));
  ws.stream.write('after');
  assert.equal(String(await ws.next()), 'after');
  assert.equal((await p.h1('one.test', '/whoami')).status, 200);
  assert.equal(isAlive(old), true, 'it waits for the WebSocket');
  ws.stream.end();
  await ws.closed;
  await until('the old edge is gone', () => !isAlive(old));
});

check('a draining edge that is killed leaves no counts behind', async () => {
  const old = p.role('edge');
  const ws = await open1({ port: p.ports.https, host: 'ws.test', ca: p.ca, where: '/raw' });
  ws.octets();
  assert.equal((await upgrade()).code, 0);
  assert.ok(await p.metric('portico_client_connections_open') >= 1);
  process.kill(old, 'SIGKILL');
  await until('the WebSocket is cut', () => ws.ended || ws.error);
  ws.stream.destroy();
  await until('its connection is not counted', async () => (await p.metric('portico_client_connections_open')) === 0 && (await p.metric('portico_requests_open')) === 0);
});

check('too many edges that still drain: an upgrade is refused and nothing changes', async () => {
  const held = [];
  for (let i = 0; i < 3; i++) {
    held.push(await open1({ port: p.ports.https, host: 'ws.test', ca: p.ca, where: '/raw' }));
    assert.equal((await upgrade()).code, 0);
  }
  const { code, stderr } = await upgrade();
  assert.equal(code, 1);
  assert.match(stderr, /too many edges of earlier upgrades still drain/);
  assert.equal(edges().length, 4);
  for (const ws of held) ws.stream.destroy();
  await until('they are gone', () => edges().length === 1);
});

const BROKEN = [
  ['exits with an error', (to) => fs.writeFileSync(to, '#!/bin/sh\necho broken >&2\nexit 3\n'), /did not accept .*status 3/],
  ['crashes', (to) => { copy(to); fs.truncateSync(to, 4000); }, /did not accept|cannot execute/],
  ['is no program', (to) => fs.writeFileSync(to, 'text'), /cannot execute .*Exec format error/],
  ['does not know its state', (to) => fs.writeFileSync(to, `#!/bin/sh\n[ "$2" = check-resume ] && exec ${PORTICO} role check-resume </dev/null\n`), /did not accept .*status 1/],
];
for (const [what, make, says] of BROKEN) {
  check(`a new binary that ${what} leaves the old one serving`, async () => {
    const before = [p.role('edge'), p.role('control')], from = p.lines.length;
    install(make);
    const { code, stderr } = await run(PORTICO, ['upgrade', '--data', p.data]);
    assert.equal(code, 1);
    assert.match(stderr, says);
    assert.match(stderr, /what ran goes on/);
    assert.deepEqual([p.role('edge'), p.role('control')], before);
    assert.equal((await p.h1('one.test', '/whoami')).status, 200);
    assert.match(await p.line(/upgrade\.refused/, { from }), says);
  });
}

check('a file of users that the new one could not read leaves the old one serving', async (t) => {
  if (process.getuid() !== 0) return t.skip('only root has users for apps');
  const file = path.join(p.data, 'users'), good = fs.readFileSync(file);
  const before = [p.role('edge'), p.role('control')], from = p.lines.length;
  install(copy);
  fs.appendFileSync(file, 'one too many words\n');
  const { code, stderr } = await run(PORTICO, ['upgrade', '--data', p.data]);
  fs.writeFileSync(file, good);
  assert.equal(code, 1);
  assert.match(stderr, /did not accept .*status 1/);
  await p.line(/users: malformed octets/, { from });
  assert.deepEqual([p.role('edge'), p.role('control')], before);
  assert.equal((await p.h1('one.test', '/whoami')).status, 200);
});

check('no binary at all leaves the old one serving', async () => {
  fs.rmSync(program);
  const { code, stderr } = await run(PORTICO, ['upgrade', '--data', p.data]);
  assert.equal(code, 1);
  assert.match(stderr, /No such file/);
  assert.equal((await p.h1('one.test', '/whoami')).status, 200);
});

for (const role of ['edge', 'control']) {
  check(`a new ${role} that dies again and again leaves the old edge serving, and a good binary mends it`, async () => {
    await without(`${role}_main`, path.join(place, 'broken'));
    install((to) => fs.renameSync(path.join(place, 'broken'), to));
    const old = p.role('edge');
    const from = p.lines.length;
    process.kill(p.pid, 'SIGUSR2');
    if (role === 'edge') await p.line(/edge\.successor error="it ended before it served/, { from });
    await until('it died three times', () => p.lines.slice(from).filter((line) => line.includes(`role.exit role=${role} status=-1 signal=`)).length >= 3);
    assert.equal(isAlive(old), true);
    const loads = load(() => p.h1('one.test', '/bytes?n=5000'));
    install(copy);
    const { code, stderr } = await upgrade();
    await loads.stop();
    assert.equal(code, 0, stderr);
    assert.deepEqual(loads.result.failures, []);
    await until('the old edge is gone', () => !isAlive(old));
    assert.equal((await p.h1('one.test', '/whoami')).status, 200);
  }, 60);
}

check('a resumed monitor watches what it took over: workers, edge, control', async () => {
  const [first] = (await p.states()).one;
  process.kill(first.pid, 'SIGKILL');
  await until('the worker runs again', async () => {
    const now = (await p.states()).one[0];
    return now.pid !== first.pid && now.state === 'READY';
  });
  for (const role of ['edge', 'control']) {
    const old = p.role(role);
    process.kill(old, 'SIGKILL');
    await until(`${role} runs again`, () => p.role(role) && p.role(role) !== old);
  }
  await until('it serves', async () => (await p.h1('one.test', '/whoami')).status === 200);
  await p.ready();
  p.kill('SIGUSR1');
  await p.line(/monitor\.reopen/);
});

check('while nothing runs there is nothing to upgrade', async () => {
  const { code, stderr } = await run(PORTICO, ['upgrade', '--data', scratch()]);
  assert.equal(code, 2);
  assert.match(stderr, /no portico uses/);
});

check('ends clean', async () => {
  await p.stop();
  assert.deepEqual(fs.readdirSync(p.data).filter((name) => name === 'run'), []);
});
