// SPDX-License-Identifier: Apache-2.0
// What edge and control have given up, as the kernel sees it.
import assert from 'node:assert/strict';
import { createPrivateKey } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { PORTICO, Portico, ROOT, WORKERS, check, isAlive, run, scratch, until, worker } from './lib.mjs';

const asRoot = process.getuid() === 0;
const rootOnly = { timeout: 240_000, skip: !asRoot && 'needs root' };
// Such builds read /proc when they report, so they keep their root.
const isSanitized = /__(asan|tsan)_init/.test(fs.readFileSync(PORTICO, 'latin1'));
const ownRoot = { timeout: 240_000, skip: isSanitized && 'a build with sanitizers keeps its root' };
let p;

const field = (pid, name) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1];
const root = (pid) => fs.readlinkSync(`/proc/${pid}/root`);
const given = (role) => p.lines.filter((line) => line.includes(` ${role} jail.enter `));

check('starts', async () => {
  p = await Portico.start({ apps: { one: worker('h1', 'one.localhost'), two: worker('h2c', 'two.localhost') } });
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
}, 60);

check('each says once what is not enforced, and nothing else is', async () => {
  const allowed = /^files: this kernel has no Landlock$|^root: the sanitizers of this build read \/proc$|^files: it finds out whose listener/;
  for (const role of ['edge', 'control']) {
    await p.line(new RegExp(` ${role} jail\\.enter `));
    assert.equal(given(role).length, 1, role);
    const missing = /not_enforced="(.*)"/.exec(given(role)[0])?.[1].split('; ') ?? [];
    assert.deepEqual(missing.filter((what) => !allowed.test(what)), [], role);
    assert.equal(missing.some((what) => what.startsWith('root:')), isSanitized && role === 'edge');
    assert.equal(missing.some((what) => what.startsWith('files: it')), !asRoot && role === 'control');
  }
});

check('edge and control are under a filter, without new privileges and without capabilities', () => {
  for (const role of ['edge', 'control']) {
    const pid = p.role(role);
    assert.equal(field(pid, 'Seccomp'), '2', role);
    assert.equal(field(pid, 'NoNewPrivs'), '1', role);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) assert.match(field(pid, set), /^0+$/, `${role} ${set}`);
    if (asRoot) assert.match(field(pid, 'CapBnd'), /^0+$/, role);
  }
  assert.equal(/^Max core file size\s+(\d+)/m.exec(fs.readFileSync(`/proc/${p.role('edge')}/limits`, 'utf8'))[1], '0');
});

test('every thread of edge is', rootOnly, () => {
  const edge = p.role('edge');
  const threads = fs.readdirSync(`/proc/${edge}/task`);
  assert.ok(threads.length >= 3, String(threads.length)); // two loops and the log's
  for (const thread of threads) assert.match(fs.readFileSync(`/proc/${edge}/task/${thread}/status`, 'utf8'), /^Seccomp:\s+2$/m);
});

test('edge\'s root is the directory of workers\' sockets, with nothing else in it', ownRoot, () => {
  const run = path.join(p.data, 'run');
  if (asRoot) {
    assert.equal(root(p.role('edge')), run);
    const users = (pid) => fs.readlinkSync(`/proc/${pid}/ns/user`); // it could not tell one user from another in its own
    assert.equal(users(p.role('edge')), users('self'));
  }
  const all = fs.readdirSync(run, { recursive: true, withFileTypes: true }).filter((entry) => !entry.isDirectory());
  assert.ok(all.length >= 2);
  for (const entry of all) assert.ok(entry.isSocket(), entry.name);
});

test('edge has no file open, control none but the manifest', rootOnly, () => {
  const links = (role) => fs.readdirSync(`/proc/${p.role(role)}/fd`).map((fd) => fs.readlinkSync(`/proc/${p.role(role)}/fd/${fd}`));
  const isPlain = (what) => /^(socket|pipe|anon_inode):|^\/dev\/null$/.test(what);
  assert.deepEqual(links('edge').filter((what) => !isPlain(what)), []);
  assert.deepEqual(links('control').filter((what) => !isPlain(what)), [p.manifest]);
  const mapped = fs.readFileSync(`/proc/${p.role('edge')}/maps`, 'utf8');
  assert.ok(!mapped.includes(p.home), mapped);
});

/** Whether octets lie anywhere in a process's memory. */
function holds(pid, needles) {
  const mem = fs.openSync(`/proc/${pid}/mem`, 'r');
  try {
    for (const line of fs.readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const found = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line);
      if (!found) continue;
      const [from, to] = [BigInt(`0x${found[1]}`), BigInt(`0x${found[2]}`)];
      const step = 1n << 20n;
      for (let at = from; at < to && to - from < 1n << 32n; at += step) { // not a sanitizer's shadow
        const part = Buffer.alloc(Number(to - at < step ? to - at : step + 64n <= to - at ? step + 64n : to - at));
        try {
          fs.readSync(mem, part, 0, part.length, at);
        } catch {
          break;
        }
        if (needles.some((needle) => part.includes(needle))) return true;
      }
    }
    return false;
  } finally {
    fs.closeSync(mem);
  }
}

