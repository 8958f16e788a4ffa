// SPDX-License-Identifier: Apache-2.0
// Whatever octets come in, what goes to a worker is one request that everybody reads in the same
// way, or nothing.  Every trick goes in over each version of HTTP, plain and over TLS, to workers of
// both versions, which keep what they get; a judge that is not Portico's reads it.
import assert from 'node:assert/strict';
import net from 'node:net';
import tls from 'node:tls';
import { isDeepStrictEqual } from 'node:util';
import { Portico, check, until } from './lib.mjs';
import { judgeAnswers } from './strict-h1.mjs';
import { Hpack, faultOfAnswer } from './strict-h2.mjs';
import { TRICKS as H1 } from './tricks-h1.mjs';
import { TRICKS as H2 } from './tricks-h2.mjs';
import * as h2 from './workers/frames.mjs';
import { h1Recorder, h2Recorder } from './workers/recorder.mjs';

const { TYPE, END_STREAM } = h2;
const AT_ONCE = 8;
const apps = {}, tried = [];
let p, count = 0;

/** One line that says it all: hundreds of tricks may fail at once. */
function same(got, wanted, what) {
  assert.ok(isDeepStrictEqual(got, wanted), `${what}: ${JSON.stringify(got)}, not ${JSON.stringify(wanted)}`);
}

/** A trick's own names. */
function names(app, kind) {
  const name = `${app}.localhost`, n = `${count++}`.padStart(6, '0');
  return {
    app, kind, name, authority: p.authority(name, kind), scheme: kind === 'https' ? 'https' : 'http',
    target: `/trick-${n}`, mark: `trick-${n}`, innocent: `/innocent-${n}`, other: `/other-${n}`,
  };
}

const fill = (text, t) => text.replace(/@([THNU])/g, (_, what) => ({ T: t.target, H: t.authority, N: t.name, U: t.name.toUpperCase() })[what]);
const secure = (t) => ({ host: '127.0.0.1', port: p.ports.https, servername: t.name, ca: p.ca });

/** Sends octets and reads to the end of the connection. */
function exchange1(t, octets) {
  return new Promise((resolve, reject) => {
    const socket = t.kind === 'https' ? tls.connect({ ...secure(t), ALPNProtocols: ['http/1.1'] }) : net.connect(p.ports.http, '127.0.0.1');
    const timer = setTimeout(() => reject(new Error(`no end: ${JSON.stringify(got)}`)), 60_000);
    let got = '';
    socket.on(t.kind === 'https' ? 'secureConnect' : 'connect', () => socket.write(octets, 'latin1'));
    socket.setEncoding('latin1').on('data', (part) => (got += part));
    socket.on('error', () => {}); // a reset behind an answer is an end, too
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(got);
    });
  });
}

const innocent = (t, target) => `GET ${target} HTTP/1.1\r\nHost: ${t.authority}\r\nConnection: close\r\n\r\n`;

/** The innocent that comes on a connection of its own, and to the worker on one that was used. */
async function elsewhere(own) {
  const t = { ...own, kind: 'http', authority: p.authority(own.name, 'http') };
  const { messages: [answer], fault } = judgeAnswers(await exchange1(t, innocent(t, t.other)));
  same([fault, answer?.status, answer?.body], [null, 200, `GET ${t.other}`], 'the innocent on another connection');
}

/** What the worker has of it. */
function judgeWorker(t, verdict) {
  const { book } = apps[t.app];
  same(book.faults.filter((fault) => fault.includes(t.mark)), [], 'the judge');
  const got = book.whole(t.mark);
  if (!verdict.passes) {
    same(got, [], 'whole requests at the worker');
    if (!verdict.cut && !verdict.reset) assert.ok(!book.heard(t.mark), 'a worker heard of it');
    return;
  }
  if (verdict.either && got.length === 0) return;
  same(got.length, 1, 'whole requests at the worker');
  const [{ fields, ...one }] = got;
  const values = (name) => fields.filter(([key]) => key === name).map(([, value]) => value);
  if (verdict.method) same(one.method, verdict.method, 'method');
  same(one.target, fill(verdict.target ?? '@T', t), 'target');
  same(one.authority, fill(verdict.authority ?? '@H', t), 'authority');
  same(one.content, verdict.content, 'content');
  if (verdict.trailers) same(one.trailers, t.app === 'h2' ? verdict.trailers : [], 'trailers');
  for (const [list, wanted] of [[verdict.without ?? [], 0], [verdict.present ?? [], 1]]) {
    for (const name of list) {
      const [bare, , app] = name.split(' ');
      if (!app || app === t.app) same(values(bare).length, wanted, `${bare}: ${values(bare)}`);
    }
  }
  for (const [name, value] of verdict.having ?? []) assert.ok(values(name).includes(fill(value, t)), `${name}: ${values(name)}`);
}

