// SPDX-License-Identifier: Apache-2.0
// Requests arrive, spread, and come back whole, over every protocol that a client may speak.
import assert from 'node:assert/strict';
import http from 'node:http';
import https from 'node:https';
import tls from 'node:tls';
import {
  Portico, ask, check, close2, family, fetch2, isAlive, raw, sha256, toLoopback, until, worker,
} from './lib.mjs';
import { pattern, patternHash } from './workers/pattern.mjs';

let p, upstream;
const PATHS = [['one', 'h1'], ['two', 'h2c'], ['port', 'h1']];

check('starts, and every instance becomes ready', async () => {
  upstream = http.createServer((request, response) => response.end(`someone else's: ${request.headers.host}`));
  await new Promise((resolve) => upstream.listen(0, '127.0.0.1', resolve));
  p = await Portico.start({
    apps: {
      one: worker('h1', ['one.localhost', '*.one.localhost'], { instances: 2, env: { APP: 'one' } }),
      two: worker('h2c', 'two.localhost', { instances: 2, env: { APP: 'two' } }),
      port: worker('h1', 'port.localhost', { env: { APP: 'port', LISTEN: 'port' } }),
      secure: worker('h1', 'secure.localhost', { httpsOnly: true, env: { APP: 'secure' } }),
      old: worker('h1', 'old.localhost', { http20Enabled: false, forwardedFor: 'ip:port', env: { APP: 'old' } }),
      elsewhere: { upstreams: [`tcp://127.0.0.1:${upstream.address().port}`], hosts: ['elsewhere.localhost'] },
    },
  });
  const states = await p.states();
  const pids = Object.values(states).flat().map(({ pid }) => pid).filter(Boolean);
  assert.equal(pids.length, 7);
  assert.equal(new Set(pids).size, 7);
  for (const pid of pids) assert.ok(isAlive(pid));
}, 60);

for (const [app, protocol] of PATHS) {
  const host = `${app}.localhost`;

  check(`${app} (${protocol} worker): HTTP/1.1 over TLS`, async () => {
    const { status, body, headers } = await p.h1(host, '/whoami');
    assert.equal(status, 200);
    assert.equal(JSON.parse(body).app, app);
    assert.equal(Number(headers['content-length']), body.length);
    assert.ok(headers.date);
  });

  check(`${app} (${protocol} worker): HTTP/1.1 without TLS`, async () => {
    const { status, body } = await p.h1(host, '/whoami', { kind: 'http' });
    assert.equal(status, 200);
    assert.equal(JSON.parse(body).app, app);
  });

  for (const kind of ['https', 'http']) {
    check(`${app} (${protocol} worker): HTTP/2 ${kind === 'https' ? 'over TLS' : 'by prior knowledge'}`, async () => {
      const session = await p.h2(host, { kind });
      if (kind === 'https') assert.equal(session.socket.alpnProtocol, 'h2');
      const answers = await Promise.all(Array.from({ length: 40 }, () => fetch2(session, '/whoami')));
      for (const { status, body } of answers) {
        assert.equal(status, 200);
        assert.equal(JSON.parse(body).app, app);
      }
      await close2(session);
    });
  }

  check(`${app} (${protocol} worker): content both ways`, async () => {
    const sent = pattern(300_000);
    const session = await p.h2(host);
    const [{ body: told1 }, { body: told2 }] = await Promise.all([
      fetch2(session, '/echo', { body: sent }), p.h1(host, '/echo', { method: 'POST', body: sent })]);
    for (const told of [told1, told2]) {
      assert.equal(JSON.parse(told).octets, sent.length);
      assert.equal(JSON.parse(told).sha256, sha256(sent));
    }
    for (const query of ['n=300000', 'n=300000&chunked']) {
      assert.equal(sha256((await fetch2(session, `/bytes?${query}`)).body), patternHash(300_000));
      assert.equal(sha256((await p.h1(host, `/bytes?${query}`)).body), patternHash(300_000));
    }
    await close2(session);
  });

  check(`${app} (${protocol} worker): HEAD, 204 and 304 have no content`, async () => {
    const session = await p.h2(host);
    const head2 = await fetch2(session, '/bytes?n=5000', { headers: { ':method': 'HEAD' } });
    assert.equal(head2.status, 200);
    assert.equal(head2.headers['content-length'], '5000');
    assert.equal(head2.body.length, 0);
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
    const head1 = await p.h1(host, '/bytes?n=5000', { method: 'HEAD', agent });
    assert.equal(head1.headers['content-length'], '5000');
    for (const code of [204, 304]) {
      assert.equal((await fetch2(session, `/status?code=${code}`)).status, code);
      const answer = await p.h1(host, `/status?code=${code}`, { agent });
      assert.equal(answer.status, code);
      assert.equal(answer.headers['transfer-encoding'], undefined);
    }
    assert.equal((await p.h1(host, '/whoami', { agent })).status, 200); // the connection still makes sense
    agent.destroy();
    await close2(session);
  });

  check(`${app} (${protocol} worker): trailers`, async () => {
    const one = await p.h1(host, protocol === 'h1' ? '/trailers' : '/trailers', { headers: { te: 'trailers' } });
    assert.equal(one.trailers['x-sum'], '42');
    const session = await p.h2(host);
    const two = await fetch2(session, '/trailers');
    assert.equal(two.trailers['x-sum'], '42');
    assert.equal(two.body.toString(), 'content with trailers\n');
    await close2(session);
  });

  check(`${app} (${protocol} worker): trailers of a request`, async () => {
    const session = await p.h2(host);
    const stream = session.request({ ':path': '/echo', ':method': 'POST', trailer: 'x-check' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'x-check': 'seen' }));
    stream.end('octets');
    const parts = [];
    for await (const part of stream) parts.push(part);
    const { octets, headers, trailers } = JSON.parse(Buffer.concat(parts));
    const wanted = protocol === 'h1' ? [6, undefined, undefined] : [6, 'x-check', 'seen'];
    assert.deepEqual([octets, headers.trailer, trailers['x-check']], wanted);
    await close2(session);
  });
}

