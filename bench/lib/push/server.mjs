// SPDX-License-Identifier: Apache-2.0
// The server's side of the path: Portico with an app for each strategy.
import { createHash, X509Certificate } from 'node:crypto';
import path from 'node:path';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { ask, Portico } from '../../../tests/e2e/lib.mjs';
import { SERVER, probed } from './path.mjs';
import { serve } from './rpc.mjs';

const DIRECTORY = path.dirname(fileURLToPath(import.meta.url));
const hostOf = (name) => `${name}.bench.test`;
let portico, probe;

/** SHA-256 of the public key: how a browser is told to believe in a certificate. */
async function spkiHash(host) {
  const socket = tls.connect({ port: portico.ports.https, host: '127.0.0.1', servername: host, ca: portico.ca });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const { raw } = socket.getPeerCertificate();
  socket.destroy();
  return createHash('sha256').update(new X509Certificate(raw).publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
}

/** Counters of an app: reason or fate -> count. */
async function counters(metric, label, app) {
  const { body } = await ask({ host: '127.0.0.1', port: portico.ports.admin, path: '/metrics' });
  const found = {};
  for (const line of String(body).split('\n')) {
    const labels = line.startsWith(`${metric}{`) && line.includes(`app="${app}"`) && new RegExp(`${label}="([^"]*)"`).exec(line);
    const value = Number(line.slice(line.lastIndexOf(' ') + 1));
    if (labels && value) found[labels[1]] = (found[labels[1]] ?? 0) + value;
  }
  return found;
}

serve({
  /** strategies: {name, push, mode}.  An app each, so that what is learned of one helps no other. */
  async start({ strategies, think }) {
    portico = await Portico.start({
      listen: { https: '0.0.0.0:0', http: '127.0.0.1:0', admin: '127.0.0.1:0' },
      accessLog: 'off',
      apps: Object.fromEntries(strategies.map(({ name, push, mode }) => [name, {
        directory: DIRECTORY, command: 'node worker.mjs', hosts: [hostOf(name)], http20ProxyFlag: 1, push,
        env: { MODE: mode, THINK_MS: String(think) },
      }])),
    });
    const hosts = Object.fromEntries(strategies.map(({ name }) => [name, hostOf(name)]));
    const spki = await Promise.all(Object.values(hosts).map(spkiHash));
    return { address: SERVER, port: portico.ports.https, hosts, ca: portico.ca, spki: [...new Set(spki)] };
  },

  /** Responses that the app's worker has made since the last time. */
  async made(app) {
    const { body } = await portico.h1(hostOf(app), '/made');
    return JSON.parse(body);
  },

  async pushes(app) {
    return {
      decisions: await counters('portico_push_decisions_total', 'reason', app),
      fates: await counters('portico_push_fates_total', 'fate', app),
    };
  },

  stop: () => portico.stop(),

  async probe() {
    probe = await probed();
    return probe.ports;
  },

  probeEnd: () => probe.close(),
});
