// SPDX-License-Identifier: Apache-2.0
// As root, who can connect to a worker's TCP ports: edge and the app itself, and no other app; however
// workers, monitor and its binary come and go.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { PORTICO, Portico, inOwnNetwork, run, scratch, until, worker } from './lib.mjs';

const OWN = '192.0.2.1'; // RFC 5737
const ADDRESSES = ['127.0.0.1', '127.1.2.3', '::1', OWN];
const PROBE = 'table inet probe {\n flags owner\n chain output {\n  type filter hook output priority 0\n'
  + '  meta skuid 1 tcp dport 1 reject with tcp reset\n }\n}\n';
const nft = (...args) => spawnSync('nft', args, { encoding: 'utf8', input: PROBE });

const obstacle = inOwnNetwork(fileURLToPath(import.meta.url), OWN);
// Portico's own word is not taken for it: Debian's nft says whether this machine can.
const judge = obstacle ? undefined : nft('-f', '-');
const why = obstacle ?? (judge.error ? 'needs nft' : judge.status ? `this machine has no nftables: ${judge.stderr.trim()}` : undefined);
const fenced = { timeout: 240_000, skip: why ?? false };
let p, q;
test.after(() => [p, q].forEach((one) => one && one.code === undefined && one.kill()));

const url = (what, args) => `/${what}?${new URLSearchParams(args)}`;
const say = async (app, what, args = {}, of = p) => JSON.parse((await of.h1(`${app}.localhost`, url(what, args))).body);
const connect = (app, port, host = '127.0.0.1') => say(app, 'connect', { port, host });
const tables = () => nft('list', 'tables').stdout.split('\n').filter((line) => line.includes('portico'));
/** Each rule has a verdict. */
const rules = () => nft('list', 'ruleset').stdout.match(/\b(accept|reject with tcp reset)$/gm) ?? [];
const portsOf = async (app) => [...new Set((await Promise.all([1, 2, 3, 4, 5, 6].map(() => say(app, 'who')))).flatMap(({ ports }) => ports))];
const victim = (more = {}) => worker('tenant', 'victim.localhost', { http20ProxyFlag: 2, env: { TCP: '::' }, ...more });
const manifest = (apps) => ({ apps: { mallory: worker('tenant', 'mallory.localhost'), ...apps } });

async function assertFenced(ports) {
  for (const port of ports) {
    for (const host of ADDRESSES) {
      assert.equal(await connect('mallory', port, host), 'ECONNREFUSED', `mallory to ${host} ${port}`);
      assert.equal(await connect('victim', port, host), 'done', `victim to ${host} ${port}`);
    }
  }
}

/** Once nobody listens any more, everybody may, and may connect. */
async function assertFree(ports) {
  for (const port of ports) {
    await until(`${port} is free`, async () => await say('mallory', 'take', { port }) === 'done');
    assert.equal(await connect('other', port), 'done', `${port}`);
  }
  assert.equal(await say('mallory', 'release'), 'done');
}

test('without a worker of its own there is a table, and no packet is looked at', fenced, async () => {
  p = await Portico.start({ apps: { elsewhere: { upstreams: ['tcp://127.0.0.1:1'], hosts: ['elsewhere.localhost'] } } });
  assert.equal(tables().length, 1);
  assert.deepEqual(rules(), []);
  assert.equal(JSON.parse((await p.admin('/apps')).body).portsFenced, true);
  await p.stop();
});

test('another app\'s worker cannot connect to a port; edge and the app\'s own can', fenced, async () => {
  p = await Portico.start(manifest({ victim: victim({ instances: 2 }), other: worker('tenant', 'other.localhost') }));
  await p.line(/ monitor\.fence table="inet portico-\d+"/);
  assert.equal(tables().length, 1);
  const ports = await portsOf('victim');
  assert.equal(ports.length, 4); // PORT and HTTP20_ONLY_PORT of each
  assert.equal(rules().length, 3);
  await assertFenced(ports);
  assert.equal(JSON.parse((await p.admin('/apps')).body).portsFenced, true);
  assert.doesNotMatch((await run(PORTICO, ['status', '--data', p.data])).stdout, /open to every process/);
});

test('a worker that died is fenced when it is back', fenced, async () => {
  const { pid, ports } = await say('victim', 'who');
  process.kill(pid, 'SIGKILL');
  await until('it serves again', async () => !(await p.states()).victim.some((i) => i.pid === pid));
  await p.ready();
  await assertFenced(ports);
});

test('a rolling change: new ports are fenced, those of before are free', fenced, async () => {
  const before = await portsOf('victim');
  assert.equal((await run(PORTICO, ['restart', 'victim', '--data', p.data])).code, 0);
  await until('only the new ones are left', async () => (await p.states()).victim.length === 2);
  await p.ready();
  const now = await portsOf('victim');
  assert.ok(now.every((port) => !before.includes(port)), `${before} ${now}`);
  await assertFenced(now);
  await assertFree(before);
});