/** What an HTTP/1.1 client has of it. */
function judgeClient1(t, verdict, text, method) {
  const { messages, rest, fault } = judgeAnswers(text, { methods: [method] });
  same([fault, rest], [null, ''], `whole answers in ${JSON.stringify(text)}`);
  const [first, ...others] = messages;
  if (verdict.refused || verdict.cut) {
    if (!first) assert.ok(verdict.silent, 'no answer');
    else same([first.status, first.close], [verdict.refused ?? 400, true], 'status and close');
    same(others, [], 'answers behind it');
    return;
  }
  if (verdict.passes) {
    same([first?.status, first?.body], [200, method === 'HEAD' ? '' : `${method} ${fill(verdict.target ?? '@T', t)}`], 'answer');
  } else {
    assert.ok([verdict.own].flat().includes(first?.status), `${first?.status}`);
  }
  if (verdict.behind) same(others.map(({ status }) => status), [verdict.behind], 'behind it');
  else if (verdict.last) same([verdict.passes || first.close, others], [true, []], 'close, and answers behind it');
  else same(others.map(({ status, body }) => [status, body]), [[200, `GET ${t.innocent}`]], 'the innocent behind it');
}

async function try1(app, kind, [, octets, said]) {
  const t = names(app, kind), verdict = typeof said === 'number' ? { refused: said } : said;
  const sent = fill(octets, t);
  const got = await exchange1(t, sent + innocent(t, t.innocent));
  await elsewhere(t);
  judgeClient1(t, verdict, got, /^\s*([^ ]*)/.exec(sent)[1]);
  judgeWorker(t, verdict);
  tried.push([t, verdict]);
}

/** One connection with the trick on stream 1 and an innocent on stream 3: answers by stream. */
async function exchange2(t, frames) {
  const c = await h2.h2Client(p.ports[t.kind], t.kind === 'https' ? { secure: secure(t) } : {});
  const hpack = new Hpack(), answers = {};
  c.send(...frames, h2.head(3, h2.request(t.authority, t.innocent, { ':scheme': t.scheme }), true));
  const ended = (id) => (f) => (f.id === id && (f.type === TYPE.RST || (f.type < 2 && f.flags & END_STREAM))) || f.type === TYPE.GOAWAY;
  assert.ok(await c.until(ended(3)), 'the innocent has an answer');
  assert.ok(await c.until(ended(1)), 'the trick has an answer');
  for (const f of c.frames) {
    const a = (answers[f.id] ??= { fields: null, content: '', trailers: [], reset: null });
    if (f.type === TYPE.HEADERS) a[a.fields ? 'trailers' : 'fields'] = hpack.read(f.payload);
    if (f.type === TYPE.DATA) a.content += f.payload.toString('latin1');
    if (f.type === TYPE.RST) a.reset = f.payload.readUInt32BE(0);
    if (f.type === TYPE.GOAWAY) a.goaway = f.payload.readUInt32BE(4);
  }
  c.socket.destroy();
  return answers;
}

const h2Connect = (t) => [[':method', 'CONNECT'], [':protocol', 'websocket'], [':scheme', t.scheme], [':path', t.target], [':authority', t.authority],
  ['sec-websocket-version', '13']];
const statusOf = (answer) => Number(answer?.fields?.find(([name]) => name === ':status')[1]);

async function try2(app, kind, [, frames, verdict]) {
  const t = names(app, kind), list = frames(t);
  const { 0: connection, 1: trick, 3: other } = await exchange2(t, list);
  await elsewhere(t);
  const noContent = verdict.method === 'HEAD';
  for (const answer of [{ ...trick, noContent }, other]) if (answer?.fields && answer.reset === null) same(faultOfAnswer(answer), null, 'the judge of answers');
  if (verdict.passes && !verdict.either) {
    same([trick?.reset, statusOf(trick)], [null, 200], 'answer');
    if (noContent) same(trick.content, '', 'content');
    else assert.ok(trick.content.endsWith(` ${fill(verdict.target ?? '@T', t)}`), trick.content);
  } else if (verdict.own) {
    assert.ok([verdict.own].flat().includes(statusOf(trick)), `${statusOf(trick)}`);
  } else if (verdict.reset) {
    same([trick?.reset, trick?.fields], [verdict.reset, null], 'a reset and no answer');
  }
  same([connection.goaway, statusOf(other), other?.content], [undefined, 200, `GET ${t.innocent}`], 'the innocent behind it');
  judgeWorker(t, verdict);
  tried.push([t, verdict]);
}

check('starts', async () => {
  apps.h1 = await h1Recorder();
  apps.h2 = await h2Recorder();
  const upstream = (app, more) => ({ upstreams: [`tcp://127.0.0.1:${apps[app].port}`], hosts: [`${app}.localhost`], ...more });
  p = await Portico.start({
    apps: { h1: upstream('h1'), h2: upstream('h2', { http20ProxyFlag: 1 }), only: { ...upstream('h1'), hosts: ['only.localhost'], httpsOnly: true } },
  }, { ready: false });
  for (const app of ['h1', 'h2']) await until(`${app} is ready`, () => elsewhere(names(app, 'https')).then(() => true));
});

