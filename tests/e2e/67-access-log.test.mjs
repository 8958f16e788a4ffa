// SPDX-License-Identifier: Apache-2.0
// As root, the access log in a directory that another user can write to: he gets the log's names, and
// nothing that root alone may write to.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { Portico, check, scratch, until, worker } from './lib.mjs';

const USER = 64009;
const rootOnly = (name, run, seconds) => check(name, run, seconds, process.getuid() !== 0 && 'needs root');
const apps = { one: worker('h1', 'one.localhost') };
let p, place, user, log;

const secret = (name) => path.join(place, 'secret', name);
const text = (file) => (fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : '');
/** A request, and that its line stands in the file. */
async function logged(file) {
  const mark = `/whoami-${Math.random()}`;
  await p.h1('one.localhost', mark);
  await until(`${mark} is in ${file}`, () => text(file).includes(mark));
}
function linkOf(user_, target, name) {
  fs.symlinkSync(target, name);
  fs.lchownSync(name, user_, user_);
}

rootOnly('starts with the log in a directory of another user\'s', async () => {
  place = scratch();
  user = path.join(place, 'user');
  fs.mkdirSync(secret(''), { mode: 0o700 });
  fs.mkdirSync(path.join(user, 'logs'), { recursive: true });
  fs.chownSync(user, USER, USER);
  fs.chownSync(path.join(user, 'logs'), USER, USER);
  log = path.join(user, 'logs/access.log');
  p = await Portico.start({ accessLog: log, apps });
  await logged(log);
  assert.equal(fs.statSync(log).uid, 0);
}, 60);

/** He does what he can, and the log is to be opened again: it is not, and goes on where it was. */
async function refused(pattern, mischief) {
  const from = p.lines.length, moved = path.join(place, `moved-${from}`);
  fs.renameSync(path.join(user, 'logs'), moved);
  mischief();
  p.kill('SIGUSR1');
  const line = await p.line(/monitor\.reopen .*error=/, { from });
  assert.match(line, pattern);
  assert.ok(line.includes(user) && line.includes('remove it, or name a file'), line);
  await logged(path.join(moved, 'access.log'));
  fs.rmSync(path.join(user, 'logs'), { recursive: true });
  fs.renameSync(moved, path.join(user, 'logs'));
  assert.deepEqual([fs.readdirSync(secret('')), text(secret('root'))], [fs.readdirSync(secret('')).filter((name) => name === 'root'), '']);
}

rootOnly('a link in place of the directory is not followed', async () => {
  await refused(/the symbolic link logs may lead anywhere/, () => linkOf(USER, secret(''), path.join(user, 'logs')));
});

rootOnly('another name of a file of root\'s is not added to', async () => {
  fs.writeFileSync(secret('root'), '');
  await refused(/it has another name/, () => {
    fs.mkdirSync(path.join(user, 'logs'));
    fs.linkSync(secret('root'), log); // the kernel refuses him that where fs.protected_hardlinks is set
  });
  fs.rmSync(secret('root'));
});

rootOnly('a file of his is not added to', async () => {
  await refused(/it belongs to another user \(uid 64009\)/, () => {
    fs.mkdirSync(path.join(user, 'logs'));
    fs.writeFileSync(log, '');
    fs.chownSync(log, USER, USER);
  });
});

rootOnly('once it is gone, the log begins anew', async () => {
  fs.renameSync(log, `${log}.1`);
  p.kill('SIGUSR1');
  await until('it is there', () => fs.existsSync(log));
  await logged(log);
  await p.stop();
});

rootOnly('what is refused at the start is told, and why', async () => {
  fs.renameSync(path.join(user, 'logs'), path.join(user, 'away'));
  linkOf(USER, secret(''), path.join(user, 'logs'));
  const q = new Portico({ accessLog: log, apps });
  assert.equal(await q.exited, 2);
  assert.match(q.tail(), /accessLog: cannot open .*access\.log: the symbolic link logs may lead anywhere, and others can write to .*user; remove it, or /);
  assert.deepEqual(fs.readdirSync(secret('')), []);
}, 60);

rootOnly('a directory of root\'s below one that a group can write to will do', async () => {
  const group = path.join(place, 'group');
  log = path.join(group, 'portico/access.log');
  fs.mkdirSync(path.dirname(log), { recursive: true });
  fs.chownSync(group, 0, USER);
  fs.chmodSync(group, 0o775);
  p = await Portico.start({ accessLog: log, apps });
  await logged(log);
  p.kill('SIGUSR1');
  await p.line(/monitor\.reopen access_log/);
  await logged(log);
  await p.stop();
}, 60);
