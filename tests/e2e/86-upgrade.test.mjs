// SPDX-License-Identifier: Apache-2.0
// Protocols other than WebSocket: those that an app lists under `upgrades` pass as they are, and
// nothing of any other reaches a worker.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import { Portico, WORKERS, check, close2, residentKib, run, sha256, until } from './lib.mjs';
import { Ws, ask1, request1 } from './ws-lib.mjs';

const MIB = 1 << 20;
const UPGRADES = ['foo', 'bar/1.2'];
const app = (name, mode, more = {}) => ({
  directory: WORKERS, command: 'node switch.mjs', hosts: [`${name}.localhost`], upgrades: UPGRADES, env: { MODE: mode },
  ...(mode === 'h1' ? {} : { http20ProxyFlag: 1 }), ...more,
});

let p;
let tags = 0;
const mark = () => `${++tags}`;

/** Switches, says some, and resets the connection. */
const cuts = net.createServer((socket) => socket.on('error', () => {}).once('data', () => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nsome', () => socket.resetAndDestroy());
}));

check('starts', async () => {
  await once(cuts.listen(0, '127.0.0.1').unref(), 'listening');
  p = await Portico.start({
    apps: {
      one: app('one', 'h1'),
      two: app('two', 'h2c'),
      plain: app('plain', 'h2c-plain'),
      cuts: { upstreams: [`tcp://127.0.0.1:${cuts.address().port}`], hosts: ['cuts.localhost'], upgrades: UPGRADES },
      none: app('none', 'h1', { upgrades: undefined }),
      brief: app('brief', 'h1', { timeouts: { tunnel: '2s', request: '2s' } }),
    },
  });
}, 60);

const KINDS = ['http', 'https'];
const to = (name, kind = 'http') => ({ port: p.ports[kind], host: `${name}.localhost`, ca: kind === 'https' ? p.ca : undefined });

/** An Upgrade on a connection of its own. */
function upgrade(target, where, { token = 'foo', method = 'GET', headers = {}, with: together } = {}) {
  const fields = { Host: `${target.host}:${target.port}`, Connection: 'Upgrade', Upgrade: token, ...headers };
  return ask1({ ...target, octets: request1(`${method} ${where} HTTP/1.1`, fields, together) });
}

/** An extended CONNECT on a session. */
async function connect(session, target, where, { protocol = 'foo', end = false } = {}) {
  const stream = session.request({ ':method': 'CONNECT', ':protocol': protocol, ':scheme': session.encrypted ? 'https' : 'http', ':path': where, ':authority': `${target.host}:${target.port}` }, { endStream: end });
  const [head] = await once(stream, 'response');
  return new Ws(stream, head[':status'], head);
}

/** All that comes until the end. */
const restOf = async (ws) => String(await ws.octets().rest());

/** The next n octets: to be taken before the own end, in which Node's TLS client loses what waits unread. */
async function take(ws, n) {
  let got = Buffer.alloc(0);
  for (let part; got.length < n && (part = await ws.next());) got = Buffer.concat([got, part]);
  return String(got);
}

/** What must pass through a tunnel, either way, with both ends. */
async function exercise(ws, tag) {
  const octets = Buffer.alloc(3 * MIB, 'neither HTTP nor WebSocket\r\n\r\n');
  ws.octets();
  ws.stream.end(octets);
  assert.equal(sha256(await ws.rest()), sha256(octets));
  await p.line(new RegExp(`@${tag} end after ${octets.length}$`));
  await ws.closed;
}

// ---- ends ----

