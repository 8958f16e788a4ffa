// SPDX-License-Identifier: Apache-2.0
// The examples as a visitor meets them: by curl, by a client that takes push, and in Chromium.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { absent, visit } from './browsers.mjs';
import { Portico, ROOT, check, close2, collectPushes, fetch2, run, sha256, until } from './lib.mjs';

let p;

check('starts the examples\' own manifest', async () => {
  const text = fs.readFileSync(path.join(ROOT, 'examples/portico.yaml'), 'utf8')
    .replace(/^ {2}(https|http|admin):.*$/gm, '  $1: 127.0.0.1:0')
    .replace(/directory: (\w+)/g, (_, name) => `directory: ${path.join(ROOT, 'examples', name)}`);
  const names = [...text.matchAll(/^ {2}(\w+):\n {4}directory/gm)].map(([, name]) => name);
  assert.deepEqual(names, ['gallery', 'notes', 'shelf', 'docs', 'chat']);
  p = await Portico.start(text, { apps: Object.fromEntries(names.map((name) => [name, { command: 'x', instances: 2 }])) });
}, 90);

check('gallery: what is pushed is what a plain GET gets', async () => {
  const session = await p.h2('gallery.localhost');
  session.setLocalWindowSize(1 << 20); // a client that takes no more at once than 64 KiB is pushed no more
  const pushes = collectPushes(session);
  const page = await fetch2(session, '/');
  assert.equal(page.status, 200);
  const got = await Promise.all(pushes);
  assert.equal(got.length, 8);
  for (const { promise, body, headers, status } of got) {
    const plain = await p.h1('gallery.localhost', promise[':path']);
    assert.equal(status, 200);
    assert.equal(sha256(body), sha256(plain.body));
    assert.equal(headers.etag, plain.headers.etag);
    assert.ok(String(page.body).includes(promise[':path']), 'the page refers to it');
  }
  const etag = page.headers.etag;
  const again = await fetch2(session, '/', { headers: { 'if-none-match': etag } });
  assert.equal(again.status, 304);
  await close2(session);
});

check('gallery: both instances answer', async () => {
  const seen = new Set();
  for (let i = 0; i < 20; i++) seen.add(JSON.parse((await p.h1('gallery.localhost', '/whoami')).body).pid);
  assert.equal(seen.size, 2);
});

check('gallery: nghttp marks what was pushed', async () => {
  const { stdout } = await run('nghttp', ['-ns', '--no-verify-peer', '-H', `:authority: ${p.authority('gallery.localhost', 'http')}`,
    `http://127.0.0.1:${p.ports.http}/`]);
  assert.equal(stdout.split('\n').filter((line) => /\* .* 200 .*\/(style|script|img)/.test(line)).length, 8, stdout);
});

check('notes: a form saves, every instance sees it, and it can be removed', async () => {
  let cookie = '';
  const visit = async (where, form) => {
    const answer = await p.h1('notes.localhost', where, {
      method: form ? 'POST' : 'GET',
      headers: { cookie, ...(form ? { 'content-type': 'application/x-www-form-urlencoded' } : {}) },
      body: form ? String(new URLSearchParams(form)) : undefined,
    });
    for (const set of answer.headers['set-cookie'] ?? []) [cookie] = set.split(';');
    return answer;
  };
  const token = /name="token" value="([^"]+)"/.exec((await visit('/new')).body)[1];
  const saved = await visit('/new', { token, title: 'Ωmega <b>', text: 'first line\nsecond', colour: 'sky' });
  assert.equal(saved.status, 303);
  for (let i = 0; i < 6; i++) assert.match(String((await visit('/')).body), /Ωmega &lt;b&gt;/);
  const id = /href="\/note\/(\d+)"/.exec((await visit('/')).body)[1];
  assert.equal((await visit(`/note/${id}`, { token, title: 'changed', text: '', colour: 'rose' })).status, 303);
  assert.match(String((await visit('/')).body), /changed/);
  assert.equal((await visit(`/note/${id}`, { token: 'forged', title: 'x', text: '' })).status, 403);
  assert.equal((await visit(`/note/${id}/remove`, { token })).status, 303);
  assert.equal((await visit(`/note/${id}`)).status, 404);
});

/** What is pushed with a page once its parts are known: who asks first, and each loop of edge, makes them so. */
const pushesOf = (host, ...parts) => until(`${host} pushes`, async () => {
  for (const part of parts) assert.equal((await p.h1(host, part)).status, 200);
  const session = await p.h2(host);
  const pushes = collectPushes(session);
  assert.equal((await fetch2(session, '/')).status, 200);
  const got = await Promise.all(pushes);
  await close2(session);
  return got.length === parts.length && got;
});