for (const [version, groups, attempt] of [['HTTP/1.1', H1, try1], ['HTTP/2', H2, try2]]) {
  for (const [group, tricks] of Object.entries(groups)) {
    check(`${version}, ${group}: ${tricks.length} tricks, plain and over TLS, to workers of both versions`, async () => {
      const runs = tricks.flatMap((trick) => ['h1', 'h2'].flatMap((app) => ['http', 'https'].map((kind) => [app, kind, trick])));
      const failed = [];
      for (let at = 0; at < runs.length; at += AT_ONCE) {
        await Promise.all(runs.slice(at, at + AT_ONCE).map(([app, kind, trick]) => attempt(app, kind, trick).catch((error) => {
          failed.push(`${trick[0]} (${kind}, worker ${app}): ${error.message}`);
        })));
      }
      assert.equal(failed.length, 0, `${failed.length} of ${runs.length} failed:\n${failed.join('\n')}`);
    }, 60);
  }
}

for (const kind of ['http', 'https']) {
  check(`${kind}: each request of a connection is for whom it names, whatever those before it named`, async () => {
    const [one, two] = ['h1', 'h2'].map((app) => names(app, kind));
    const ask = (line, host, more = '') => `${line} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`;
    const asked = [
      [one, ask(`GET ${one.target}`, one.authority)],
      [two, ask(`GET ${two.target}`, two.authority)],
      [null, ask(`GET ${one.target}`, 'other.example')],
      [two, ask(`GET http://${two.authority}${two.target}`, one.authority)],
      [one, ask(`GET ${one.target}`, one.authority, `X-Forwarded-Host: ${two.authority}\r\n`)],
      [one, ask(`GET http://${one.authority}${one.target}`, 'other.example')],
      [two, ask(`GET ${two.target}`, two.authority, 'Connection: close, Host\r\n')],
    ];
    const { messages, fault } = judgeAnswers(await exchange1(one, asked.map(([, octets]) => octets).join('')));
    same(fault, null, 'the judge');
    const served = (t) => asked.filter(([whose], i) => whose === t && messages[i].status === 200).length;
    asked.forEach(([t], i) => {
      if (!t) return assert.ok([404, 421].includes(messages[i].status), `${i}: ${messages[i].status}`);
      if (kind === 'http' || t === one) same([messages[i].status, messages[i].body], [200, `GET ${t.target}`], i);
      else assert.ok([200, 421].includes(messages[i].status), `${i}: ${messages[i].status}`);
    });
    for (const t of [one, two]) {
      const got = apps[t.app].book.whole(t.mark), other = apps[t === one ? 'h2' : 'h1'].book;
      same(got.map(({ target, authority }) => [target, authority]), Array.from({ length: served(t) }, () => [t.target, t.authority]), t.app);
      assert.ok(!other.heard(t.mark), `${t.app}'s at the other app`);
    }
  });
}

check('what is sent ahead of a WebSocket reaches no worker that does not switch', async () => {
  for (const kind of ['http', 'https']) {
    const t = names('h1', kind), smuggled = names('h1', kind);
    const { 1: answer, 3: other } = await exchange2(t, [
      h2.head(1, [...h2Connect(t), ['content-length', '5'], ['expect', '100-continue']]),
      h2.data(1, `GET ${smuggled.target} HTTP/1.1\r\nHost: ${smuggled.authority}\r\n\r\n`),
    ]);
    same([statusOf(answer), statusOf(other)], [502, 200], 'status'); // it was answered 200 rather than 101
    await elsewhere(t);
    same(apps.h1.book.whole(t.mark).map(({ method, content }) => [method, content]), [['GET', '']], 'requests at the worker');
    assert.ok(!apps.h1.book.heard(smuggled.mark), 'a worker heard of it');
  }
});

check('a redirect leads to the host that was asked, whatever the target', async () => {
  const host = `only.localhost:${p.ports.http}`, to = `https://only.localhost:${p.ports.https}`;
  for (const [line, where] of [['GET /a?b', '/a?b'], ['GET //other.example/', '//other.example/'], ['OPTIONS *', '/'], [`GET http://${host}`, '/']]) {
    const { messages: [{ fields }] } = judgeAnswers(await p.raw(`${line} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`));
    same(fields.filter(([name]) => name === 'location'), [['location', to + where]], line);
  }
});

check('nothing came late, and it ends clean', async () => {
  for (const { close } of Object.values(apps)) close();
  await p.stop();
  for (const [t, verdict] of tried) judgeWorker(t, verdict);
  assert.ok(tried.length > 2600, `${tried.length} were tried`);
  assert.deepEqual(Object.values(apps).flatMap(({ book }) => book.faults), []);
});
