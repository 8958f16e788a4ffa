// SPDX-License-Identifier: Apache-2.0
// The chat example: two instances, one conversation; by itself, and behind Portico.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import path from 'node:path';
import { Portico, ROOT, ask, check, scratch, until } from './lib.mjs';

const CHAT = path.join(ROOT, 'examples/chat');
const { WebSocket } = createRequire(path.join(CHAT, 'package.json'))('ws');
const bus = path.join(scratch(), 'bus');
const running = new Map();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));

/** The port of an instance that is started now. */
async function start(name) {
  const env = { ...process.env, PORT: '0', WEBSITE_INSTANCE_ID: name, CHAT_BUS: bus };
  delete env.PORTICO_SOCKET;
  const child = spawn('node', [path.join(CHAT, 'server.mjs')], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  running.set(name, child);
  child.ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? signal)));
  child.stdout.setEncoding('utf8').on('data', (text) => { said += text; });
  return until(`${name} listens`, () => Number(/127\.0\.0\.1:(\d+)/.exec(said)?.[1]));
}

/** A person: what came so far, and a way to wait for more. */
async function person(where, name, room = 'lobby', options = {}) {
  const server = typeof where === 'number' ? `ws://127.0.0.1:${where}` : where;
  const ws = new WebSocket(`${server}/ws?${new URLSearchParams({ room, name })}`, options);
  const got = [];
  ws.on('message', (data) => got.push(JSON.parse(data)));
  const closed = new Promise((resolve) => ws.on('close', resolve));
  await new Promise((resolve, reject) => ws.once('open', resolve).once('error', reject));
  const sees = (what, test) => until(`${name} sees ${what}`, () => got.find(test));
  return {
    ws, got, closed, sees,
    hears: (text) => sees(text, ({ message }) => message?.text === text),
    people: (...names) => until(`${name} sees ${names}`, () => String(got.filter(({ people }) => people).at(-1)?.people) === String(names)),
    history: async () => (await sees('the welcome', ({ welcome }) => welcome)).messages.map(({ text }) => text),
  };
}

let one, two, ada, ben;

check('pages', async () => {
  one = await start('chat-0');
  const page = await ask({ host: '127.0.0.1', port: one, path: '/' });
  assert.equal(page.status, 200);
  assert.match(page.headers.link, /<\/style\.css>; rel=preload; as=style/);
  for (const where of ['/style.css', '/script.js', '/favicon.svg']) {
    assert.equal((await ask({ host: '127.0.0.1', port: one, path: where })).status, 200);
    assert.ok(String(page.body).includes(where));
  }
  assert.equal((await ask({ host: '127.0.0.1', port: one, path: '/../server.mjs' })).status, 404);
  assert.equal((await ask({ host: '127.0.0.1', port: one, path: '/', method: 'POST' })).status, 405);
});

check('two instances are one conversation', async () => {
  ada = await person(one, 'Ada');
  ada.ws.send('first');
  await ada.hears('first');
  two = await start('chat-1');
  ben = await until('a later instance knows what was said', async () => {
    const some = await person(two, 'Ben');
    if ((await some.history()).includes('first')) return some;
    some.ws.close();
    return undefined;
  });
  ben.ws.send('Ωmega <b>');
  const { message } = await ada.hears('Ωmega <b>');
  assert.equal(message.name, 'Ben');
  assert.equal(message.via, 'chat-1');
  ada.ws.send('welcome');
  await ben.hears('welcome');
  await ada.people('Ada', 'Ben');
  await ben.people('Ada', 'Ben');
  assert.equal(ada.got.filter(({ message: m }) => m?.text === 'Ωmega <b>').length, 1, 'each message comes once');
});

check('rooms are apart', async () => {
  const cy = await person(two, 'Cy', 'push');
  cy.ws.send('only here');
  await cy.hears('only here');
  await cy.people('Cy');
  ben.ws.send('after that');
  await ada.hears('after that');
  assert.ok(!ada.got.some(({ message: m }) => m?.text === 'only here'));
  assert.ok(!ben.got.some(({ message: m }) => m?.text === 'only here'));
  cy.ws.close();
});

