// SPDX-License-Identifier: Apache-2.0
// The static file worker behind Portico, over HTTP/1.1 and h2c, and by itself.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import fs from 'node:fs';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import zlib from 'node:zlib';
import { PORTICO, Portico, ask, check, close2, fetch2, isAlive, openDescriptors, raw, residentKib, run, scratch, sha256, until } from './lib.mjs';

const LONG_AGO = new Date('2024-05-06T07:08:09Z');
const BIG = 100 << 20;
const home = scratch();
const place = path.join(home, 'site');
const PAGE = `<!doctype html><title>x</title>${'<p>a line like any other'.repeat(200)}`;
const TEXT = Array.from({ length: 5000 }, (_, i) => `${i}\n`).join('');
let p, bigHash;

function put(name, content, time = LONG_AGO) {
  const file = path.join(place, name);
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(file, content);
  fs.utimesSync(file, time, time);
  return file;
}

function makeBig(name) {
  const file = path.join(place, name), fd = fs.openSync(file, 'w');
  const block = Buffer.alloc(1 << 20), hash = createHash('sha256');
  for (let at = 0; at < BIG; at += block.length) {
    randomFillSync(block);
    hash.update(block);
    fs.writeSync(fd, block);
  }
  fs.closeSync(fd);
  fs.utimesSync(file, LONG_AGO, LONG_AGO);
  return hash.digest('hex');
}

/** The same request over HTTP/1.1 and HTTP/2 to the app over HTTP/1.1 (one) and h2c (two). */
async function everyWay(where, { headers = {}, method = 'GET' } = {}) {
  const answers = [];
  for (const host of ['one.localhost', 'two.localhost']) {
    answers.push(await p.h1(host, where, { headers, method }));
    const session = await p.h2(host);
    answers.push(await fetch2(session, where, { headers: { ':method': method, ...headers } }));
    await close2(session);
  }
  return answers;
}

