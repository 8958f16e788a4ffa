// SPDX-License-Identifier: Apache-2.0
// Everything is validated before anything starts; a message says where, what and what is allowed.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { PORTICO, Portico, ROOT, WORKERS, check, run, scratch, worker } from './lib.mjs';

const home = scratch();
fs.mkdirSync(path.join(home, 'app'));
fs.writeFileSync(path.join(home, 'empty.pem'), '');

const LISTEN = 'listen: {https: 127.0.0.1:0, http: 127.0.0.1:0, admin: 127.0.0.1:0}\n';
const APP = '  a:\n    directory: app\n    command: node x.mjs\n    hosts: [a.localhost]\n';
const apps = (text) => `${LISTEN}apps:\n${text}`;
const changed = (key, value) => apps(`${APP}    ${key}: ${value}\n`);

async function validate(text, ...args) {
  const file = path.join(home, 'portico.yaml');
  fs.writeFileSync(file, text);
  return run(PORTICO, ['up', '--manifest', file, '--data', path.join(home, 'data'), ...args]);
}

check('--check accepts what is right and starts nothing', async () => {
  const { code, stderr } = await validate(apps(APP), '--check');
  assert.equal(code, 0, stderr);
  assert.ok(!fs.existsSync(path.join(home, 'data')));
});

check('--check accepts the examples', async () => {
  const { code, stderr } = await run(PORTICO, ['up', '--check', '--manifest', path.join(ROOT, 'examples/portico.yaml')]);
  assert.equal(code, 0, stderr);
});