check('what does not belong is refused', async () => {
  const refused = (query, options) => new Promise((resolve) => {
    new WebSocket(`ws://127.0.0.1:${one}${query}`, options).on('unexpected-response', (_, { statusCode }) => resolve(statusCode)).on('error', () => {});
  });
  assert.equal(await refused('/ws?room=a/b&name=x'), 400);
  assert.equal(await refused('/ws?room=lobby&name='), 400);
  assert.equal(await refused('/other?room=lobby&name=x'), 404);
  assert.equal(await refused('/ws?name=x', { origin: 'https://evil.example' }), 403);
  const own = await person(one, 'Own', 'lobby', { origin: `http://127.0.0.1:${one}` });
  own.ws.close();
  const large = await person(one, 'Large');
  large.ws.send('x'.repeat(17 << 10));
  assert.equal(await large.closed, 1009);
  const fast = await person(one, 'Fast', 'push');
  for (let i = 0; i < 20; i++) fast.ws.send(`${i}`);
  await fast.sees('that it is too fast', ({ slow }) => slow);
  fast.ws.close();
  await ada.people('Ada', 'Ben');
});

check('an instance that is killed takes its people along and nothing else', async () => {
  running.get('chat-1').kill('SIGKILL');
  await ada.people('Ada');
  two = await start('chat-1');
  ben = await until('it knows what was said again', async () => {
    const some = await person(two, 'Ben');
    if ((await some.history()).includes('after that')) return some;
    some.ws.close();
    return undefined;
  });
  assert.deepEqual((await ben.history()).slice(-4), ['first', 'Ωmega <b>', 'welcome', 'after that']);
  await until('the socket of the dead one is gone', () => fs.readdirSync(bus).length === 2);
  await ada.people('Ada', 'Ben');
});

check('SIGTERM tells everyone to come back', async () => {
  for (const [name, who] of [['chat-0', ada], ['chat-1', ben]]) {
    const child = running.get(name);
    child.kill('SIGTERM');
    assert.equal(await who.closed, 1012);
    assert.equal(await child.ended, 0);
  }
  assert.deepEqual(fs.readdirSync(bus), []);
});

check('a socket that refuses is removed when its process is gone, and no sooner', async () => {
  const gone = spawn('true');
  await once(gone, 'exit');
  const [dead, living] = [gone.pid, process.pid].map((pid) => path.join(bus, `${pid}.sock`));
  const server = net.createServer().listen(path.join(bus, 'once'));
  await once(server, 'listening');
  for (const file of [dead, living]) fs.linkSync(path.join(bus, 'once'), file);
  await new Promise((resolve) => server.close(resolve)); // as between bind() and listen()
  await start('chat-2');
  await until('the socket of the dead one is gone', () => !fs.existsSync(dead));
  assert.ok(fs.existsSync(living));
  fs.rmSync(living);
  running.get('chat-2').kill('SIGTERM');
  assert.equal(await running.get('chat-2').ended, 0);
});

check('behind Portico: whoever is on whichever instance', async () => {
  const host = 'chat.localhost';
  const p = await Portico.start({ accessLog: 'off', apps: { chat: { directory: CHAT, command: 'node server.mjs', instances: 2, hosts: [host] } } });
  const join = (kind, name, origin = `${kind}://${p.authority(host, kind)}`) => person(
    `${kind === 'https' ? 'wss' : 'ws'}://127.0.0.1:${p.ports[kind]}`, name, 'lobby',
    { ca: p.ca, servername: host, headers: { host: p.authority(host, kind) }, origin });
  const people = [await join('https', 'a'), await join('http', 'b'), await join('https', 'c'), await join('http', 'd')];
  for (const { people: see } of people) await see('a', 'b', 'c', 'd');
  const welcomes = new Set(people.map(({ got }) => got.find(({ welcome }) => welcome).welcome));
  assert.equal(welcomes.size, 2, 'both instances have visitors');
  for (const [i, { ws }] of people.entries()) ws.send(`number ${i}`);
  for (const { hears } of people) for (const i of people.keys()) await hears(`number ${i}`);
  await assert.rejects(join('https', 'evil', 'https://evil.example'), /403/);
  const [{ pid }] = (await p.states()).chat;
  process.kill(pid, 'SIGKILL');
  const gone = await Promise.race(people.map((one) => one.closed.then((code) => ({ one, code }))));
  assert.equal(gone.code, 1006, 'nobody said goodbye');
  await p.ready();
  const back = await until('a visitor comes back and reads what was said', async () => {
    const some = await join('https', 'back');
    if (String((await some.history()).sort()) === 'number 0,number 1,number 2,number 3') return some;
    some.ws.close(); // the new instance has not heard from the other one yet
    return undefined;
  });
  for (const { ws } of [...people, back]) ws.terminate();
  await p.stop();
}, 60);
