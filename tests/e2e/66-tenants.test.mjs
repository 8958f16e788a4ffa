// SPDX-License-Identifier: Apache-2.0
// As root, what one app's worker can do to another's.  Each attempt is also made by who may, so that
// none fails for another reason.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import test from 'node:test';
import { PORTICO, Portico, ask, close2, collectPushes, fetch2, run, scratch, until, worker } from './lib.mjs';

const rootOnly = { timeout: 240_000, skip: process.getuid() !== 0 && 'needs root' };
const CLOSED = ['EACCES', 'EPERM'];
let p, alice, bob, mallory;

const url = (what, args) => `/${what}?${new URLSearchParams(args)}`;
const say = async (app, what, args = {}) => JSON.parse((await p.h1(`${app}.localhost`, url(what, args))).body);
const refused = (value, what) => assert.ok(CLOSED.includes(value), `${what}: ${JSON.stringify(value)?.slice(0, 200)}`);

test('starts', rootOnly, async () => {
  const secret = (text) => ({ env: { SECRET: text } });
  p = await Portico.start({
    apps: {
      alice: worker('tenant', 'alice.localhost', { instances: 2, ...secret('alices-own') }),
      bob: worker('tenant', 'bob.localhost', { env: { SECRET: 'bobs-own', TCP: '127.0.0.1' } }),
      mallory: worker('tenant', 'mallory.localhost', {
        healthCheckPath: '/health', healthCheck: { interval: '100ms', failures: 2 }, ...secret('mallorys-own'),
        push: 'always', // no care of the policy's may stand before the rule
      }),
      pusher: worker('h2c', 'pusher.localhost', { push: 'always' }),
      holder: { ...worker('', 'holder.localhost'), command: 'python3 lingering.py' },
    },
    loops: 1,
  });
  [alice, bob, mallory] = [await say('alice', 'who'), await say('bob', 'who'), await say('mallory', 'who')];
  assert.equal(new Set([alice.uid, bob.uid, mallory.uid, 0]).size, 4);
}, 60);

test('files: home, what the app is made of, and where its sockets lie', rootOnly, async () => {
  const mine = path.join(alice.home, 'notes');
  assert.equal(await say('alice', 'write', { path: mine }), 'done');
  fs.chmodSync(mine, 0o666); // what lies in a private directory is private, however careless its mode is
  for (const file of [mine, path.join(alice.cwd, 'tenant.mjs')]) {
    assert.ok((await say('alice', 'read', { path: file })).length > 0, file);
    refused(await say('mallory', 'read', { path: file }), file);
    refused(await say('mallory', 'write', { path: file }), file);
  }
  for (const directory of [alice.home, alice.cwd, path.dirname(alice.socket)]) {
    assert.ok(Array.isArray(await say('alice', 'list', { path: directory })), directory);
    refused(await say('mallory', 'list', { path: directory }), directory);
    refused(await say('mallory', 'write', { path: path.join(directory, 'x') }), directory);
  }
});

test('the log', rootOnly, async () => {
  const logs = path.join(p.data, 'logs');
  assert.match(fs.readFileSync(path.join(logs, 'alice.0.log'), 'utf8'), /alices-own/);
  refused(await say('mallory', 'read', { path: path.join(logs, 'alice.0.log') }), 'log');
  refused(await say('mallory', 'list', { path: logs }), 'logs');
});

test('environment, memory and descriptors', rootOnly, async () => {
  assert.match(await say('alice', 'read', { path: `/proc/${alice.pid}/environ` }), /SECRET=alices-own/);
  refused(await say('mallory', 'read', { path: `/proc/${alice.pid}/environ` }), 'environ');
  refused(await say('mallory', 'list', { path: `/proc/${alice.pid}/fd` }), 'fd');
  refused(await say('mallory', 'write', { path: `/proc/${alice.pid}/mem` }), 'mem');
  assert.ok(Array.isArray(await say('alice', 'list', { path: `/proc/${alice.pid}/fd` })));
});

test('signals and ptrace', rootOnly, async () => {
  const [one, two] = (await p.states()).alice.map(({ pid }) => pid);
  for (const what of ['signal', 'ptrace']) {
    for (const pid of [one, two, p.pid, p.role('edge'), p.role('control')]) refused(await say('mallory', what, { pid }), `${what} ${pid}`);
    assert.deepEqual([await say('alice', what, { pid: one }), await say('alice', what, { pid: two })], ['done', 'done'], what);
  }
});