check('curl: HTTP/1.1, HTTP/2, and HTTP/2 by prior knowledge', async () => {
  for (const [kind, flag, version] of [
    ['https', '--http1.1', '1.1'], ['https', '--http2', '2'], ['http', '--http1.1', '1.1'],
    ['http', '--http2-prior-knowledge', '2']]) {
    for (const [app] of PATHS) {
      const { code, stdout, stderr } = await p.curl(kind, `${app}.localhost`, '/whoami', flag, '-w', ' %{http_version} %{http_code}');
      assert.equal(code, 0, stderr);
      assert.match(stdout, new RegExp(`"app":"${app}"} ${version} 200$`));
    }
  }
});

check('requests spread over the instances', async () => {
  for (const app of ['one', 'two']) {
    const seen = new Set();
    const session = await p.h2(`${app}.localhost`);
    const answers = await Promise.all(Array.from({ length: 24 }, () => fetch2(session, '/slow?ms=100')));
    for (const { status, body } of answers) {
      assert.equal(status, 200);
      seen.add(JSON.parse(body).pid);
    }
    assert.equal(seen.size, 2, `${app}: one instance got everything`);
    await close2(session);
  }
});

check('a wildcard host leads to its app, and so do a capital letter and a final dot', async () => {
  for (const host of ['deep.er.one.localhost', 'ONE.localhost', 'one.localhost.']) {
    const { status, body } = await p.h1('127.0.0.1', '/whoami', { kind: 'http', headers: { host: `${host}:${p.ports.http}` } });
    assert.equal(status, 200, host);
    assert.equal(JSON.parse(body).app, 'one');
  }
});