test('a private key is in edge\'s memory and not in control\'s', rootOnly, () => {
  const key = createPrivateKey(fs.readFileSync(path.join(p.data, 'tls/0.key')));
  const scalar = Buffer.from(key.export({ format: 'jwk' }).d, 'base64url');
  const both = [scalar, Buffer.from(scalar).reverse()]; // as written, and as OpenSSL's numbers lie in memory
  assert.ok(holds(p.role('edge'), both), 'edge');
  assert.ok(!holds(p.role('control'), both), 'control');
  assert.ok(!holds(p.pid, both), 'monitor');
});

check('a refused system call ends the role, and the log says why', async () => {
  const edge = p.role('edge');
  const from = p.lines.length;
  process.kill(edge, 'SIGSYS'); // as the filter does
  const line = await p.line(/role\.exit role=edge\b/, { from });
  assert.match(line, /error.*signal=31\b.* text="seccomp refused a system call.*"$/);
  await p.line(/edge\.serves/, { from });
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
}, 60);

/** By its full name, as a socket elsewhere on the machine is. */
const far = (data) => ({ upstreams: [`unix:${path.join(data, 'run/one/0.sock')}`], hosts: ['far.localhost'] });
const change = (edit) => {
  const manifest = JSON.parse(fs.readFileSync(p.manifest, 'utf8'));
  edit(manifest.apps);
  fs.writeFileSync(p.manifest, JSON.stringify(manifest));
};
const assertRefused = async () => {
  const { code, stderr } = await run(PORTICO, ['reload', '--data', p.data]);
  assert.equal(code, 2);
  assert.match(stderr, /apps\.far\.upstreams: a unix socket .* stop it and start it again/);
};

check('a socket elsewhere would take edge\'s root: not while it runs', async () => {
  const edge = p.role('edge');
  change((apps) => (apps.far = far(p.data)));
  await assertRefused();
  assert.equal(p.role('edge'), edge);
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
}, 60);

check('nor by a new control', async () => {
  const edge = p.role('edge'), from = p.lines.length;
  process.kill(p.role('control'), 'SIGKILL');
  await p.line(/control\.manifest .*not valid any more/, { from });
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
  change((apps) => delete apps.far);
  await until('another control serves', async () => (await p.admin('/apps')).status === 200);
  assert.equal(p.role('edge'), edge);
}, 60);

check('ends clean', () => p.stop());

check('from the start it is had, with the machine\'s root, and edge says so', async () => {
  p = await Portico.start((data) => ({ apps: { one: worker('h1', 'one.localhost'), far: far(data) } }));
  await p.line(/ edge edge\.root .*keeps the machine's root/);
  await until('the far app answers', async () => (await p.h1('far.localhost', '/whoami', { rejectUnauthorized: false })).status === 200);
  if (asRoot) assert.equal(root(p.role('edge')), '/');
}, 60);

check('and has its own when there is none any more, for good', async () => {
  const before = p.role('edge');
  change((apps) => delete apps.far);
  assert.equal((await run(PORTICO, ['reload', '--data', p.data])).code, 0);
  await until('another edge serves', () => p.role('edge') !== before && !isAlive(before));
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
  if (asRoot && !isSanitized) assert.equal(root(p.role('edge')), path.join(p.data, 'run'));
  change((apps) => (apps.far = far(p.data)));
  await assertRefused();
  await p.stop();
}, 60);

test('what the unit leaves of root\'s capabilities is enough', rootOnly, async () => {
  const unit = fs.readFileSync(path.join(ROOT, 'install/portico.service.in'), 'utf8');
  const kept = /^CapabilityBoundingSet=(.*)$/m.exec(unit)[1].split(' ').map((name) => `+${name.toLowerCase().slice(4)}`);
  const program = path.join(scratch(), 'portico');
  fs.writeFileSync(program, `#!/bin/sh\nexec setpriv --bounding-set=-all,${kept} '${PORTICO}' "$@"\n`, { mode: 0o755 });
  p = await Portico.start({ apps: { one: worker('h1', 'one.localhost') } }, { program });
  assert.notEqual(field(p.pid, 'CapBnd'), field('self', 'CapBnd'));
  const isAdmin = (pid) => BigInt(`0x${field(pid, 'CapBnd')}`) >> 12n & 1n; // CAP_NET_ADMIN
  assert.equal(isAdmin(p.pid), isAdmin('self'));
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
  for (const pid of [p.role('edge'), p.role('control'), (await p.states()).one[0].pid]) assert.match(field(pid, 'CapBnd'), /^0+$/);
  if (!isSanitized) assert.equal(root(p.role('edge')), path.join(p.data, 'run'));
  await p.stop();
});

check('as an ordinary user the same holds; both die with monitor', async () => {
  const place = scratch();
  fs.cpSync(WORKERS, path.join(place, 'workers'), { recursive: true });
  fs.copyFileSync(PORTICO, path.join(place, 'portico'));
  const one = { ...worker('h1', 'one.localhost'), directory: path.join(place, 'workers') };
  p = await Portico.start({ apps: { one } }, { program: path.join(place, 'portico'), uid: asRoot ? 65534 : undefined });
  const roles = [p.role('edge'), p.role('control')];
  for (const pid of roles) {
    assert.equal(field(pid, 'Seccomp'), '2');
    assert.equal(field(pid, 'NoNewPrivs'), '1');
    assert.match(field(pid, 'CapEff'), /^0+$/);
  }
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
  p.kill();
  await until('nobody is left', () => !roles.some(isAlive));
  await until('the worker is gone, too', () => p.strays().length === 0);
}, 60);