check('notes: its Link becomes a push', async () => {
  const got = await pushesOf('notes.localhost', '/static/notes.css', '/static/notes.js');
  assert.deepEqual(got.map(({ promise }) => promise[':path']).sort(), ['/static/notes.css', '/static/notes.js']);
  for (const { promise, body } of got) {
    assert.equal(sha256(body), sha256(fs.readFileSync(path.join(ROOT, 'examples/notes', promise[':path']))));
  }
});

check('shelf: an Express app from npm reads and writes', async () => {
  const books = JSON.parse((await p.h1('shelf.localhost', '/books?_sort=year')).body);
  assert.ok(books.length >= 6);
  const made = await p.h1('shelf.localhost', '/books', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ title: 'Pale Fire', authorId: 2, year: 1962 }),
  });
  assert.equal(made.status, 201);
  const { id } = JSON.parse(made.body);
  assert.match(made.headers.location, new RegExp(`^https?://${p.authority('shelf.localhost')}/books/${id}$`), 'it knows its own name');
  await until('both instances know it', async () => {
    const answers = await Promise.all(Array.from({ length: 4 }, () => p.h1('shelf.localhost', `/books/${id}`)));
    return answers.every(({ status }) => status === 200);
  });
  assert.ok([200, 204].includes((await p.h1('shelf.localhost', `/books/${id}`, { method: 'DELETE' })).status));
});

check('docs: every page, every link in it, and what is not there', async () => {
  const session = await p.h2('docs.localhost');
  const seen = new Set(), queue = ['/'];
  for (let where; (where = queue.shift());) {
    if (seen.has(where)) continue;
    seen.add(where);
    const { status, headers, body } = await fetch2(session, where);
    assert.equal(status, 200, where);
    assert.ok(headers.etag);
    if (!headers['content-type'].startsWith('text/html')) continue;
    for (const [, found] of String(body).matchAll(/(?:href|src)="([^"#]+)(?:#[^"]*)?"/g)) queue.push(found);
  }
  assert.deepEqual([...seen].filter((where) => where.endsWith('.html')).sort(),
    ['/early-hints.html', '/push.html', '/static.html', '/websockets.html']);
  const none = await fetch2(session, '/none');
  assert.equal(none.status, 404);
  assert.match(String(none.body), /Nothing is here/);
  await close2(session);
});

check('chat: its Link becomes a push', async () => {
  const got = await pushesOf('chat.localhost', '/script.js', '/style.css');
  assert.deepEqual(got.map(({ promise }) => promise[':path']).sort(), ['/script.js', '/style.css']);
});

check('curl fetches every example over HTTP/1.1 and HTTP/2', async () => {
  for (const app of ['gallery', 'notes', 'shelf', 'docs', 'chat']) {
    for (const [kind, flag] of [['https', '--http1.1'], ['https', '--http2'], ['http', '--http1.1'], ['http', '--http2-prior-knowledge']]) {
      const { code, stdout, stderr } = await p.curl(kind, `${app}.localhost`, '/', flag, '-o', '/dev/null', '-w', '%{http_code} %{http_version}');
      assert.equal(code, 0, stderr);
      assert.equal(stdout, `200 ${flag === '--http1.1' ? '1.1' : '2'}`);
    }
  }
});

const PAGES = [
  ['gallery', '/', [/Rule <em>&amp;<\/em> Chance/, /id="arrival">This page came over HTTP\/2: \d+ parts/, /served by .*, process \d+/]],
  ['gallery', '/art/colonnade', [/<h1>Colonnade<\/h1>/, /Draw another/, /HTTP\/2/]],
  ['notes', '/', [/Nothing written yet|class="notes"/]],
  ['docs', '/', [/What your app pushes reaches the client/]],
  ['chat', '/', [/class="open">connected/, /<li>guest-\d+ \(you\)<\/li>/, /You talk through chat-[01]\./]],
  ['shelf', '/', [/<a href="books">\/books<\/a>|href="\/?books"/, /\d+x|object/]],
];
for (const [app, where, wanted] of PAGES) {
  test(`Chromium renders ${app}${where}`, { timeout: 240_000, skip: absent.chromium }, async () => {
    const page = await visit(p, `${app}.localhost`, where);
    try {
      let shown = '';
      await until('the page is as it shall be', async () => {
        shown = await page.html();
        return wanted.every((pattern) => pattern.test(shown));
      }, 60).catch((error) => {
        throw new Error(`${error.message}:\n${shown}`);
      });
      if (process.env.SHOTS) {
        const kept = path.join(process.env.SHOTS, `${app}${where.replaceAll('/', '-')}.png`);
        fs.writeFileSync(kept, await page.shot());
        assert.ok(fs.statSync(kept).size > 10_000);
      }
    } finally {
      await page.end();
    }
  });
}

check('ends clean', () => p.stop());