test('sockets: connecting, and listening in the place of another', rootOnly, async () => {
  assert.equal(await say('alice', 'connect', { path: alice.socket }), 'done');
  refused(await say('mallory', 'connect', { path: alice.socket }), 'connect');
  const beside = (tenant) => path.join(path.dirname(tenant.socket), 'beside');
  assert.equal(await say('alice', 'take', { path: beside(alice) }), 'done');
  refused(await say('mallory', 'take', { path: beside(alice) }), 'bind');
});

test('a link in place of its own socket does not lead edge and health checks to another\'s', rootOnly, async () => {
  const direct = (tenant) => new Promise((resolve, reject) => { // who may: root
    http.get({ socketPath: tenant.socket, path: '/who' }, (response) => response.on('data', (text) => resolve(JSON.parse(text)))).on('error', reject);
  });
  await until('its own is asked', async () => (await direct(mallory)).checks > 0);
  assert.equal(await say('mallory', 'link', { to: path.relative(path.dirname(mallory.socket), alice.socket) }), 'done');
  assert.equal((await direct(mallory)).app, 'alice'); // the link does lead there
  await p.line(/worker\.unhealthy app=mallory index=0 status=0/);
  assert.equal((await direct(mallory)).checks, 0);
  const answer = await p.h1('mallory.localhost', '/who');
  assert.ok([502, 503].includes(answer.status), `${answer.status} ${answer.body}`);
  assert.ok(await p.metric('portico_worker_foreign_total') > 0);
  await p.line(/ edge worker\.foreign .*mallory/);
  fs.renameSync(`${mallory.socket}.mine`, mallory.socket);
  await until('it serves again', async () => (await say('mallory', 'who')).app === 'mallory');
  await p.line(/worker\.healthy app=mallory index=0/);
});

test('a port: while its owner listens, and when its owner has died', rootOnly, async () => {
  const control = p.role('control');
  assert.equal(await say('mallory', 'take', { port: bob.ports[0] }), 'EADDRINUSE');
  const before = await p.metric('portico_worker_foreign_total');
  fs.writeFileSync(path.join(bob.home, 'away'), '');
  process.kill(control, 'SIGSTOP'); // the routes go on naming it
  try {
    process.kill((bob = { ...bob, pid: (await say('bob', 'who')).pid }).pid, 'SIGKILL');
    await until('the port is free', async () => (await say('mallory', 'take', { port: bob.ports[0] })) === 'done');
    const stolen = await ask({ host: 'localhost', port: bob.ports[0], path: '/' }); // as root, whom no fence keeps out
    assert.equal(String(stolen.body), '{"app":"mallory","stolen":true}');
    for (const answer of await Promise.all([1, 2, 3, 4].map(() => p.h1('bob.localhost', '/who')))) {
      assert.ok([502, 503].includes(answer.status), `${answer.status} ${answer.body}`);
    }
  } finally {
    process.kill(control, 'SIGCONT');
  }
  assert.ok(await p.metric('portico_worker_foreign_total') > before);
  assert.equal(await say('mallory', 'release'), 'done');
  fs.unlinkSync(path.join(bob.home, 'away'));
  await p.ready(['bob']);
  assert.equal((await say('bob', 'who')).app, 'bob');
});

test('who takes the port of an app that is away does not keep it from coming back', rootOnly, async () => {
  const [port] = bob.ports;
  fs.writeFileSync(path.join(bob.home, 'away'), '');
  process.kill((await say('bob', 'who')).pid, 'SIGKILL');
  await until('the port is free', async () => (await say('mallory', 'take', { port })) === 'done');
  fs.unlinkSync(path.join(bob.home, 'away'));
  await p.ready(['bob']);
  await until('it has another one', async () => (await say('bob', 'who')).ports[0] !== port);
  assert.equal(await say('mallory', 'release'), 'done');
});

test('the operator\'s listener and socket', rootOnly, async () => {
  const port = p.ports.admin, socket = path.join(p.data, 'admin.sock');
  for (const where of ['/apps', '/metrics', '/healthz']) {
    assert.equal((await p.admin(where)).status, 200);
    assert.equal((await say('mallory', 'ask', { port, path: where })).status, 403, where);
  }
  const scale = { path: '/apps/alice/scale', method: 'POST' };
  assert.equal((await say('mallory', 'ask', { port, ...scale })).status, 403);
  refused((await say('mallory', 'ask', { socket, ...scale })).status, 'admin.sock');
  const asked = await new Promise((resolve) => http.get({ socketPath: socket, path: '/apps' }, resolve));
  assert.equal(asked.statusCode, 200);
  asked.resume();
});

