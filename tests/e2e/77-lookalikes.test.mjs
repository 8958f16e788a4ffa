// SPDX-License-Identifier: Apache-2.0
// A client speaks for itself only: what Portico tells a worker of a request cannot be said by the
// client, under no spelling that the worker's server takes for it.  WSGI makes HTTP_X_FORWARDED_FOR of
// X-Forwarded-For and X_Forwarded_For alike; gunicorn shows what an app really sees.
import assert from 'node:assert/strict';
import { Portico, WORKERS, check, fetch2, worker } from './lib.mjs';

const LIE = 'a-lie', TLS = 'https';
// Fields that Portico sends, or that mean something to it or to apps of the hosted service.
const TAKEN = ['X-Forwarded-For', 'X-Forwarded-Proto', 'X-Forwarded-Host', 'X-Forwarded-TlsVersion', 'X-AppService-Proto', 'X-Client-IP',
  'X-Client-Port', 'Client-IP', 'Disguised-Host', 'WAS-Default-Hostname', 'X-Site-Deployment-Id', 'X-Original-URL', 'X-WAWS-Unencoded-URL',
  'X-ARR-Log-Id', 'X-ARR-SSL', 'X-Request-ID', 'Max-Forwards', 'X-ARR-ClientCert', 'X-MS-Client-Principal', 'X-MS-Client-Principal-Name',
  'X-MS-Token-AAD-Id-Token', 'X-Forwarded-Ssl', 'X-Forwarded-Prefix', 'X-Forwarded-Port'];
const SINGLE = ['Forwarded', 'Proxy'];
// Every "-" another octet, and the first one alone.
const SPELLINGS = ['_', '.', '~', '!'].flatMap((octet) => [(name) => name.replaceAll('-', octet), (name) => name.replace('-', octet)]);
const variable = (name) => `HTTP_${name.toUpperCase().replaceAll('-', '_')}`;
// What a client may set, and gets through as it is.
const ITS_OWN = { api_key: 'k1', 'x-my_own-field': 'k2', 'x_forward': 'k3', 'x-ms-client-request-id': 'k4' };

const manifest = (more = {}) => ({
  apps: {
    wsgi: { directory: WORKERS, command: 'gunicorn --log-level warning --bind unix:$PORTICO_SOCKET environ:app', hosts: ['wsgi.localhost'] },
    only: worker('h1', 'only.localhost', { httpsOnly: true }),
  },
  loops: 1,
  ...more,
});

const own = (p, kind, id) => ({
  HTTP_X_FORWARDED_FOR: '127.0.0.1', HTTP_X_FORWARDED_PROTO: kind, HTTP_X_FORWARDED_HOST: p.authority('wsgi.localhost', kind),
  HTTP_X_APPSERVICE_PROTO: kind, HTTP_X_CLIENT_IP: '127.0.0.1', HTTP_DISGUISED_HOST: p.authority('wsgi.localhost', kind),
  HTTP_X_SITE_DEPLOYMENT_ID: 'wsgi', HTTP_X_ORIGINAL_URL: '/', HTTP_X_WAWS_UNENCODED_URL: '/', HTTP_X_ARR_LOG_ID: id, HTTP_X_REQUEST_ID: id,
  HTTP_HOST: p.authority('wsgi.localhost', kind), HTTP_MAX_FORWARDS: '10', HTTP_X_FORWARDED_TLSVERSION: kind === TLS ? '1.3' : undefined,
});

let p;
check('starts', async () => {
  p = await Portico.start(manifest());
});

async function seen(headers) {
  const session = await p.h2('wsgi.localhost');
  const answers = {
    'HTTP/1.1': await p.h1('wsgi.localhost', '/', { headers }),
    plain: await p.h1('wsgi.localhost', '/', { kind: 'http', headers }),
    'HTTP/2': await fetch2(session, '/', { headers }),
  };
  session.destroy();
  return Object.entries(answers).map(([way, { status, body }]) => {
    assert.equal(status, 200, `${way}: ${body}`);
    return [way, JSON.parse(body)];
  });
}