// what is wrong, the manifest, the line it is in, and what the message says
const FAULTS = [
  ['not YAML', 'listen: [', 2, /not YAML/],
  ['a tab', 'listen:\n\thttps: x\n', 2, /not YAML: found character that cannot start any token/],
  ['empty', '', 0, /portico\.yaml: the file is empty$/m],
  ['a list at the top', '- a\n- b\n', 1, /map/],
  ['no apps', LISTEN, 1, /the key "apps" is missing/],
  ['no app', apps('  {}\n'), 3, /apps: the map is empty: it must name at least one app/],
  ['an unknown key', `${LISTEN}loop: 2\napps:\n${APP}`, 2, /loop.*did you mean "loops"/],
  ['an unknown key of an app', changed('instance', '2'), 7, /apps\.a\.instance\b.*did you mean "instances"/],
  ['a key twice', apps(`${APP}    hosts: [b.localhost]\n`), 7, /hosts/],
  ['an anchor', apps(APP.replace('app\n', '&x app\n')), 4, /anchor|alias/],
  ['an address without a port', `listen: {http: 127.0.0.1}\napps:\n${APP}`, 1, /listen\.http.*127\.0\.0\.1:8443/],
  ['a port past the end', `listen: {http: "127.0.0.1:99999"}\napps:\n${APP}`, 1, /listen\.http/],
  ['a name as address', `listen: {http: "localhost:80"}\napps:\n${APP}`, 1, /listen\.http/],
  ['an address twice', `listen: {http: "127.0.0.1:7001", https: "127.0.0.1:7001"}\napps:\n${APP}`, 1, /127\.0\.0\.1:7001/],
  ['no listener', `listen: {admin: "127.0.0.1:0"}\napps:\n${APP}`, 1, /https.*http/],
  ['loops 0', `${LISTEN}loops: 0\napps:\n${APP}`, 2, /loops.*1 to 64/],
  ['loops in words', `${LISTEN}loops: many\napps:\n${APP}`, 2, /loops.*auto/],
  ['a bad network', `${LISTEN}trustedProxies: [10.0.0.0/33]\napps:\n${APP}`, 2, /trustedProxies/],
  ['no command and no upstreams', apps('  a:\n    hosts: [a.localhost]\n'), 3, /command.*upstreams/],
  ['command and upstreams', changed('upstreams', '["tcp://127.0.0.1:9"]'), 7, /only one of them/],
  ['no hosts', apps('  a:\n    directory: app\n    command: x\n'), 3, /hosts/],
  ['hosts without any', apps(APP.replace('[a.localhost]', '[]')), 6, /hosts/],
  ['a host with a port', apps(APP.replace('a.localhost', '"a.localhost:80"')), 6, /port/],
  ['a host with a star inside', apps(APP.replace('a.localhost', '"a.*.localhost"')), 6, /\*/],
  ['a host in capitals', apps(APP.replace('a.localhost', 'A.localhost')), 6, /lower case/],
  ['a host of two apps', apps(APP + APP.replace('  a:', '  b:')), 10, /taken by/],
  ['a directory that is not there', apps(APP.replace('directory: app', 'directory: nowhere')), 4, /nowhere.*No such file/],
  ['a directory that is a file', apps(APP.replace('directory: app', 'directory: empty.pem')), 4, /not a directory/],
  ['instances 0', changed('instances', '0'), 7, /instances.*1 to 64/],
  ['instances in words', changed('instances', 'two'), 7, /instances.*1 to 64/],
  ['instances in fractions', changed('instances', '1.5'), 7, /instances/],
  ['a flag that is none', changed('http20ProxyFlag', '3'), 7, /http20ProxyFlag.*0.*1.*2/],
  ['a truth that is none', changed('httpsOnly', 'maybe'), 7, /httpsOnly.*true/],
  ['a duration without unit', changed('timeouts', '{request: 230}'), 7, /timeouts\.request.*230s/],
  ['a duration too short', changed('timeouts', '{request: 1ms}'), 7, /timeouts\.request/],
  ['a limit of tunnels that is none', changed('timeouts', '{tunnel: never}'), 7, /timeouts\.tunnel.*230s/],
  ['an upgrade that would hide HTTP', changed('upgrades', '[h2c]'), 7, /upgrades.*h2c.*HTTP/],
  ['upgrades to anything', changed('upgrades', '["*"]'), 7, /upgrades.*named/],
  ['a size that is none', changed('limits', '{body: big}'), 7, /limits\.body.*GiB/],
  ['an environment name that is none', changed('env', '{"A-B": c}'), 7, /A-B/],
  ['PORT is ours', changed('env', '{PORT: "80"}'), 7, /PORT/],
  ['a certificate without key', changed('certificate', '{chain: empty.pem}'), 7, /key/],
  ['a certificate that is none', changed('certificate', '{chain: empty.pem, key: empty.pem}'), 7, /empty\.pem/],
  ['a certificate that is not there', changed('certificate', '{chain: no.pem, key: no.pem}'), 7, /no\.pem.*No such file/],
  ['a name with a slash', apps(APP.replace('  a:', '  a/b:')), 3, /a\/b/],
];
for (const [what, text, line, message] of FAULTS) {
  check(`refused: ${what}`, async () => {
    for (const args of [['--check'], []]) {
      const { code, stderr } = await validate(text, ...args);
      assert.equal(code, 2, stderr);
      if (line) {
        const place = /portico\.yaml:(\d+):/.exec(stderr);
        assert.ok(place, `no line is named: ${stderr}`);
        assert.equal(Number(place[1]), line, stderr);
      }
      assert.match(stderr, message);
      assert.ok(stderr.split('\n').filter(Boolean).length < 12, stderr);
      assert.doesNotMatch(stderr, /Sanitizer/);
    }
    const prepared = path.join(home, 'data', 'apps');
    assert.deepEqual(fs.existsSync(prepared) ? fs.readdirSync(prepared) : [], []);
  });
}

check('--check tells when a certificate is of no use with its key; a start does not wait for that', async () => {
  const pem = (name) => path.join(home, name);
  for (const name of ['one', 'two']) {
    const { code, stderr } = await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
      '-subj', `/CN=${name}`, '-keyout', pem(`${name}.key`), '-out', pem(`${name}.crt`)]);
    assert.equal(code, 0, stderr);
  }
  fs.writeFileSync(pem('cut.crt'), fs.readFileSync(pem('one.crt'), 'utf8').slice(0, 200));
  const pair = (chain, key) => changed('certificate', `{chain: ${chain}, key: ${key}}`);
  const fits = await validate(pair('one.crt', 'one.key'), '--check');
  assert.equal(fits.code, 0, fits.stderr);
  for (const [chain, key, why] of [['one.crt', 'two.key', 'key values mismatch'], ['cut.crt', 'one.key', '']]) {
    const { code, stderr } = await validate(pair(chain, key), '--check');
    assert.equal(code, 2);
    assert.match(stderr, new RegExp(`portico\\.yaml:\\d+:\\d+: apps\\.a\\.certificate: the certificate \\S+/${chain} with the key \\S+/${key}: .*${why}\n$`));
  }
  const p = new Portico(pair(pem('one.crt'), pem('two.key')).replace('app\n', `${pem('app')}\n`), { apps: {} });
  await p.line(/edge\.certificate .*key values mismatch/);
  await p.stop();
});