check('workers that someone else runs', async () => {
  const { body } = await p.h1('elsewhere.localhost');
  assert.match(String(body), /^someone else's: elsewhere\.localhost/);
});

check('what the front end says of a client is its own word', async () => {
  const forged = {
    'x-forwarded-for': '6.6.6.6', 'x-forwarded-proto': 'gopher', 'x-forwarded-host': 'evil', 'x-client-ip': '6.6.6.6',
    'client-ip': '6.6.6.6:6', 'x-client-port': '6', 'x-arr-log-id': 'forged', 'x-arr-ssl': 'forged', 'x-original-url': '/forged',
    'x-waws-unencoded-url': '/forged', 'disguised-host': 'evil', 'was-default-hostname': 'evil', 'x-site-deployment-id': 'evil',
    'x-appservice-proto': 'gopher', 'x-forwarded-tlsversion': '0.1', 'x-request-id': 'forged', forwarded: 'for=6.6.6.6',
  };
  for (const [app] of PATHS) {
    const host = `${app}.localhost`;
    const session = await p.h2(host);
    const plain = await p.h2(host, { kind: 'http' });
    const told = [
      (await fetch2(session, '/echo?a=b', { headers: forged })).body,
      (await p.h1(host, '/echo?a=b', { headers: forged })).body,
    ];
    for (const text of told) {
      const { headers } = JSON.parse(text);
      assert.equal(headers['x-forwarded-for'], '127.0.0.1');
      assert.equal(headers['x-forwarded-proto'], 'https');
      assert.equal(headers['x-forwarded-host'], p.authority(host));
      assert.equal(headers['x-client-ip'], '127.0.0.1');
      assert.equal(headers['client-ip'], `127.0.0.1:${headers['x-client-port']}`);
      assert.equal(headers['x-original-url'], '/echo?a=b');
      assert.equal(headers['x-forwarded-tlsversion'], '1.3');
      assert.match(headers['x-arr-ssl'], /^256\|(128|256)\|CN=Portico local authority\|CN=/);
      assert.match(headers['x-arr-log-id'], /^[0-9a-f-]{16,}$/);
      assert.equal(headers[':authority'] ?? headers.host, p.authority(host));
      assert.doesNotMatch(text.toString().replace(/"path":"[^"]*"/, ''), /6\.6\.6\.6|forged|evil|gopher/);
    }
    const bare = JSON.parse((await fetch2(plain, '/echo', { headers: forged })).body).headers;
    assert.equal(bare['x-forwarded-proto'], 'http');
    assert.equal(bare['x-forwarded-tlsversion'], undefined);
    assert.equal(bare['x-arr-ssl'], undefined);
    await Promise.all([close2(session), close2(plain)]);
  }
});

check('forwardedFor: ip:port says the port, too', async () => {
  const { headers } = JSON.parse((await p.h1('old.localhost', '/echo')).body);
  assert.match(headers['x-forwarded-for'], /^127\.0\.0\.1:\d+$/);
  assert.equal(headers['x-forwarded-for'], headers['client-ip']);
});

check('what it says is of the request at hand', async () => {
  const session = await p.h2('one.localhost');
  const hosts = ['one.localhost', 'a.one.localhost', 'b.one.localhost'];
  for (const host of [...hosts, ...hosts, 'one.localhost', 'one.localhost']) {
    const { headers } = JSON.parse((await fetch2(session, `/echo?${host}`, { headers: { ':authority': p.authority(host) } })).body);
    for (const name of ['host', 'x-forwarded-host', 'disguised-host']) assert.equal(headers[name], p.authority(host), name);
    assert.equal(headers['was-default-hostname'], 'one.localhost');
    assert.equal(headers['client-ip'], `127.0.0.1:${session.socket.localPort}`);
    assert.equal(headers['x-original-url'], `/echo?${host}`);
  }
  await close2(session);

  const agent = new http.Agent({ keepAlive: true, maxSockets: 150 }), seen = new Set(); // edge remembers 128 clients
  const ask = () => new Promise((resolve, reject) => {
    http.get({ agent, host: '127.0.0.1', port: p.ports.http, path: '/echo', headers: { host: p.authority('one.localhost', 'http') } }, (response) => {
      const port = response.socket.localPort, chunks = [];
      response.on('data', (chunk) => chunks.push(chunk)).on('end', () => resolve({ port, headers: JSON.parse(Buffer.concat(chunks)).headers }));
    }).on('error', reject);
  });
  for (let round = 0; round < 3; round++) {
    for (const { port, headers } of await Promise.all(Array.from({ length: 150 }, ask))) {
      seen.add(port);
      assert.equal(headers['client-ip'], `127.0.0.1:${port}`);
      assert.equal(headers['x-client-port'], String(port));
      assert.equal(headers['x-forwarded-proto'], 'http');
    }
  }
  assert.ok(seen.size > 128);
  agent.destroy();
});

check('what belongs to one hop stays there', async () => {
  const answer = await p.raw('GET /echo HTTP/1.1\r\nHost: one.localhost\r\nConnection: close, x-drop\r\nX-Drop: 1\r\nX-Stay: 1\r\n'
    + 'Keep-Alive: timeout=3\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nProxy-Authorization: Basic eDp5\r\n\r\n');
  const { headers } = JSON.parse(/\r\n\r\n[^{]*(\{.*\})/s.exec(answer)[1]);
  assert.equal(headers['x-stay'], '1');
  for (const name of ['x-drop', 'keep-alive', 'proxy-connection', 'te']) assert.equal(headers[name], undefined, name);

  const session = await p.h2('one.localhost');
  const two = await fetch2(session, '/hop');
  const one = await p.h1('one.localhost', '/hop');
  for (const { headers: got } of [one, two]) {
    assert.equal(got['x-kept'], 'yes');
    assert.equal(got.server, 'the worker');
    for (const name of ['x-secret', 'proxy-connection']) assert.equal(got[name], undefined, name);
  }
  assert.doesNotMatch(one.headers['keep-alive'] ?? '', /timeout=5\b/);
  await close2(session);
});

check('HTTP/1.0 on either side', async () => {
  const answer = await p.raw('GET /whoami HTTP/1.0\r\nHost: one.localhost\r\n\r\n');
  assert.match(answer, /^HTTP\/1\.[01] 200 /);
  assert.doesNotMatch(answer, /transfer-encoding/i);
  assert.match(answer, /"app":"one"\}$/);
  const session = await p.h2('one.localhost');
  assert.equal((await fetch2(session, '/http10')).body.toString(), 'until the end');
  assert.equal((await p.h1('one.localhost', '/http10')).body.toString(), 'until the end');
  await close2(session);
});

check('pipelined requests are answered in their order', async () => {
  const head = (where, more = '') => `GET ${where} HTTP/1.1\r\nHost: one.localhost\r\n${more}\r\n`;
  const answer = await p.raw(head('/slow?ms=200') + head('/status?code=201') + head('/status?code=202', 'Connection: close\r\n'));
  assert.deepEqual(answer.match(/HTTP\/1\.1 \d+/g), ['HTTP/1.1 200', 'HTTP/1.1 201', 'HTTP/1.1 202']);
});

check('Expect: 100-continue', async () => {
  for (const [app, protocol] of PATHS) {
    const { status, body } = await new Promise((resolve, reject) => {
      const request = https.request({
        host: `${app}.localhost`, port: p.ports.https, lookup: toLoopback, ca: p.ca, method: 'POST', path: '/echo', agent: false,
        headers: { expect: '100-continue', 'content-length': 5 },
      });
      let continued = false;
      request.on('continue', () => {
        continued = true;
        request.end('hello');
      });
      request.on('error', reject);
      request.on('response', async (response) => {
        const parts = [];
        for await (const part of response) parts.push(part);
        assert.ok(continued, `${app}: no 100 came`);
        resolve({ status: response.statusCode, body: Buffer.concat(parts) });
      });
      request.flushHeaders();
    });
    assert.equal(status, 200, protocol);
    assert.equal(JSON.parse(body).sha256, sha256('hello'));
  }
  const refused = await p.raw('POST /echo HTTP/1.1\r\nHost: one.localhost\r\nExpect: 100-continue\r\nX-No-Continue: 1\r\n'
    + 'Content-Length: 5\r\nConnection: close\r\n\r\n');
  assert.match(refused, /HTTP\/1\.1 417 /);
});

check('httpsOnly redirects plain requests', async () => {
  const { status, headers } = await p.h1('secure.localhost', '/a?b=c', { kind: 'http' });
  assert.ok([301, 302, 307, 308].includes(status), String(status));
  assert.match(headers.location, /^https:\/\/secure\.localhost(:\d+)?\/a\?b=c$/);
  assert.equal((await p.h1('secure.localhost', '/whoami')).status, 200);
});

check('http20Enabled: false speaks only HTTP/1.1 to clients', async () => {
  const socket = tls.connect({ port: p.ports.https, host: '127.0.0.1', servername: 'old.localhost', ca: p.ca, ALPNProtocols: ['h2', 'http/1.1'] });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  assert.notEqual(socket.alpnProtocol, 'h2');
  socket.destroy();
  assert.equal((await p.h1('old.localhost', '/whoami')).status, 200);
  const session = await p.h2('old.localhost', { kind: 'http' });
  const { rstCode } = await fetch2(session, '/whoami');
  assert.equal(rstCode, 0xd); // HTTP_1_1_REQUIRED
  session.destroy();
});

check('certificates come from the local authority, cover the host, and TLS 1.2 works', async () => {
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const socket = tls.connect({
      port: p.ports.https, host: '127.0.0.1', servername: 'one.localhost', ca: p.ca, minVersion: version, maxVersion: version,
    });
    await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
    assert.equal(socket.getProtocol(), version);
    assert.match(socket.getPeerCertificate().subjectaltname, /DNS:one\.localhost/);
    socket.destroy();
  }
  await assert.rejects(ask({ host: 'one.localhost', port: p.ports.https, path: '/', ca: tls.rootCertificates[0] }));
});

check('a connection for one app does not serve another', async () => {
  const session = await p.h2('one.localhost');
  const { status } = await fetch2(session, '/whoami', { headers: { ':authority': p.authority('old.localhost') } });
  assert.equal(status, 421);
  assert.equal((await fetch2(session, '/whoami')).status, 200);
  await close2(session);
});

check('nor under another spelling of its name, whoever asked first', async () => {
  const ask = (text) => new Promise((resolve, reject) => {
    const socket = tls.connect({ port: p.ports.https, host: '127.0.0.1', servername: 'one.localhost', ca: p.ca, ALPNProtocols: ['http/1.1'] });
    let got = '';
    socket.on('secureConnect', () => socket.write(text)).on('error', reject).setEncoding('latin1').on('data', (part) => (got += part));
    socket.on('close', () => resolve(got.match(/HTTP\/1\.1 \d+/g)));
  });
  const get = (target, host, more = '') => `GET ${target} HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`, last = 'Connection: close\r\n';
  for (const host of ['old.localhost', 'OLD.Localhost', 'old.localhost.', p.authority('old.localhost'), p.authority('Old.localhost.')]) {
    assert.deepEqual(await ask(get('/whoami', host, last)), ['HTTP/1.1 421'], host);
    assert.deepEqual(await ask(get(`https://${host}/whoami`, 'one.localhost', last)), ['HTTP/1.1 421'], host);
    assert.deepEqual(await ask(get('/whoami', 'one.localhost') + get('/whoami', host, last)), ['HTTP/1.1 200', 'HTTP/1.1 421'], host);
  }
});

check('who names no host to TLS, as proxies and their checks do, gets those that it asks for', async () => {
  const ask = (text, protocol) => new Promise((resolve, reject) => {
    const socket = tls.connect({ port: p.ports.https, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: [protocol] });
    let got = '';
    socket.on('secureConnect', () => socket.write(text)).on('error', reject).setEncoding('latin1').on('data', (part) => (got += part));
    socket.on('close', () => resolve(got.match(/HTTP\/1\.1 \d+/g)));
  });
  const get = (host, more = '') => `GET /whoami HTTP/1.1\r\nHost: ${host}\r\n${more}\r\n`;
  assert.deepEqual(await ask(get('one.localhost') + get('old.localhost') + get('nobody.localhost', 'Connection: close\r\n'), 'http/1.1'), ['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 404']);
  const session = await p.h2('one.localhost', { servername: '' });
  assert.equal((await fetch2(session, '/whoami')).status, 200);
  assert.equal((await fetch2(session, '/whoami', { headers: { ':authority': p.authority('old.localhost') } })).status, 421); // http20Enabled: false
  await close2(session);
});

check('a client that takes no protocol that we speak is told so, and none is spoken that was not agreed on', async () => {
  const ask = (protocols, text) => new Promise((resolve) => {
    const socket = tls.connect({ port: p.ports.https, host: '127.0.0.1', servername: 'one.localhost', ca: p.ca, ALPNProtocols: protocols });
    let got = '';
    socket.on('secureConnect', () => socket.write(text)).on('error', (error) => (got += error.code)).on('data', (part) => (got += part.toString('latin1')));
    socket.on('close', () => resolve(got));
  });
  assert.match(await ask(['ftp', 'smtp'], ''), /NO_APPLICATION_PROTOCOL/);
  const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
  assert.match(await ask(['http/1.1'], preface), /^HTTP\/1\.1 505 /);
  assert.match(await ask(undefined, preface), /^HTTP\/1\.1 505 /);
  assert.doesNotMatch(await ask(['h2'], 'GET /whoami HTTP/1.1\r\nHost: one.localhost\r\n\r\n'), /HTTP\/1\.1/);
});

check('workers get the environment that they are promised', async () => {
  const { body } = await p.h1('one.localhost', '/env');
  const env = JSON.parse(body);
  assert.equal(env.APP, 'one');
  assert.match(env.PORT, /^\d+$/);
  assert.match(env.PORTICO_SOCKET, /^\//);
  assert.ok(env.HOME && env.PATH);
});

check('a thousand requests at once, and the log has them all', async () => {
  const before = p.access.length;
  const session = await p.h2('one.localhost');
  const answers = await Promise.all(Array.from({ length: 1000 }, (_, i) => fetch2(session, `/bytes?n=${i}`)));
  answers.forEach(({ status, body }, i) => {
    assert.equal(status, 200);
    assert.equal(body.length, i);
  });
  await close2(session);
  await until('the log has them', () => p.access.slice(before).filter((line) => line.includes('/bytes')).length >= 1000);
});

check('ends at SIGTERM and leaves nothing behind', async () => {
  assert.ok(family(p.pid).length > 7);
  await p.stop();
  await assert.rejects(raw(p.ports.http, 'GET / HTTP/1.1\r\n\r\n'));
  upstream.close();
});