check('what a worker cuts is no whole message', async () => {
  // Node's client takes a reset that follows octets for an end.
  const { stdout, stderr } = await run('python3', ['-c', `
import socket
s = socket.create_connection(("127.0.0.1", ${p.ports.http}))
s.sendall(b"GET / HTTP/1.1\\r\\nHost: cuts.localhost\\r\\nConnection: Upgrade\\r\\nUpgrade: foo\\r\\n\\r\\n")
got = b""
try:
    while part := s.recv(65536):
        got += part
    print("end", got)
except ConnectionResetError:
    print("reset", got)
`]);
  assert.match(stdout, /^reset b'HTTP\/1\.1 101 /, stderr);
});

// ---- what is listed ----

for (const kind of KINDS) {
  check(`${kind}: a listed protocol is switched to, and octets pass as they are`, async () => {
    for (const [token, method, headers] of [
      ['foo', 'GET', {}], ['FOO', 'OPTIONS', {}], ['bar/1.2', 'POST', { 'Content-Length': '0' }], ['Bar/1.2', 'DELETE', { Connection: 'keep-alive, upgrade, x-hop', 'X-Hop': 'gone' }],
    ]) {
      const tag = mark();
      const ws = await upgrade(to('one', kind), `/raw?tag=${tag}`, { token, method, headers: { 'X-Own': 'kept', 'X-Forwarded-For': '6.6.6.6', ...headers } });
      assert.equal(ws.status, 101);
      assert.equal(ws.headers.upgrade, token.toUpperCase()); // as the worker said it
      assert.equal(ws.headers.connection, 'upgrade');
      for (const name of ['content-length', 'transfer-encoding', 'date']) assert.equal(ws.headers[name], undefined, name);
      const told = JSON.parse(ws.headers['x-told']);
      assert.equal(told.method, method);
      assert.equal(told.headers.upgrade, token);
      assert.equal(told.headers.connection, 'upgrade');
      assert.equal(told.headers['x-own'], 'kept');
      assert.equal(told.headers['x-hop'], undefined);
      assert.equal(told.headers['x-forwarded-for'], '127.0.0.1');
      assert.equal(told.headers['x-forwarded-proto'], kind);
      await exercise(ws, tag);
    }
  }, 60);

  check(`${kind}: octets that come with either head`, async () => {
    for (const early of ['x', 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n', 'x'.repeat(200000)]) {
      const tag = mark();
      const ws = await upgrade(to('one', kind), `/hello?tag=${tag}`, { with: early });
      assert.equal(ws.status, 101);
      assert.equal(await take(ws.octets(), 5 + early.length), `hello${early}`);
      ws.stream.end();
      assert.equal(await ws.next(), null);
    }
    assert.ok(p.lines.some((line) => /upgrade GET \/hello\S* 0 octets ahead/.test(line))); // no worker gets any before its 101
    assert.ok(!p.lines.some((line) => /upgrade GET \/hello\S* [1-9]/.test(line)));
    assert.ok(!p.lines.some((line) => line.includes('smuggled')));
  });

  check(`${kind}: the worker ends its side first and hears the rest`, async () => {
    const tag = mark();
    const ws = await upgrade(to('one', kind), `/bye?tag=${tag}`);
    assert.equal(await restOf(ws), 'bye');
    ws.stream.end('late');
    await p.line(new RegExp(`@${tag} end after 4$`));
    await ws.closed;
  });
}

check('a worker that does not read holds the client back, not edge\'s memory', async () => {
  const tag = mark(), before = residentKib(p.role('edge')), total = 48 * MIB, part = Buffer.alloc(65536, 'stall');
  const ws = (await upgrade(to('one', 'https'), `/stall?tag=${tag}`)).octets();
  let given = 0, settled = -1;
  const pump = (async () => {
    for (; given < total; given += part.length) await new Promise((resolve, reject) => ws.stream.write(part, (error) => (error ? reject(error) : resolve())));
    ws.stream.end();
  })();
  await until('nothing more is taken', () => {
    const same = given === settled;
    settled = given;
    return same && new Promise((resolve) => setTimeout(() => resolve(given === settled), 300));
  });
  assert.ok(given < total, `all of ${total} was taken`);
  assert.ok(residentKib(p.role('edge')) - before < 16 * 1024);
  await p.h1('one.localhost', '/go');
  assert.equal((await ws.rest()).length, total);
  await pump;
  await p.line(new RegExp(`@${tag} end after ${total}$`));
}, 60);

check('the access log has one line a tunnel', async () => {
  const ws = await upgrade(to('one'), `/raw?logged=1&tag=${mark()}`, { method: 'POST', with: 'four' });
  const at = p.access.length;
  ws.stream.end();
  assert.equal(await restOf(ws), 'four');
  const line = JSON.parse(await p.line(/"path":"\/raw"/, { of: p.access, from: at }));
  assert.deepEqual([line.method, line.status, line.request_octets, line.response_octets, line.fault], ['POST', 101, 4, 4, undefined]);
  assert.equal(line.host, p.authority('one.localhost', 'http'));
});

check('limits: timeouts.request for the handshake, timeouts.tunnel from then on', async () => {
  const never = await upgrade(to('brief'), '/never');
  assert.equal(never.status, 504);
  never.destroy();
  const tag = mark(), ws = (await upgrade(to('brief'), `/raw?tag=${tag}`, { with: 'x' })).octets();
  assert.equal(String(await ws.next()), 'x');
  await assert.rejects(ws.next(), { code: 'ECONNRESET' });
  await p.line(/"fault":"tunnel-idle"/, { of: p.access });
  await p.line(new RegExp(`@${tag} closed`));
});

check('who is killed: the other side sees an end', async () => {
  const tag = mark(), ws = await upgrade(to('one'), `/raw?tag=${tag}`);
  await p.line(new RegExp(`@${tag} open$`));
  ws.destroy();
  await p.line(new RegExp(`@${tag} closed$`));
  const victim = (await p.states()).one[0].pid, other = await upgrade(to('one'), `/raw?tag=${mark()}`);
  process.kill(victim, 'SIGKILL');
  assert.equal(await restOf(other), ''); // its kernel has ended its side
  other.stream.end();
  await other.closed;
  await until('another one is ready', async () => {
    const [{ state, pid }] = (await p.states()).one;
    return state === 'READY' && pid && pid !== victim;
  });
}, 60);

// ---- what is not a switch ----

for (const [where, status, body] of [['/refuse', 403, 'not you\n'], ['/ok', 200, 'no switch\n'], ['/ended', 426, 'other\n'], ['/other', 502], ['/nameless', 502], ['/two', 502]]) {
  check(`${where}: an answer of ${status}, and what the client sent ahead is no request`, async () => {
    for (const kind of KINDS) {
      const ws = await upgrade(to('one', kind), `${where}?tag=${mark()}`, { with: 'GET /smuggled HTTP/1.1\r\nHost: one.localhost\r\n\r\n' });
      assert.equal(ws.status, status);
      assert.equal(ws.headers.connection, 'close');
      assert.equal(ws.headers.upgrade, undefined);
      const rest = await restOf(ws);
      if (body) assert.equal(rest, body);
      else assert.match(rest, /^502 Bad Gateway\n\n/);
      assert.doesNotMatch(rest, /HTTP\/1\.1/);
      ws.stream.end();
      await ws.closed;
    }
    assert.ok(!p.lines.some((line) => line.includes('smuggled')));
  });
}

/** An Upgrade that is ignored: the worker sees an ordinary request, and the connection carries another one. */
async function assertIgnored(target, { headers = {}, method = 'GET', content = '' }) {
  const fields = { Host: `${target.host}:${target.port}`, Connection: 'Upgrade', ...headers };
  const second = request1('GET /second HTTP/1.1', { Host: fields.Host, Connection: 'close' });
  const ws = await ask1({ ...target, octets: request1(`${method} /first HTTP/1.1`, fields, Buffer.concat([Buffer.from(content), second])) });
  assert.equal(ws.status, 200);
  const text = await restOf(ws);
  const answers = [...text.matchAll(/\{"method".*?"content":".*?"\}/g)].map(([json]) => JSON.parse(json));
  assert.deepEqual(answers.map(({ url }) => url), ['/first', '/second'], text);
  for (const name of ['upgrade', 'http2-settings', 'x-hop']) assert.equal(answers[0].headers[name], undefined, name);
  assert.doesNotMatch(answers[0].headers.connection ?? '', /upgrade|settings|x-hop/i);
  ws.stream.end();
  await ws.closed;
  return answers[0];
}

check('an Upgrade that the app does not list is ignored, with all that came with it', async () => {
  for (const token of ['foo', 'bar/1.2', 'anything']) await assertIgnored(to('none'), { headers: { Upgrade: token } });
  for (const token of ['fo', 'foo/1', 'bar', 'bar/1.3', 'bar/', '*', '', 'foo;q=1', '"foo"']) await assertIgnored(to('one'), { headers: { Upgrade: token } });
});

check('HTTP and TLS by another name never pass', async () => {
  for (const token of ['h2c', 'H2C', 'h2c-14', 'h2', 'HTTP/2.0', 'HTTP/1.1', 'TLS/1.0', 'TLS/1.2', 'tls']) {
    await assertIgnored(to('one'), { headers: { Connection: 'Upgrade, HTTP2-Settings, X-Hop', 'HTTP2-Settings': 'AAMAAABkAAQCAAAAAAIAAAAA', 'X-Hop': '1', Upgrade: token } });
  }
});

check('lists and repeated fields are ignored, and an Upgrade that is no option of this hop', async () => {
  for (const token of ['foo, bar/1.2', 'foo,', 'h2c, foo', 'foo, h2c', 'websocket, foo', ['foo', 'h2c'], ['foo', 'foo']]) await assertIgnored(to('one'), { headers: { Upgrade: token } });
  await assertIgnored(to('one'), { headers: { Upgrade: 'foo', Connection: 'keep-alive' } });
  await assertIgnored(to('one'), { headers: { Upgrade: 'foo', Connection: undefined } });
});

check('a request with content is not switched: the content is the worker\'s, the next request the next', async () => {
  for (const [headers, content] of [[{ 'Content-Length': '5' }, 'hello'], [{ 'Transfer-Encoding': 'chunked' }, '5\r\nhello\r\n0\r\n\r\n']]) {
    const answer = await assertIgnored(to('one'), { method: 'POST', headers: { Upgrade: 'foo', ...headers }, content });
    assert.equal(answer.content, 'hello');
  }
});

check('HTTP/1.0 has no Upgrade, and CONNECT is no request for one', async () => {
  const { host, port } = to('one');
  const old = await ask1({ ...to('one'), octets: request1('GET / HTTP/1.0', { Host: host, Connection: 'Upgrade', Upgrade: 'foo' }) });
  assert.equal(old.status, 200);
  assert.equal(JSON.parse(await restOf(old)).headers.upgrade, undefined);
  old.stream.end();
  const tunnel = await ask1({ ...to('one'), octets: request1(`CONNECT ${host}:${port} HTTP/1.1`, { Host: `${host}:${port}`, Connection: 'Upgrade', Upgrade: 'foo' }) });
  assert.equal(tunnel.status, 501);
  tunnel.destroy();
});

// ---- HTTP/2 ----

for (const kind of KINDS) {
  check(`${kind}: an extended CONNECT to a listed protocol goes to an h2c worker`, async () => {
    const session = await p.h2('two.localhost', { kind }), target = to('two', kind);
    for (const where of ['/raw', '/hello']) {
      const tag = mark(), ws = await connect(session, target, `${where}?tag=${tag}`);
      assert.equal(ws.status, 201); // as the worker said it
      const told = JSON.parse(ws.headers['x-told']);
      assert.equal(told[':protocol'], 'foo');
      assert.equal(told[':authority'], `${target.host}:${target.port}`);
      if (where === '/raw') {
        await exercise(ws, tag);
      } else {
        ws.stream.end(' you');
        assert.equal(await restOf(ws), 'hello you');
      }
    }
    const refused = await connect(session, target, '/refuse');
    refused.stream.end();
    assert.deepEqual([refused.status, await restOf(refused)], [403, 'not you\n']);
    await close2(session);
  });

  check(`${kind}: END_STREAM with either head is that direction's end`, async () => {
    const session = await p.h2('two.localhost', { kind });
    for (const end of [false, true]) {
      for (const where of ['/raw', '/bye', '/hello']) {
        const tag = mark(), ws = await connect(session, to('two', kind), `${where}?tag=${tag}`, { end });
        assert.equal(ws.status, 201);
        if (!end) ws.stream.end('late');
        assert.equal(await restOf(ws), { '/raw': '', '/hello': 'hello', '/bye': '' }[where] + (end || where === '/bye' ? '' : 'late'));
        await p.line(new RegExp(`@${tag} end after ${end ? 0 : 4}$`));
        await ws.closed;
        assert.equal(ws.stream.rstCode, 0);
      }
    }
    await close2(session);
  });
}

check('what cannot be carried is 501, which says why', async () => {
  for (const [name, protocol, why] of [
    ['two', 'bar', /CONNECT is not served/], ['two', 'connect-udp', /CONNECT is not served/], ['none', 'foo', /CONNECT is not served/],
    ['one', 'foo', /extended CONNECT for one that speaks HTTP\/2/], ['plain', 'foo', /SETTINGS_ENABLE_CONNECT_PROTOCOL/],
  ]) {
    const session = await p.h2(`${name}.localhost`);
    for (let i = 0; i < 2; i++) {
      const ws = await connect(session, to(name, 'https'), '/raw', { protocol });
      ws.stream.end();
      assert.equal(ws.status, 501, `${name} ${protocol}`);
      assert.match(await restOf(ws), why);
    }
    await close2(session);
  }
  for (const name of ['two', 'plain']) { // h2c has no Upgrade
    const ws = await upgrade(to(name), '/raw', { with: 'GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n' });
    assert.equal(ws.status, 501);
    assert.equal(ws.headers.connection, 'close');
    assert.match(await restOf(ws), /an Upgrade is for one that speaks HTTP\/1\.1[^]*\nrequest: [0-9a-f]+\n$/);
    ws.stream.end();
  }
  assert.ok(!p.lines.some((line) => line.includes('smuggled')));
  assert.equal(await p.metric('portico_gateway_failures_total', { app: 'two' }), 0);
});

// ---- two Porticos in a row ----

for (const listed of [true, false]) {
  check(`two Porticos in a row, ${listed ? 'both list it' : 'the first one does not'}`, async () => {
    const upstream = { upstreams: [`tcp://127.0.0.1:${p.ports.http}`], upgrades: listed ? UPGRADES : [] };
    const front = await Portico.start({ apps: {
      one: { ...upstream, hosts: ['one.localhost'] },
      two: { ...upstream, hosts: ['two.localhost'], http20ProxyFlag: 1 },
      none: { ...upstream, upgrades: UPGRADES, hosts: ['none.localhost'] },
    } }, { ready: false });
    await until('it has its certificates', () => fs.existsSync(front.caFile));
    for (const kind of KINDS) {
      const through = (name) => ({ port: front.ports[kind], host: `${name}.localhost`, ca: kind === 'https' ? front.ca : undefined });
      if (!listed) {
        await assertIgnored(through('one'), { headers: { Upgrade: 'foo' } });
        continue;
      }
      for (const token of UPGRADES) {
        const tag = mark(), ws = await upgrade(through('one'), `/raw?tag=${tag}`, { token });
        assert.equal(ws.status, 101);
        await exercise(ws, tag);
      }
      const session = await front.h2('two.localhost', { kind }), tag = mark();
      const ws = await connect(session, through('two'), `/raw?tag=${tag}`);
      assert.equal(ws.status, 201);
      await exercise(ws, tag);
      await close2(session);
      // The second one ignores it: an ordinary answer, after which the first one closes.
      const ignored = await upgrade(through('none'), '/raw', { with: 'GET /smuggled HTTP/1.1\r\nHost: none.localhost\r\n\r\n' });
      assert.equal(ignored.status, 200);
      assert.equal(ignored.headers.connection, 'close');
      assert.equal(JSON.parse((/\{.*\}/.exec(await restOf(ignored)))[0]).headers.upgrade, undefined);
      ignored.stream.end();
    }
    assert.ok(!p.lines.some((line) => line.includes('smuggled')));
    await front.stop();
  }, 60);
}

check('ends, and nothing is left open', async () => {
  for (const name of ['one', 'two', 'none', 'brief']) {
    await until(`${name} has no request open`, async () => (await p.metric('portico_requests_open', { app: name })) === 0);
  }
  await p.stop();
}, 60);
