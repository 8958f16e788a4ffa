// SPDX-License-Identifier: Apache-2.0
// Chromium, told what to do over a pair of pipes (the DevTools protocol), one profile a visit.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { CRITICAL, pathOf } from './page.mjs';

const DEADLINE_MS = 60_000;

/** Run in the page once it has loaded: waits for its first paint and tells what it took, in ms since
 *  the document was asked for. */
async function measured(critical) {
  const painted = () => performance.getEntriesByName('first-contentful-paint')[0];
  for (let i = 0; i < 100 && !painted(); i++) await new Promise((resolve) => setTimeout(resolve, 20));
  const [page] = performance.getEntriesByType('navigation');
  const since = (ms) => ms - page.requestStart;
  const resources = performance.getEntriesByType('resource').filter(({ name }) => name.startsWith(location.origin));
  const ends = critical.map((where) => resources.find(({ name }) => new URL(name).pathname === where)?.responseEnd);
  return {
    connect: page.requestStart,
    first: since(page.finalResponseHeadersStart || page.responseStart),
    critical: ends.includes(undefined) ? null : since(Math.max(...ends)),
    document: since(page.responseEnd),
    all: since(Math.max(page.responseEnd, ...resources.map(({ responseEnd }) => responseEnd))),
    paint: painted() ? since(painted().startTime) : null,
    hinted: resources.filter(({ initiatorType }) => initiatorType === 'early-hints').length,
    protocol: page.nextHopProtocol,
  };
}

export class Chromium {
  #waiting = new Map();
  #events = new Set();
  #last = 0;

  static async open({ address, port, spki }) {
    const c = new Chromium();
    c.port = port;
    c.home = fs.mkdtempSync(path.join(os.tmpdir(), 'portico-bench-'));
    c.process = spawn('chromium', [
      '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--disable-dev-shm-usage', '--remote-debugging-pipe',
      `--host-resolver-rules=MAP *.bench.test ${address}, MAP * ~NOTFOUND, EXCLUDE ${address}`,
      `--ignore-certificate-errors-spki-list=${spki.join(',')}`, `--user-data-dir=${c.home}`, 'about:blank',
    ], { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'], detached: true });
    c.exited = new Promise((resolve) => c.process.on('close', resolve));
    process.once('exit', () => c.#kill());
    const [, , , input, output] = c.process.stdio;
    c.input = input.on('error', () => {});
    let rest = '';
    output.setEncoding('utf8').on('data', (text) => {
      const messages = (rest + text).split('\0');
      rest = messages.pop();
      for (const message of messages) c.#take(JSON.parse(message));
    });
    await c.#call('Browser.getVersion');
    return c;
  }

  #take({ id, result, error, method, sessionId }) {
    if (id === undefined) {
      for (const look of this.#events) look(method, sessionId);
      return;
    }
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) reject(new Error(error.message));
    else resolve(result);
  }

  #call(method, params = {}, sessionId) {
    return new Promise((resolve, reject) => {
      const id = ++this.#last;
      this.#waiting.set(id, { resolve, reject });
      this.input.write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    });
  }

  #event(wanted, ofSession) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => done(reject, new Error(`Chromium: no ${wanted}`)), DEADLINE_MS);
      const done = (settle, value) => {
        clearTimeout(timer);
        this.#events.delete(look);
        settle(value);
      };
      const look = (method, sessionId) => method === wanted && sessionId === ofSession && done(resolve);
      this.#events.add(look);
    });
  }

  /** One page load by somebody new. */
  async visit(host) {
    const { browserContextId } = await this.#call('Target.createBrowserContext');
    const { targetId } = await this.#call('Target.createTarget', { url: 'about:blank', browserContextId });
    const { sessionId } = await this.#call('Target.attachToTarget', { targetId, flatten: true });
    await this.#call('Page.enable', {}, sessionId);
    const loaded = this.#event('Page.loadEventFired', sessionId);
    await this.#call('Page.navigate', { url: `https://${host}:${this.port}/` }, sessionId);
    await loaded;
    const { result, exceptionDetails } = await this.#call('Runtime.evaluate', {
      expression: `(${measured})(${JSON.stringify(CRITICAL.map(pathOf))})`, awaitPromise: true, returnByValue: true,
    }, sessionId);
    await this.#call('Target.disposeBrowserContext', { browserContextId });
    if (exceptionDetails) throw new Error(`Chromium: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
    return result.value;
  }

  #kill() {
    try {
      process.kill(-this.process.pid, 'SIGKILL');
    } catch {
      // it has ended already
    }
    fs.rmSync(this.home, { recursive: true, force: true });
  }

  async close() {
    this.#kill();
    await this.exited;
  }
}