check('the worker\'s variables are Portico\'s own, however a client spells its fields', async () => {
  const names = TAKEN.filter((name) => name !== 'Max-Forwards').concat(SINGLE);
  for (const spell of [(name) => name, ...SPELLINGS]) {
    const headers = Object.fromEntries(names.map((name) => [spell(name).toLowerCase(), LIE]));
    for (const [way, environ] of await seen(headers)) {
      const lies = Object.entries(environ).filter(([, value]) => value.includes(LIE));
      assert.deepEqual(lies, [], `${way}, ${Object.keys(headers)[0]}`);
      const kind = way === 'plain' ? 'http' : TLS;
      for (const [name, value] of Object.entries(own(p, kind, environ.HTTP_X_REQUEST_ID))) assert.equal(environ[name], value, `${way}: ${name}`);
      assert.match(environ.HTTP_X_REQUEST_ID, /^[0-9a-f]{32}$/);
    }
  }
});

check('nor those that its server makes of framing, type, host and credentials', async () => {
  const headers = Object.fromEntries(['Content-Length', 'Content-Type', 'Transfer-Encoding', 'User-Agent', 'If-Match', 'Max-Forwards']
    .map((name) => [name.replaceAll('-', '_').toLowerCase(), LIE]));
  for (const [way, environ] of await seen({ ...headers, 'user-agent': 'test' })) {
    assert.deepEqual(Object.entries(environ).filter(([, value]) => value.includes(LIE)), [], way);
    assert.equal(environ.HTTP_USER_AGENT, 'test', way);
  }
});

check('names of a client\'s own go through', async () => {
  for (const [way, environ] of await seen(ITS_OWN)) {
    for (const [name, value] of Object.entries(ITS_OWN)) {
      assert.equal(environ[variable(name)], value, `${way}: ${name}`);
    }
  }
  await p.stop();
});

check('a trusted proxy may speak for others, in the right spelling', async () => {
  p = await Portico.start(manifest({ trustedProxies: ['127.0.0.1'] }));
  const headers = {
    'x-forwarded-for': '192.0.2.7', x_forwarded_for: LIE, 'x-forwarded-proto': 'https', x_forwarded_proto: LIE, 'x-forwarded-prefix': '/app',
    'x-ms-client-principal': LIE, proxy: LIE,
  };
  for (const [way, environ] of await seen(headers)) {
    assert.deepEqual(Object.entries(environ).filter(([, value]) => value.includes(LIE)), [], way);
    assert.equal(environ.HTTP_X_FORWARDED_FOR, '192.0.2.7, 127.0.0.1', way);
    assert.equal(environ.HTTP_X_FORWARDED_PROTO, 'https', way);
    assert.equal(environ.HTTP_X_FORWARDED_PREFIX, '/app', way);
  }
});

check('of what a trusted proxy adds to its client\'s lines nothing is lost, and nothing that it contradicts is believed', async () => {
  const headers = { 'x-forwarded-for': ['192.0.2.6', '', '192.0.2.7, 192.0.2.8'], 'x-forwarded-proto': ['https', 'http'] };
  for (const [way, environ] of await seen(headers)) {
    assert.equal(environ.HTTP_X_FORWARDED_FOR, '192.0.2.6, 192.0.2.7, 192.0.2.8, 127.0.0.1', way);
    assert.equal(environ.HTTP_X_FORWARDED_PROTO, way === 'plain' ? 'http' : TLS, way);
  }
});

check('httpsOnly: it is known from a trusted proxy by what a request came to it, and where its clients have to ask', async () => {
  const ask = (said) => p.h1('only.localhost', '/whoami', { kind: 'http', headers: { host: 'only.localhost', ...(said && { 'x-forwarded-proto': said }) } });
  assert.equal((await ask('https')).status, 200);
  for (const [said, location] of [
    ['http', 'https://only.localhost/whoami'], // the proxy's port, not ours
    ...[undefined, 'wss', ['https', 'http']].map((unclear) => [unclear, `https://only.localhost:${p.ports.https}/whoami`]),
  ]) {
    const { status, headers } = await ask(said);
    assert.deepEqual([status, headers.location], [301, location], String(said));
  }
  await p.stop();
  p = await Portico.start(manifest());
  assert.equal((await ask('https')).status, 301, 'who is not trusted says nothing');
  await p.stop();
});
