// SPDX-License-Identifier: Apache-2.0
// More apps than anybody reads: what one of them changes costs only that one.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import tls from 'node:tls';
import { Portico, check, isAlive, until } from './lib.mjs';

const COUNT = 1200;
let p, upstream;
const apps = {};
const issued = (from) => p.lines.slice(from).filter((line) => /authority\.issued/.test(line)).length;

/** The names in the certificate that a client gets who asks for this host. */
const names = (host) => new Promise((resolve, reject) => {
  const socket = tls.connect({ port: p.ports.https, host: '127.0.0.1', servername: host, ca: p.ca }, () => {
    resolve(socket.getPeerCertificate().subjectaltname);
    socket.destroy();
  });
  socket.on('error', reject);
});
const status = async (host) => (await p.h1(host)).status;

/** Changes the manifest and reloads it; gives the index of the first line after that. */
async function reload(change) {
  const manifest = JSON.parse(fs.readFileSync(p.manifest, 'utf8'));
  change(manifest.apps);
  fs.writeFileSync(p.manifest, JSON.stringify(manifest, null, 1));
  const from = p.lines.length;
  p.kill('SIGHUP');
  await p.line(/control\.reload/, { from });
  return from;
}

check('starts with more than a thousand', async () => {
  upstream = http.createServer((request, response) => response.end(request.headers.host));
  await new Promise((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  const upstreams = [`tcp://127.0.0.1:${upstream.address().port}`];
  for (let i = 0; i < COUNT; i++) apps[`app${i}`] = { upstreams, hosts: [`a${i}.localhost`, `b${i}.localhost`] };
  p = new Portico({ accessLog: 'off', apps });
  await p.listening();
  await p.line(/edge\.serves/, { seconds: 90 });
  for (const i of [0, 1, COUNT - 1]) {
    assert.equal(await names(`b${i}.localhost`), `DNS:a${i}.localhost, DNS:b${i}.localhost`);
    assert.equal(await status(`b${i}.localhost`), 200);
  }
}, 120);

check('one that changes its name gets a new certificate; nobody else does', async () => {
  const session = await p.h2('a7.localhost');
  const from = await reload((all) => {
    all.app600.hosts = ['z600.localhost'];
  });
  await until('the new name is in force', async () => (await status('z600.localhost')) === 200);
  assert.equal(await names('z600.localhost'), 'DNS:z600.localhost');
  assert.equal(issued(from), 1);
  assert.equal(session.destroyed, false);
  session.close();
});

check('one comes, one goes, in the same reload', async () => {
  const from = await reload((all) => {
    delete all.app3;
    all.late = { ...apps.app3, hosts: ['late.localhost'] };
  });
  await until('the new one is in force', async () => (await status('late.localhost')) === 200);
  assert.equal(await names('late.localhost'), 'DNS:late.localhost');
  assert.equal((await p.h1('b3.localhost', '/', { kind: 'http' })).status, 404);
  assert.equal(await names('a4.localhost'), 'DNS:a4.localhost, DNS:b4.localhost');
  assert.equal(issued(from), 1);
});

check('a new edge knows all of them', async () => {
  const edge = p.role('edge'), from = p.lines.length;
  process.kill(edge, 'SIGKILL');
  await p.line(/edge\.serves/, { from });
  assert.notEqual(p.role('edge'), edge);
  for (const host of ['z600.localhost', 'late.localhost', 'a5.localhost']) assert.equal(await status(host), 200);
});

check('a new control names all of them, and none is issued again', async () => {
  const control = p.role('control');
  let from = p.lines.length;
  process.kill(control, 'SIGKILL');
  await p.line(/control\.resume/, { from });
  assert.equal(isAlive(control), false);
  from = await reload((all) => {
    all.app601.hosts = ['z601.localhost'];
  });
  await until('the change is in force', async () => (await status('z601.localhost')) === 200);
  assert.equal(await names('z601.localhost'), 'DNS:z601.localhost');
  assert.equal(issued(from), 1);
  assert.equal(await status('a5.localhost'), 200);
});

check('a name that stands twice among them is found', async () => {
  const good = fs.readFileSync(p.manifest, 'utf8');
  fs.writeFileSync(p.manifest, good.replace('"app900": {', '"app9": {'));
  const from = p.lines.length;
  p.kill('SIGHUP');
  await p.line(/portico\.yaml:\d+:\d+: apps\.app9: this key stands twice; it was first in line \d+/, { from });
  fs.writeFileSync(p.manifest, good);
  assert.equal(await status('a900.localhost'), 200);
});

check('counts by label are told of those that have any', async () => {
  assert.equal(await p.metric('portico_requests_total', { app: 'app1000' }), 0);
  assert.equal(await p.metric('portico_request_duration_seconds_count', { app: 'app1000' }), null);
  assert.ok(await p.metric('portico_request_duration_seconds_count', { app: 'app5' }) > 0);
});

check('ends clean', async () => {
  await p.stop();
  upstream.close();
});