test('fewer instances: the ports of those that ended are free', fenced, async () => {
  const before = await portsOf('victim');
  assert.equal((await run(PORTICO, ['scale', 'victim', '1', '--data', p.data])).code, 0);
  await until('one is left', async () => (await p.states()).victim.length === 1);
  const now = await portsOf('victim');
  assert.equal(now.length, 2);
  await assertFenced(now);
  await assertFree(before.filter((port) => !now.includes(port)));
});

test('an upgrade keeps the fence, and goes on with it', fenced, async () => {
  const [table] = tables(), ports = await portsOf('victim');
  for (let i = 0; i < 2; i++) assert.equal((await run(PORTICO, ['upgrade', '--data', p.data])).code, 0);
  assert.deepEqual(tables(), [table]);
  await assertFenced(ports);
  assert.equal((await run(PORTICO, ['restart', 'victim', '--data', p.data])).code, 0);
  await assertFree(ports);
  await p.ready();
  assert.equal(rules().length, 3);
  await assertFenced(await portsOf('victim'));
});

test('while the new binary takes over, nobody gets in', fenced, async () => {
  const [port] = await portsOf('victim');
  const { uid } = await say('mallory', 'who');
  let over = false;
  const upgraded = run(PORTICO, ['upgrade', '--data', p.data]).finally(() => (over = true));
  const attempt = 'let n = 0; const t = () => require("net").connect(+process.argv[1], "127.0.0.1").on("connect", () => process.exit(1))'
    + '.on("error", (e) => e.code === "ECONNREFUSED" ? ++n < 200 ? t() : process.exit(0) : process.exit(2)); t();';
  do {
    const { code } = await run(process.execPath, ['-e', attempt, port], { uid, gid: uid });
    assert.equal(code, 0);
  } while (!over);
  assert.equal((await upgraded).code, 0);
});

test('two Porticos of one machine', fenced, async () => {
  q = await Portico.start(manifest({ victim: victim(), other: worker('tenant', 'other.localhost') }));
  assert.equal(tables().length, 2);
  const { ports } = await say('victim', 'who', {}, q);
  for (const port of ports) assert.equal(await connect('mallory', port), 'ECONNREFUSED');
  await q.stop();
  assert.equal(tables().length, 1);
  await assertFenced(await portsOf('victim'));
});

test('an app that is gone from the manifest leaves its ports free', fenced, async () => {
  const ports = await portsOf('victim');
  const wanted = JSON.parse(fs.readFileSync(p.manifest));
  delete wanted.apps.victim;
  fs.writeFileSync(p.manifest, JSON.stringify(wanted));
  assert.equal((await run(PORTICO, ['reload', '--data', p.data])).code, 0);
  await assertFree(ports);
});

test('kill -9 of monitor leaves nothing behind', fenced, async () => {
  assert.equal(tables().length, 1);
  p.kill('SIGKILL');
  await p.exited;
  await until('the table is gone', () => tables().length === 0);
});

test('without CAP_NET_ADMIN it starts, and says what is not fenced', fenced, async () => {
  const program = path.join(scratch(), 'portico');
  fs.writeFileSync(program, `#!/bin/sh\nexec setpriv --bounding-set=-net_admin --inh-caps=-net_admin '${PORTICO}' "$@"\n`, { mode: 0o755 });
  p = await Portico.start(manifest({ victim: victim() }), { program });
  await p.line(/ monitor\.no_fence error="nftables needs CAP_NET_ADMIN" .*PORTICO_SOCKET/);
  await p.line(/TCP ports of workers are not fenced/);
  assert.equal((await say('victim', 'who')).app, 'victim');
  assert.deepEqual(tables(), []);
  const { stdout } = await run(PORTICO, ['status', '--data', p.data]);
  assert.match(stdout, /open to every process of this machine/);
  await p.stop();
});

test('who holds all ports does not keep others from their sockets', { timeout: 240_000, skip: obstacle ?? false }, async () => {
  const range = '/proc/sys/net/ipv4/ip_local_port_range';
  const before = fs.readFileSync(range, 'utf8');
  fs.writeFileSync(range, '21001 60999'); // of this network namespace: workers' are those below it
  p = await Portico.start({ apps: { one: worker('h1', 'one.localhost'), grpc: worker('h1', 'grpc.localhost', { http20ProxyFlag: 2 }) } });
  const servers = [];
  for (let port = 20000; port < 21001; port++) {
    const server = net.createServer().listen(port, '127.0.0.1');
    await new Promise((done) => server.once('listening', done).once('error', done));
    servers.push(server);
  }
  const [{ pid }] = (await p.states()).one;
  const from = p.lines.length;
  process.kill(pid, 'SIGKILL');
  await p.line(/worker\.port app=one instance=0 port=0/, { from });
  await p.ready(['one']);
  const [now] = (await p.states()).one;
  assert.equal(now.port, 0);
  assert.notEqual(now.pid, pid);
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
  process.kill((await p.states()).grpc[0].pid, 'SIGKILL'); // which cannot do without
  await p.line(/worker\.fail app=grpc .*no port is free/, { from });
  for (const server of servers) server.close();
  await p.ready(['grpc']);
  await p.stop();
  fs.writeFileSync(range, before);
});
