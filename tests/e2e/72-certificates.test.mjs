// SPDX-License-Identifier: Apache-2.0
// Certificates of the operator's change while connections are open.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { Portico, check, fetch2, run, scratch, until, worker } from './lib.mjs';

let p;
const place = scratch();
const chain = path.join(place, 'site.crt'), key = path.join(place, 'site.key');

async function make(name) {
  const { code, stderr } = await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
    '-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:one.localhost', '-keyout', `${key}.new`, '-out', `${chain}.new`]);
  assert.equal(code, 0, stderr);
  fs.chmodSync(`${key}.new`, 0o644);
  fs.renameSync(`${key}.new`, key);
  fs.renameSync(`${chain}.new`, chain);
}

const served = () => new Promise((resolve, reject) => {
  const socket = tls.connect({ port: p.ports.https, host: '127.0.0.1', servername: 'one.localhost', rejectUnauthorized: false }, () => {
    resolve(socket.getPeerCertificate().subject.CN);
    socket.destroy();
  });
  socket.on('error', reject);
});

check('starts with the first one', async () => {
  await make('first');
  p = await Portico.start({ accessLog: 'off', apps: { one: worker('h1', 'one.localhost', { certificate: { chain, key } }) } });
  p.caText = fs.readFileSync(chain, 'utf8'); // no local authority here
  assert.equal(await served(), 'first');
}, 60);

check('SIGHUP takes a new one; open connections go on', async () => {
  const session = await p.h2('one.localhost', { rejectUnauthorized: false });
  await make('second');
  p.kill('SIGHUP');
  await until('the new one is served', async () => (await served()) === 'second');
  assert.equal((await fetch2(session, '/whoami')).status, 200);
  session.close();
});

check('one that cannot be read leaves the old one', async () => {
  fs.writeFileSync(chain, '-----BEGIN CERTIFICATE-----\nnothing\n');
  const from = p.lines.length;
  p.kill('SIGHUP');
  await p.line(/edge\.certificate.*error=/, { from });
  assert.equal(await served(), 'second');
  await make('third');
  p.kill('SIGHUP');
  await until('the next one is served', async () => (await served()) === 'third');
});

check('one that was replaced while nobody looked is told of when an edge starts', async () => {
  const good = fs.readFileSync(chain), from = p.lines.length;
  fs.writeFileSync(chain, '-----BEGIN CERTIFICATE-----\nnothing\n');
  process.kill(p.role('edge'), 'SIGKILL');
  await p.line(/edge\.certificate.*error=/, { from });
  fs.writeFileSync(chain, good);
  p.kill('SIGHUP');
  await until('it is served again', async () => (await served()) === 'third');
});

check('ends clean', () => p.stop());