check('starts', async () => {
  fs.mkdirSync(place);
  fs.mkdirSync(path.join(home, 'app')); // what the app's own user gets a copy of
  put('index.html', PAGE);
  put('index.html.br', zlib.brotliCompressSync(PAGE));
  put('index.html.gz', zlib.gzipSync(PAGE));
  put('text.txt', TEXT);
  put('sub/index.html', 'sub');
  put('404.html', '<p>nothing of that name');
  put('.secret', 'secret');
  put('.well-known/ours', 'known');
  fs.writeFileSync(path.join(home, 'outside.txt'), 'secret');
  fs.symlinkSync('../outside.txt', path.join(place, 'out.txt'));
  fs.symlinkSync('/etc', path.join(place, 'etc'));
  fs.mkdirSync(path.join(place, 'links'));
  for (const [name, to] of [['within.txt', '../text.txt'], ['out.txt', '../../outside.txt'], ['nowhere.txt', 'none']]) fs.symlinkSync(to, path.join(place, 'links', name));
  bigHash = makeBig('big.bin');
  // A sanitizer keeps what was freed: little, so that growth can be seen.
  const env = { ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:quarantine_size_mb=4` };
  const app = (host, more) => ({ directory: path.join(home, 'app'), command: `portico static ${place} --max-age 60`, hosts: [host], env, ...more });
  p = await Portico.start({
    accessLog: 'off',
    apps: { one: app('one.localhost', { instances: 2 }), two: app('two.localhost', { http20ProxyFlag: 1 }) },
  });
}, 90);

check('a page with all that is known of it', async () => {
  for (const { status, headers, body } of await everyWay('/')) {
    assert.equal(status, 200);
    assert.equal(String(body), PAGE);
    assert.equal(headers['content-type'], 'text/html; charset=utf-8');
    assert.equal(headers['last-modified'], LONG_AGO.toUTCString());
    assert.equal(headers['cache-control'], 'max-age=60');
    assert.equal(headers['accept-ranges'], 'bytes');
    assert.equal(headers.vary, 'accept-encoding');
    assert.match(headers.etag, /^"[0-9a-f-]+"$/);
  }
});

check('both instances give the same tag', async () => {
  const tags = new Set();
  for (let i = 0; i < 12; i++) tags.add((await p.h1('one.localhost', '/text.txt')).headers.etag);
  assert.equal(tags.size, 1);
});

check('precompressed forms go to who takes them', async () => {
  const tags = new Set();
  for (const [accept, coding, decode] of [
    ['gzip, deflate, br', 'br', zlib.brotliDecompressSync], ['gzip', 'gzip', zlib.gunzipSync],
    ['br;q=0.1, gzip;q=0.2', 'gzip', zlib.gunzipSync], ['br;q=0', undefined, (body) => body], ['identity', undefined, (body) => body],
  ]) {
    for (const { status, headers, body } of await everyWay('/', { headers: { 'accept-encoding': accept } })) {
      assert.equal(status, 200);
      assert.equal(headers['content-encoding'], coding, accept);
      assert.equal(String(decode(body)), PAGE);
      assert.equal(headers['content-type'], 'text/html; charset=utf-8');
      assert.equal(headers.vary, 'accept-encoding');
      tags.add(headers.etag);
    }
  }
  assert.equal(tags.size, 3, 'each form has a tag of its own');
});

check('conditions', async () => {
  const { etag } = (await p.h1('one.localhost', '/text.txt')).headers;
  const date = LONG_AGO.toUTCString(), before = new Date(LONG_AGO - 1000).toUTCString();
  for (const [headers, wanted] of [
    [{ 'if-none-match': etag }, 304], [{ 'if-none-match': `"other", W/${etag}` }, 304], [{ 'if-none-match': '"other"' }, 200],
    [{ 'if-modified-since': date }, 304], [{ 'if-modified-since': before }, 200],
    [{ 'if-none-match': '"other"', 'if-modified-since': date }, 200],
    [{ 'if-match': etag }, 200], [{ 'if-match': '"other"' }, 412], [{ 'if-unmodified-since': before }, 412],
    [{ 'if-match': '"other"', 'if-none-match': etag }, 412],
  ]) {
    for (const { status, headers: got, body } of await everyWay('/text.txt', { headers })) {
      assert.equal(status, wanted, JSON.stringify(headers));
      if (status === 304) {
        assert.equal(body.length, 0);
        assert.equal(got.etag, etag);
        assert.equal(got['cache-control'], 'max-age=60');
      }
      if (status === 200) assert.equal(String(body), TEXT);
    }
  }
});

check('ranges', async () => {
  const { etag } = (await p.h1('one.localhost', '/text.txt')).headers;
  for (const [range, first, last] of [['bytes=0-0', 0, 0], ['bytes=100-199', 100, 199], ['bytes=23000-', 23000, TEXT.length - 1], ['bytes=-7', TEXT.length - 7, TEXT.length - 1]]) {
    for (const { status, headers, body } of await everyWay('/text.txt', { headers: { range, 'if-range': etag } })) {
      assert.equal(status, 206);
      assert.equal(headers['content-range'], `bytes ${first}-${last}/${TEXT.length}`);
      assert.equal(String(body), TEXT.slice(first, last + 1));
    }
  }
  for (const { status, headers } of await everyWay('/text.txt', { headers: { range: `bytes=${TEXT.length}-` } })) {
    assert.equal(status, 416);
    assert.equal(headers['content-range'], `bytes */${TEXT.length}`);
  }
  for (const headers of [{ range: 'bytes=0-9', 'if-range': '"other"' }, { range: 'lines=0-9' }, { range: 'bytes=9-0' }]) {
    for (const { status, body } of await everyWay('/text.txt', { headers })) {
      assert.equal(status, 200);
      assert.equal(String(body), TEXT);
    }
  }
});

check('several ranges come as parts', async () => {
  for (const { status, headers, body } of await everyWay('/text.txt', { headers: { range: 'bytes=0-9,10000-10009,-3' } })) {
    assert.equal(status, 206);
    const boundary = /^multipart\/byteranges; boundary=(\w+)$/.exec(headers['content-type'])[1];
    const parts = String(body).split(`--${boundary}`);
    assert.equal(parts.length, 5);
    assert.equal(parts[4], '--\r\n');
    for (const [i, first, last] of [[1, 0, 9], [2, 10000, 10009], [3, TEXT.length - 3, TEXT.length - 1]]) {
      assert.equal(parts[i], `\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Range: bytes ${first}-${last}/${TEXT.length}\r\n\r\n`
        + `${TEXT.slice(first, last + 1)}\r\n`);
    }
  }
});

check('HEAD, and methods that are not there', async () => {
  for (const { status, headers, body } of await everyWay('/text.txt', { method: 'HEAD' })) {
    assert.equal(status, 200);
    assert.equal(headers['content-length'], String(TEXT.length));
    assert.equal(body.length, 0);
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
    for (const { status, headers } of await everyWay('/text.txt', { method })) {
      assert.equal(status, 405);
      assert.equal(headers.allow, 'GET, HEAD');
    }
  }
  const answer = await p.h1('one.localhost', '/', { method: 'POST', body: Buffer.alloc(1 << 20) });
  assert.equal(answer.status, 405);
  assert.equal((await p.h1('one.localhost', '/sub/')).status, 200);
});

check('directories', async () => {
  for (const { status, headers } of await everyWay('/sub?a=1')) {
    assert.equal(status, 301);
    assert.equal(headers.location, '/sub/?a=1');
  }
  for (const { status, body } of await everyWay('/sub/')) {
    assert.equal(status, 200);
    assert.equal(String(body), 'sub');
  }
});

check('nothing outside the directory, nothing hidden', async () => {
  const paths = [
    '/../outside.txt', '/sub/../../outside.txt', '/..%2foutside.txt', '/%2e%2e/outside.txt', '/%2e%2e%2foutside.txt', '/.%2e/outside.txt',
    '/..%5coutside.txt', '/sub/..', '/./text.txt', '//etc/passwd', '/etc/passwd', '/etc', '/out.txt', '/out.txt/', '/.secret', '/%2esecret',
    '/sub/%2e%2e/.secret', '/text.txt%00.html', '/%', '/%2', '/%zz', '/\\..\\outside.txt', '/index.html/', `/${'a/'.repeat(2000)}`, `/${'a'.repeat(300)}`,
    '/..;/outside.txt', '/%c0%ae%c0%ae/outside.txt', '/%252e%252e/outside.txt', '/text.txt/..', '/sub//index.html',
  ];
  for (const where of paths) {
    for (const [host, extra] of [['one.localhost', []], ['two.localhost', ['--http2']]]) {
      const { stdout, code } = await p.curl('https', host, where, '--path-as-is', ...extra, '-w', '\n%{http_code}');
      assert.match(stdout, /\n(400|404)$/, `${where} ${code}`);
      assert.doesNotMatch(stdout, /secret|root:/);
    }
  }
  for (const { status, body } of await everyWay('/nope')) {
    assert.equal(status, 404);
    assert.equal(String(body), '<p>nothing of that name');
  }
  for (const { status, body } of await everyWay('/.well-known/ours')) {
    assert.equal(status, 200);
    assert.equal(String(body), 'known');
  }
});

check('100 MiB arrive unharmed on every way, in bounded memory', async () => {
  const { pid } = (await p.states()).two[0];
  await everyWay('/text.txt');
  const before = residentKib(pid);
  let most = 0;
  for (const { status, body } of await everyWay('/big.bin')) {
    assert.equal(status, 200);
    assert.equal(body.length, BIG);
    assert.equal(sha256(body), bigHash);
    most = Math.max(most, residentKib(pid));
  }
  assert.ok(most - before < 24 << 10, `grew by ${most - before} KiB`);
}, 90);

check('many streams share a connection', async () => {
  const session = await p.h2('two.localhost');
  const answers = await Promise.all(Array.from({ length: 60 }, (_, i) => fetch2(session, i % 2 ? '/text.txt' : '/big.bin', {
    headers: i % 2 ? {} : { range: `bytes=${i << 20}-${(i << 20) + 999999}` },
  })));
  const fd = fs.openSync(path.join(place, 'big.bin')), wanted = Buffer.alloc(1000000);
  for (const [i, { status, body }] of answers.entries()) {
    assert.equal(status, i % 2 ? 200 : 206);
    if (i % 2) {
      assert.equal(String(body), TEXT);
    } else {
      fs.readSync(fd, wanted, 0, wanted.length, i << 20);
      assert.ok(wanted.equals(body));
    }
  }
  fs.closeSync(fd);
  await close2(session);
});

/** Reads the head and then waits: the file changes under the response's hands. */
async function changedUnderway(host, change) {
  const file = path.join(place, 'changing.bin');
  fs.writeFileSync(file, Buffer.alloc(64 << 20, 'a'));
  fs.utimesSync(file, LONG_AGO, LONG_AGO);
  const h1 = await p.h1(host, '/changing.bin', {
    onResponse: (response) => new Promise((resolve) => {
      assert.equal(response.statusCode, 200);
      change(file);
      let octets = 0;
      response.on('data', (part) => { octets += part.length; });
      response.on('error', () => {});
      response.on('close', () => resolve({ complete: response.complete, octets }));
    }),
  });
  assert.equal(h1.complete, false, 'an HTTP/1.1 response that was cut is seen as cut');
  assert.ok(h1.octets < 64 << 20);
  fs.writeFileSync(file, Buffer.alloc(64 << 20, 'a'));
  fs.utimesSync(file, LONG_AGO, LONG_AGO);
  const session = await p.h2(host);
  const h2 = await new Promise((resolve) => {
    const stream = session.request({ ':path': '/changing.bin' });
    stream.on('response', (headers) => {
      assert.equal(headers[':status'], 200);
      change(file);
      stream.resume();
    });
    stream.on('error', () => {});
    stream.on('close', () => resolve(stream.rstCode));
  });
  assert.notEqual(h2, http2.constants.NGHTTP2_NO_ERROR, 'an HTTP/2 response that was cut is reset');
  await close2(session);
}

for (const host of ['one.localhost', 'two.localhost']) {
  check(`${host}: a file that shrinks while it is sent is cut visibly`, () => changedUnderway(host, (file) => fs.truncateSync(file, 1 << 20)));
  check(`${host}: a file that changes while it is sent is never a mixture`, () => changedUnderway(host, (file) => {
    const fd = fs.openSync(file, 'r+');
    fs.writeSync(fd, 'b', (64 << 20) - 10);
    fs.closeSync(fd);
  }));
}

check('no descriptor stays behind', async () => {
  for (const [name, instances] of Object.entries(await p.states())) {
    for (const { pid } of instances) {
      await until(`${name} has closed its files`, () => fs.readdirSync(`/proc/${pid}/fd`).every((fd) => {
        try {
          return !fs.readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith(`${place}/`);
        } catch {
          return true;
        }
      }));
      assert.ok(openDescriptors(pid) < 40);
    }
  }
});

check('ends clean', () => p.stop());

// ---- by itself ----

/** One of our own on a free port: {port, socket, pid, ended, stop}. */
async function alone(...args) {
  const socket = path.join(scratch(), 's.sock');
  const child = spawn(PORTICO, ['static', place, '--listen', '127.0.0.1:0', '--socket', socket, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text) => { said += text; });
  const ended = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code: code ?? signal, said })));
  process.on('exit', () => child.kill('SIGKILL'));
  const port = await until('it listens', () => Number(/address=127\.0\.0\.1:(\d+)/.exec(said)?.[1]) || (child.exitCode !== null && assert.fail(said)));
  return { port, socket, pid: child.pid, ended, kill: (signal) => child.kill(signal) };
}

check('by itself: one socket speaks both versions, in octets of any number', async () => {
  const s = await alone('--list');
  const session = http2.connect(`http://127.0.0.1:${s.port}`);
  assert.equal(String((await fetch2(session, '/sub/')).body), 'sub');
  await close2(session);
  const unix = http2.connect('http://x', { createConnection: () => net.connect(s.socket) });
  assert.equal(String((await fetch2(unix, '/sub/')).body), 'sub');
  await close2(unix);
  const slowly = (text) => new Promise((resolve, reject) => {
    let got = '';
    const socket = net.connect(s.port, '127.0.0.1', async () => {
      socket.setNoDelay(true);
      for (const c of text) await new Promise((sent) => socket.write(c, sent));
    });
    socket.setEncoding('latin1').on('data', (part) => { got += part; }).on('close', () => resolve(got)).on('error', reject);
  });
  assert.match(await slowly('PRIX /sub/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 405 /);
  assert.match(await slowly('GET /sub/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 200 [^]*\r\n\r\nsub$/);
  assert.match(await raw(s.port, 'GET /sub/ HTTP/1.1\r\nHost: x\r\n\r\nHEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /sub/ HTTP/1.0\r\n\r\n'),
    /200 OK[^]*\r\n\r\nsubHTTP\/1\.1 200 OK[^]*\r\n\r\nHTTP\/1\.1 200 OK[^]*\r\n\r\nsub$/);
  assert.match(await raw(s.port, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
  assert.match(await raw(s.port, 'GET / HTTP/1.1\r\n\r\n'), /^HTTP\/1\.1 400 /);
  const listed = await ask({ host: '127.0.0.1', port: s.port, path: '/.well-known/' });
  assert.match(String(listed.body), /<a href="ours">ours<\/a>/);
  assert.equal(listed.headers['cache-control'], 'no-cache');
  const links = await ask({ host: '127.0.0.1', port: s.port, path: '/links/' });
  assert.deepEqual(String(links.body).match(/<a href="[^".]+\.txt">/g), ['<a href="within.txt">'], 'what is not served is not told of');
  s.kill('SIGTERM');
  assert.deepEqual((({ code }) => code)(await s.ended), 0);
  assert.ok(!fs.existsSync(s.socket), 'its socket is gone');
});

check('by itself: who goes on after an answer that was the last one does not stay', async () => {
  const s = await alone();
  let got = '';
  const socket = net.connect({ port: s.port, host: '127.0.0.1', allowHalfOpen: true }, () => socket.write('rubbish\r\n\r\n'));
  socket.setEncoding('latin1').on('data', (text) => { got += text; }).on('error', () => {});
  const more = setInterval(() => socket.write('x'), 50);
  await until('it is closed', () => socket.destroyed);
  clearInterval(more);
  assert.match(got, /^HTTP\/1\.1 400 /);
  s.kill('SIGTERM');
  assert.equal((await s.ended).code, 0);
});

check('by itself: SIGTERM lets what is under way end, and takes no more', async () => {
  const s = await alone();
  const idle = net.connect(s.port, '127.0.0.1');
  await new Promise((resolve) => idle.once('connect', resolve));
  const closed = new Promise((resolve) => idle.resume().once('close', resolve));
  const session = http2.connect(`http://127.0.0.1:${s.port}`);
  session.on('error', () => {});
  const stream = session.request({ ':path': '/big.bin' });
  await new Promise((resolve) => stream.once('response', resolve));
  const h1 = ask({
    host: '127.0.0.1', port: s.port, path: '/big.bin', onResponse: async (response) => {
      s.kill('SIGTERM');
      await closed;
      const hash = createHash('sha256');
      for await (const part of response) hash.update(part);
      return hash.digest('hex');
    },
  });
  assert.equal(await h1, bigHash);
  assert.ok(isAlive(s.pid));
  await assert.rejects(ask({ host: '127.0.0.1', port: s.port, path: '/' }));
  const hash = createHash('sha256');
  for await (const part of stream) hash.update(part);
  assert.equal(hash.digest('hex'), bigHash);
  const { code, said } = await s.ended;
  assert.equal(code, 0, said);
});

check('by itself: what it cannot do it says', async () => {
  for (const [args, code, pattern] of [
    [['static'], 2, /an argument is missing: DIR/],
    [['static', place, '--nope'], 2, /unknown option --nope/],
    [['static', place, 'b'], 2, /unexpected argument b/],
    [['static', place, '--listen', 'nowhere'], 2, /not an address: nowhere/],
    [['static', place, '--listen', '99999'], 2, /not an address: 99999/],
    [['static', place, '--socket', `/${'x'.repeat(200)}`], 2, /too long/],
    [['static', place, '--listen', '0', '--max-age', '-1'], 2, /--max-age/],
    [['static', place], 2, /where to listen\?/],
    [['static', path.join(home, 'none'), '--listen', '127.0.0.1:0'], 66, /No such file/],
    [['static', path.join(home, 'outside.txt'), '--listen', '127.0.0.1:0'], 66, /Not a directory/],
    [['static', place, '--socket', path.join(home, 'outside.txt')], 71, /File exists/],
  ]) {
    const env = { ...process.env };
    delete env.PORT;
    delete env.PORTICO_SOCKET;
    const result = await run(PORTICO, args, { env });
    assert.equal(result.code, code, `${args.join(' ')}: ${result.stderr}`);
    assert.match(result.stderr, pattern);
  }
  assert.equal(fs.readFileSync(path.join(home, 'outside.txt'), 'utf8'), 'secret');
  assert.match((await run(PORTICO, ['help', 'static'])).stdout, /portico static DIR/);
});

check('by itself: a socket that a dead one left is taken over, a living one is not', async () => {
  const s = await alone();
  assert.equal((await run(PORTICO, ['static', place, '--socket', s.socket])).code, 71);
  s.kill('SIGKILL');
  await s.ended;
  assert.ok(fs.existsSync(s.socket));
  const child = spawn(PORTICO, ['static', place, '--socket', s.socket], { stdio: 'ignore' });
  process.on('exit', () => child.kill('SIGKILL'));
  await until('it listens there again', () => new Promise((resolve, reject) => {
    const c = net.connect(s.socket, () => { c.destroy(); resolve(true); }).on('error', reject);
  }));
  const ended = new Promise((resolve) => child.on('exit', resolve));
  child.kill('SIGINT');
  assert.equal(await ended, 0);
});
