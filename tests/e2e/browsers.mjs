// SPDX-License-Identifier: Apache-2.0
// Real browsers, headless, each with a profile of its own, that trust one Portico and reach nothing else.
import { spawn } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import tls from 'node:tls';
import { hasProgram, run, scratch, until } from './lib.mjs';

/** The SHA-256 of the key that a host is served with. */
async function spkiHash(p, host) {
  const socket = tls.connect({ port: p.ports.https, host: '127.0.0.1', servername: host, ca: p.ca });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const { raw } = socket.getPeerCertificate();
  socket.destroy();
  return createHash('sha256').update(new X509Certificate(raw).publicKey.export({ type: 'spki', format: 'der' })).digest('base64');
}

async function chromium(p, host, where) {
  return ['chromium', [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--remote-debugging-pipe', '--hide-scrollbars', '--window-size=1280,1400',
    '--host-resolver-rules=MAP *.localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    `--ignore-certificate-errors-spki-list=${await spkiHash(p, host)}`, `--user-data-dir=${scratch()}`,
    `https://${p.authority(host)}${where}`,
  ]];
}

// What a new profile would ask the world for.  All names lead here, so what is left gets nowhere.
const QUIET = {
  'network.dns.forceResolve': '127.0.0.1', 'network.captive-portal-service.enabled': false, 'network.connectivity-service.enabled': false,
  'app.update.enabled': false, 'browser.aboutwelcome.enabled': false, 'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore', 'browser.safebrowsing.malware.enabled': false, 'browser.safebrowsing.phishing.enabled': false,
  'datareporting.policy.dataSubmissionEnabled': false, 'toolkit.telemetry.enabled': false, 'extensions.systemAddon.update.enabled': false,
  'media.gmp-manager.updateEnabled': false, 'services.settings.server': 'data:,', 'termsofuse.bypassNotification': true,
};

async function firefox(p, host, where) {
  const profile = scratch();
  fs.writeFileSync(path.join(profile, 'user.js'), Object.entries(QUIET).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`).join(''));
  const database = ['-d', `sql:${profile}`];
  for (const args of [['-N', '--empty-password', ...database], ['-A', '-n', 'portico', '-t', 'C,,', '-i', p.caFile, ...database]]) {
    const { code, stderr } = await run('certutil', args);
    if (code) throw new Error(`certutil: ${stderr}`);
  }
  return ['firefox-esr', ['--headless', '--no-remote', '--profile', profile, `https://${p.authority(host)}${where}`], { HOME: profile }];
}

const make = { chromium, firefox };

/** Why a browser cannot be had here, or false. */
export const absent = {
  chromium: !hasProgram('chromium') && 'chromium is not installed',
  firefox: (!hasProgram('firefox-esr') && 'firefox-esr is not installed') || (!hasProgram('certutil') && 'certutil is not installed (libnss3-tools)'),
};

async function launch(browser, p, host, where) {
  const [program, args, env] = await make[browser](p, host, where);
  const child = spawn(program, args, {
    stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true, env: { ...process.env, ...env },
  });
  const exited = new Promise((resolve) => child.on('close', resolve));
  const end = async () => {
    try {
      process.kill(-child.pid, 'SIGKILL');
    } catch {
      // it ended by itself
    }
    await exited;
  };
  child.stdio[3].on('error', () => {}); // told by what waits for an answer
  return { to: child.stdio[3], from: child.stdio[4], exited, end };
}

/** Opens a page.  Gives what ends the browser. */
export async function open(browser, p, host, where) {
  const { from, end } = await launch(browser, p, host, where);
  from.resume();
  return end;
}

/** Opens a page in Chromium and can be asked what it looks like: html() as it is now, shot() a PNG. */
export async function visit(p, host, where) {
  const { to, from, exited, end } = await launch('chromium', p, host, where);
  const waiting = new Map();
  let rest = '', last = 0;
  from.setEncoding('utf8').on('data', (text) => {
    const parts = (rest + text).split('\0');
    rest = parts.pop();
    for (const { id, error, result } of parts.map((part) => JSON.parse(part))) {
      const { resolve, reject } = waiting.get(id) ?? {};
      waiting.delete(id);
      if (error) reject?.(new Error(error.message));
      else resolve?.(result);
    }
  });
  exited.then(() => waiting.forEach(({ reject }) => reject(new Error('Chromium has ended'))));
  const ask = (method, params = {}, sessionId = undefined) => new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    to.write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
  });
  const { targetId } = await until('Chromium has its page', async () => (await ask('Target.getTargets')).targetInfos.find(({ type }) => type === 'page'));
  const { sessionId } = await ask('Target.attachToTarget', { targetId, flatten: true });
  return {
    html: async () => (await ask('Runtime.evaluate', { expression: 'document.documentElement.outerHTML' }, sessionId)).result.value,
    shot: async () => Buffer.from((await ask('Page.captureScreenshot', {}, sessionId)).data, 'base64'),
    end,
  };
}