check('a byte order mark is no fault', async () => {
  const { code, stderr } = await validate(`\ufeff${apps(APP)}`, '--check');
  assert.equal(code, 0, stderr);
});

check('several faults are told at once', async () => {
  const { code, stderr } = await validate(apps(APP.replace('[a.localhost]', '[A]') + '    instances: 0\n    httpsOnly: 7\n'), '--check');
  assert.equal(code, 2);
  for (const word of [/hosts/, /instances/, /httpsOnly/]) assert.match(stderr, word);
});

check('a manifest that is not there, or none at all', async () => {
  for (const [args, says] of [
    [['up', '--manifest', path.join(home, 'no.yaml')], /no\.yaml: No such file/], [['up'], /option is missing: --manifest FILE/],
    [['up', '--what'], /unknown option --what/], [['sideways'], /unknown verb sideways/], [['up', '--manifest'], /value is missing after --manifest/],
  ]) {
    const { code, stderr } = await run(PORTICO, args, { cwd: home });
    assert.equal(code, 2, `${args}: ${stderr}`);
    assert.match(stderr, says);
  }
});

check('version and help', async () => {
  const version = await run(PORTICO, ['--version']);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^portico \d+\.\d+/);
  const help = await run(PORTICO, ['help']);
  assert.equal(help.code, 0);
  assert.match(help.stdout, /^ {2}up /m);
  const more = await run(PORTICO, ['help', 'up']);
  assert.equal(more.code, 0);
  for (const option of ['--manifest', '--data', '--check']) assert.ok(more.stdout.includes(option), option);
});

check('a port in use is told by key and address, and nothing was started', async () => {
  const taken = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  for (const kind of ['https', 'http', 'admin']) {
    const address = `127.0.0.1:${taken.address().port}`;
    const p = new Portico({
      listen: { https: '127.0.0.1:0', http: '127.0.0.1:0', admin: '127.0.0.1:0', [kind]: address }, apps: { one: worker('h1', 'one.localhost') },
    });
    const code = await p.exited;
    assert.notEqual(code, 0);
    assert.equal(typeof code, 'number');
    assert.match(p.lines.join('\n'), new RegExp(`listen\\.${kind}`));
    assert.match(p.lines.join('\n'), /in use/);
    assert.ok(p.lines.join('\n').includes(address));
    p.assertClean();
    assert.deepEqual(p.strays(), []);
  }
  taken.close();
});

check('an address that this machine does not have', async () => {
  const p = new Portico({ listen: { http: '192.0.2.1:8080', admin: '127.0.0.1:0' }, apps: { one: worker('h1', 'one.localhost') } });
  assert.notEqual(await p.exited, 0);
  assert.match(p.lines.join('\n'), /portico\.yaml:3: listen\.http: cannot listen at 192\.0\.2\.1:8080: Cannot assign requested address/);
  p.assertClean();
});

check('a data directory that cannot be', async () => {
  fs.writeFileSync(path.join(home, 'file'), 'x');
  const file = path.join(home, 'good.yaml');
  fs.writeFileSync(file, JSON.stringify({ listen: { http: '127.0.0.1:0' }, apps: { one: { directory: WORKERS, command: 'node h1.mjs', hosts: ['one.localhost'] } } }));
  const { code, stderr } = await run(PORTICO, ['up', '--manifest', file, '--data', path.join(home, 'file', 'below')]);
  assert.equal(code, 2);
  assert.match(stderr, /cannot use the data directory \S*\/file\/below: Not a directory/);
});

check('one data directory serves one portico', async () => {
  const p = await Portico.start({ apps: { one: worker('h1', 'one.localhost') } });
  const { code, stderr } = await run(PORTICO, ['up', '--manifest', p.manifest, '--data', p.data]);
  assert.notEqual(code, 0);
  assert.match(stderr, new RegExp(`another portico.*${p.data}`));
  assert.equal((await p.h1('one.localhost', '/whoami')).status, 200);
  await p.stop();
}, 60);

check('a second start keeps the authority and the certificates', async () => {
  const p = await Portico.start({ apps: { one: worker('h1', 'one.localhost') } });
  const { ca } = p;
  await p.stop();
  const again = new Portico(fs.readFileSync(p.manifest, 'utf8'), { args: ['--data', p.data], apps: p.apps });
  again.data = p.data;
  await again.listening();
  await again.ready();
  assert.equal((await again.h1('one.localhost', '/whoami')).status, 200);
  await again.stop();
  assert.equal(fs.readFileSync(p.caFile, 'utf8'), ca);
}, 60);