test('a crowd of an app\'s connections keeps nobody else out there', rootOnly, async () => {
  const port = p.ports.admin, socketPath = path.join(p.data, 'admin.sock');
  assert.equal(await say('mallory', 'crowd', { port, count: 100 }), 'done');
  const asked = await new Promise((resolve, reject) => http.get({ socketPath, path: '/apps' }, resolve).on('error', reject));
  assert.equal(asked.statusCode, 200);
  asked.resume();
  assert.equal((await p.admin('/healthz')).status, 200);
  assert.equal(await say('mallory', 'disperse'), 'done');
});

test('a worker does not hold edge by a descriptor that it sends beside its octets', rootOnly, async () => {
  const from = p.lines.length;
  const response = await new Promise((resolve, reject) => {
    http.get({ port: p.ports.http, host: '127.0.0.1', agent: false, headers: { host: 'holder.localhost' } }, resolve).on('error', reject);
  });
  response.on('error', () => {}); // it may be cut
  response.pause();
  await p.line(/^\[holder\/0\] (a socket is on its way|edge takes none)/, { from });
  response.resume();
  await new Promise((resolve) => response.on('close', resolve));
  assert.equal((await say('alice', 'who')).app, 'alice');
});

test('promises for another\'s host go nowhere', rootOnly, async () => {
  const session = await p.h2('pusher.localhost');
  const pushes = collectPushes(session);
  const promise = (host) => fetch2(session, `/page?n=1&authority=${p.authority(host)}`);
  assert.equal((await promise('alice.localhost')).status, 200);
  assert.equal(pushes.length, 0);
  assert.equal((await promise('pusher.localhost')).status, 200);
  assert.equal((await Promise.all(pushes))[0].status, 200);
  await close2(session);
});

test('nor do Link fields, and what is redirected is only its own', rootOnly, async () => {
  const session = await p.h2('mallory.localhost');
  const pushes = collectPushes(session);
  const hint = (host) => fetch2(session, url('hint', { to: `https://${p.authority(host)}/who` }));
  assert.equal((await hint('alice.localhost')).status, 200);
  assert.equal(pushes.length, 0);
  assert.equal((await hint('mallory.localhost')).status, 200);
  assert.equal(JSON.parse((await Promise.all(pushes))[0].body).app, 'mallory');
  await close2(session);
});

test('a worker\'s frames about origins and alternatives stay with edge', rootOnly, async () => {
  const told = (session) => {
    const heard = [];
    for (const event of ['altsvc', 'origin']) session.on(event, () => heard.push(event));
    return heard;
  };
  const where = `/claim?origin=https://${p.authority('alice.localhost')}`;
  const session = await p.h2('pusher.localhost');
  const heard = told(session);
  assert.equal((await fetch2(session, where)).status, 200);
  await new Promise((resolve) => session.ping(resolve)); // all that was sent before has come
  assert.deepEqual(heard, []);
  await close2(session);
  const { socket } = JSON.parse((await p.h1('pusher.localhost', '/claim')).body);
  const { default: http2 } = await import('node:http2');
  const { default: net } = await import('node:net');
  const direct = http2.connect('http://pusher.localhost', { createConnection: () => net.connect(socket) });
  const truly = told(direct);
  assert.equal((await fetch2(direct, where)).status, 200);
  await until('both were sent', () => truly.length >= 2 || truly.includes('altsvc'));
  await close2(direct);
});

test('a manifest that was changed and not reloaded changes nothing for what is asked again', rootOnly, async () => {
  const before = fs.readFileSync(p.manifest, 'utf8'), manifest = JSON.parse(before);
  manifest.apps.bob.directory = scratch();
  fs.writeFileSync(p.manifest, JSON.stringify(manifest));
  const from = p.lines.length;
  assert.equal((await run(PORTICO, ['restart', 'bob', '--data', p.data])).code, 0);
  assert.equal((await say('bob', 'who')).app, 'bob');
  assert.ok(!p.lines.slice(from).some((line) => /does not name/.test(line)));
  fs.writeFileSync(p.manifest, before);
});

test('ends clean', rootOnly, () => p.stop());
