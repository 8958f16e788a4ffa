// SPDX-License-Identifier: Apache-2.0
// As root every app is a user of its own and cannot reach another's things; without root it says so.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { PORTICO, Portico, WORKERS, check, close2, collectPushes, fetch2, scratch, worker } from './lib.mjs';

const asRoot = process.getuid() === 0;
const rootOnly = { timeout: 240_000, skip: !asRoot && 'needs root' };
let p, here, there;

test('starts as root', rootOnly, async () => {
  p = await Portico.start({ apps: { here: worker('reach', 'here.localhost'), there: worker('reach', 'there.localhost') } });
  const who = async (app) => JSON.parse((await p.h1(`${app}.localhost`, '/who')).body);
  [here, there] = [await who('here'), await who('there')];
});

test('each app has a user of its own, without rights', rootOnly, async () => {
  assert.notEqual(here.uid, 0);
  assert.notEqual(here.uid, there.uid);
  for (const { uid, gid, groups, caps } of [here, there]) {
    assert.equal(uid, gid);
    assert.ok(groups.every((group) => group === gid), String(groups));
    assert.match(caps, /^0+$/);
  }
  const uidOf = (pid) => Number(/Uid:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
  const roles = ['edge', 'control'].map((name) => uidOf(p.role(name)));
  assert.ok(roles.every((uid) => uid !== 0 && uid !== here.uid && uid !== there.uid), String(roles));
  assert.equal(uidOf(p.pid), 0);
});

test('an app has at most half of the processes that there may be', rootOnly, async () => {
  const most = Math.min(...['pid_max', 'threads-max'].map((name) => Number(fs.readFileSync(`/proc/sys/kernel/${name}`, 'utf8'))));
  const [soft, hard] = /Max processes\s+(\S+)\s+(\S+)/.exec(fs.readFileSync(`/proc/${(await p.states()).here[0].pid}/limits`, 'utf8')).slice(1).map(Number);
  assert.ok(soft <= hard && hard <= Math.max(256, most / 2), `${soft} ${hard} of ${most}`);
});

test('a worker sees no descriptor that is not its own', rootOnly, () => {
  const strange = here.descriptors.filter((what) => /memfd|portico\.yaml|\.key|lock|access/.test(what));
  assert.deepEqual(strange, []);
});

test('an app writes into its home and its copy, and nowhere of another\'s', rootOnly, async () => {
  const attempt = async (where) => JSON.parse((await p.h1('here.localhost', `/try?path=${encodeURIComponent(where)}`)).body);
  assert.equal((await attempt(here.home)).write, 'done');
  assert.notEqual(path.dirname(here.cwd), path.dirname(there.cwd));
  for (const secret of [there.home, path.join(p.data, 'tls'), p.data, path.join(p.data, 'logs'), path.dirname(there.socket)]) {
    const { write } = await attempt(secret);
    assert.equal(write, 'EACCES', secret);
  }
  for (const hidden of [there.home, path.dirname(there.socket)]) {
    const { list } = await attempt(hidden);
    assert.equal(list, 'EACCES', hidden);
  }
  for (const name of fs.readdirSync(path.join(p.data, 'tls')).filter((entry) => entry.endsWith('.key'))) {
    assert.equal((await attempt(path.join(p.data, 'tls', name))).read, 'EACCES', name);
  }
});

test('an app cannot connect to another\'s socket nor signal its processes', rootOnly, async () => {
  const ask = async (where) => JSON.parse((await p.h1('here.localhost', where)).body);
  assert.equal(await ask(`/connect?path=${encodeURIComponent(there.socket)}`), 'EACCES');
  for (const pid of [p.pid, p.role('edge'), p.role('control'), (await p.states()).there[0].pid]) {
    assert.equal(await ask(`/signal?pid=${pid}`), 'EPERM');
  }
});

test('ends clean as root', rootOnly, () => p.stop());

/** Everything that an ordinary user needs lies where that user can read it. */
async function ordinary() {
  const place = scratch();
  fs.cpSync(WORKERS, path.join(place, 'workers'), { recursive: true });
  fs.copyFileSync(PORTICO, path.join(place, 'portico'));
  const apps = {
    one: { ...worker('h1', 'one.localhost'), instances: 2, directory: path.join(place, 'workers') },
    two: { ...worker('h2c', 'two.localhost'), directory: path.join(place, 'workers') },
  };
  return Portico.start({ apps }, { program: path.join(place, 'portico'), uid: asRoot ? 65534 : undefined });
}

check('an ordinary user runs it too, is told that there is no boundary, and push works', async () => {
  p = await ordinary();
  await p.line(/no boundary/);
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
  const session = await p.h2('two.localhost');
  const pushes = collectPushes(session);
  assert.equal((await fetch2(session, '/page?n=3')).status, 200);
  assert.equal((await Promise.all(pushes)).length, 3);
  await close2(session);
}, 60);

check('ends clean as an ordinary user', () => p.stop());
