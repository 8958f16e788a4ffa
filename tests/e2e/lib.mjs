// SPDX-License-Identifier: Apache-2.0
// What all end-to-end tests share: a Portico of one's own in a temporary directory, clients for it,
// and conditions to wait for.  Nothing here sleeps for a guessed time.
import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import test, { after } from 'node:test';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
export const WORKERS = path.join(ROOT, 'tests/e2e/workers');
export const PORTICO = process.env.PORTICO ?? path.join(ROOT, 'build-asan/src/bin/portico');
// The roles inherit these.  A small quarantine: memory that was freed shall not look like memory held.
const SANITIZERS = {
  ASAN_OPTIONS: 'detect_leaks=1:exitcode=99:quarantine_size_mb=4',
  TSAN_OPTIONS: 'exitcode=66',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1:exitcode=99',
};
const SANITIZER = /(ERROR|WARNING): \w*Sanitizer|runtime error:|SUMMARY: \w*Sanitizer/;

// What a test waits for is there in a moment, unless the machine is busy with something else: limits
// are only there so that nothing hangs.
const PATIENCE = 60;

// A case that failed before its p.stop() shall not keep this process alive, with all that waits for it.
let endsByItself = false;
function endWithLast() {
  if (endsByItself) return;
  endsByItself = true;
  after(() => {
    killAll();
    setTimeout(() => {
      console.error('something is still open after the last case');
      process.exit(1);
    }, 20_000).unref();
  });
}

/** A test case that cannot hang.  seconds: that it may take on a machine with nothing else to do;
 *  skip: why it cannot run here, or false. */
export function check(name, run, seconds = 30, skip = false) {
  endWithLast();
  test(name, { timeout: 4 * seconds * 1000, skip }, run);
}

/** Waits until `probe` gives something true and gives that back.  A probe that throws is asked again. */
export async function until(what, probe, seconds = PATIENCE) {
  const end = Date.now() + seconds * 1000;
  let last;
  for (;;) {
    try {
      const value = await probe();
      if (value) return value;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end) {
      throw new Error(`waited ${seconds} s in vain until ${what}${last ? `: ${last.message}` : ''}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

export const sha256 = (octets) => createHash('sha256').update(octets).digest('hex');

// ---- processes ---------------------------------------------------------------------------------

/** pid -> {ppid, started, state} of everything that runs. */
export function processes() {
  const all = new Map();
  for (const entry of fs.readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    try {
      const stat = fs.readFileSync(`/proc/${entry}/stat`, 'utf8');
      const rest = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      all.set(Number(entry), { state: rest[0], ppid: Number(rest[1]), started: rest[19] });
    } catch {
      // it ended while we looked
    }
  }
  return all;
}

/** The processes below `pid`, itself included, as "pid@start". */
export function family(pid) {
  const all = processes();
  const found = new Set([pid]);
  for (let grew = true; grew;) {
    grew = false;
    for (const [child, { ppid }] of all) {
      if (found.has(ppid) && !found.has(child)) {
        found.add(child);
        grew = true;
      }
    }
  }
  return [...found].filter((p) => all.has(p)).map((p) => `${p}@${all.get(p).started}`);
}

export function isAlive(pid) {
  const found = processes().get(pid);
  return found !== undefined && found.state !== 'Z' && found.state !== 'X';
}

/** Resident memory of a process in KiB. */
export function residentKib(pid) {
  return Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))[1]);
}

export const openDescriptors = (pid) => fs.readdirSync(`/proc/${pid}/fd`).length;

/** Runs a program to its end: {code, stdout, stderr}. */
export function run(file, args, options = {}) {
  return new Promise((resolve) => {
    execFile(file, args, { encoding: 'utf8', maxBuffer: 64 << 20, timeout: 3 * PATIENCE * 1000, ...options }, (error, stdout, stderr) => {
      resolve({ code: error ? error.code ?? error.signal : 0, stdout, stderr });
    });
  });
}

/** Runs the test file that calls this anew in a network namespace of its own, in which `address` is
 *  the machine's, too.  Returns there; elsewhere only when it cannot be made, and then why. */
export function inOwnNetwork(file, address) {
  if (process.env.PORTICO_E2E_NETWORK) return undefined;
  if (process.getuid() !== 0) return 'needs root';
  const setup = `ip link set lo up && ip address add ${address} dev lo`;
  if (spawnSync('unshare', ['-n', 'sh', '-c', setup]).status !== 0) return 'no network namespace can be made here (unshare -n, ip)';
  const { status } = spawnSync('unshare', ['-n', 'sh', '-c', `${setup} && exec "$@"`, 'sh', process.execPath, ...process.execArgv, file], {
    stdio: 'inherit', env: { ...process.env, PORTICO_E2E_NETWORK: '1' },
  });
  process.exit(status ?? 1);
}

// ---- Portico -----------------------------------------------------------------------------------

const running = new Set();
const killAll = () => {
  for (const p of running) p.kill();
};
process.on('exit', killAll);

/** A directory of one's own that workers with users of their own can enter. */
export function scratch() {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'portico-e2e-'));
  fs.chmodSync(made, 0o755);
  process.on('exit', () => fs.rmSync(made, { recursive: true, force: true }));
  return made;
}

export class Portico {
  lines = []; // what an operator sees: standard output and standard error, line by line
  access = []; // standard output alone: greeting, workers' lines, access log
  ports = {}; // kind -> port
  #waiting = new Set();

  /** manifest: an object (JSON is YAML; listen is filled in when it is absent), or a function that
   *  makes it for a data directory, or a text as it is; then `apps` says what is in it. */
  constructor(manifest, { args = [], apps, program = PORTICO, uid } = {}) {
    this.home = scratch();
    this.data = path.join(this.home, 'data');
    this.manifest = path.join(this.home, 'portico.yaml');
    if (typeof manifest === 'function') manifest = manifest(this.data);
    this.mark = randomBytes(8).toString('hex');
    this.apps = apps ?? manifest.apps;
    if (typeof manifest === 'string') {
      fs.writeFileSync(this.manifest, manifest);
    } else {
      const marked = Object.entries(manifest.apps).map(([name, app]) => [
        name, app.command ? { ...app, env: { ...app.env, PORTICO_E2E: this.mark } } : app,
      ]);
      fs.writeFileSync(this.manifest, JSON.stringify({
        listen: { https: '127.0.0.1:0', http: '127.0.0.1:0', admin: '127.0.0.1:0' },
        loops: 2,
        accessLog: 'stdout',
        ...manifest,
        apps: Object.fromEntries(marked),
      }, null, 1));
    }
    if (uid !== undefined) fs.chownSync(this.home, uid, uid);
    this.process = spawn(program, ['up', '--manifest', this.manifest, '--data', this.data, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'], uid, gid: uid, env: { ...SANITIZERS, ...process.env },
    });
    this.pid = this.process.pid;
    running.add(this);
    this.exited = new Promise((resolve) => {
      this.process.on('close', (code, signal) => {
        running.delete(this);
        this.code = code ?? signal;
        resolve(this.code);
        this.#wake();
      });
    });
    this.#read(this.process.stderr, [this.lines]);
    this.#read(this.process.stdout, [this.lines, this.access]);
  }

  #read(stream, into) {
    let rest = '';
    stream.setEncoding('utf8').on('data', (text) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop();
      for (const lines of into) lines.push(...parts);
      this.#wake();
    });
    stream.on('end', () => rest && into.forEach((lines) => lines.push(rest)));
  }

  #wake() {
    for (const wake of this.#waiting) wake();
  }

  /** The first line, past or to come, that `pattern` matches; from: index to begin at. */
  async line(pattern, { seconds = PATIENCE, of = this.lines, from = 0 } = {}) {
    let wake;
    const end = Date.now() + seconds * 1000;
    try {
      for (let at = from; ;) {
        for (; at < of.length; at++) if (pattern.test(of[at])) return of[at];
        if (this.code !== undefined) throw new Error(`portico ended (${this.code}) before ${pattern}:\n${this.tail()}`);
        if (Date.now() > end) throw new Error(`no line ${pattern} in ${seconds} s:\n${this.tail()}`);
        await new Promise((resolve) => {
          const timer = setTimeout(resolve, Math.min(500, end - Date.now() + 1));
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
          this.#waiting.add(wake);
        });
        this.#waiting.delete(wake);
      }
    } finally {
      this.#waiting.delete(wake);
    }
  }

  tail(count = 25) {
    return this.lines.slice(-count).join('\n');
  }

  /** Starts one and waits until every instance of every app with a command is READY. */
  static async start(manifest, options = {}) {
    const p = new Portico(manifest, options);
    await p.listening();
    if (options.ready !== false) await p.ready();
    return p;
  }

  async listening() {
    for (const kind of ['https', 'http', 'admin']) {
      const line = await this.line(new RegExp(`\\blisten\\b.*\\bkind=${kind}\\b`));
      this.ports[kind] = Number(/address=\S*:(\d+)/.exec(line)[1]);
    }
  }

  async ready(names = Object.keys(this.apps).filter((name) => this.apps[name].command)) {
    await until(`${names.join(', ')} are ready`, async () => {
      if (this.code !== undefined) return true;
      const states = await this.states();
      return names.every((name) => {
        const wanted = this.apps[name].instances ?? 1;
        return (states[name] ?? []).filter(({ state }) => state === 'READY').length === wanted;
      });
    }).catch((error) => {
      throw new Error(`${error.message}\n${this.tail()}`);
    });
    assert.equal(this.code, undefined, this.tail());
  }

  async admin(where) {
    return ask({ port: this.ports.admin, path: where, host: '127.0.0.1' });
  }

  /** app -> [{id, state, pid, ...}], from /apps */
  async states() {
    const { body } = await this.admin('/apps');
    const { apps } = JSON.parse(body);
    return Object.fromEntries(apps.map((app) => [app.name, app.instances]));
  }

  /** The value of a metric: the sum over its series whose labels hold all of `labels`. */
  async metric(name, labels = {}) {
    const { body } = await this.admin('/metrics');
    let sum = null;
    for (const line of String(body).split('\n')) {
      const found = /^([a-z_0-9]+)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (!found || found[1] !== name) continue;
      if (Object.entries(labels).every(([k, v]) => (found[2] ?? '').includes(`${k}="${v}"`))) sum = (sum ?? 0) + Number(found[3]);
    }
    return sum;
  }

  get ca() {
    return this.caText ??= fs.readFileSync(this.caFile, 'utf8');
  }

  get caFile() {
    return path.join(this.data, 'tls/ca.crt');
  }

  /** The pid of the role's process that runs now. */
  role(name) {
    const started = this.lines.filter((line) => line.includes(` role.start role=${name} `)).pop();
    const pid = Number(/ pid=(\d+)/.exec(started)?.[1]);
    return pid && isAlive(pid) ? pid : undefined;
  }

  /** Kills the role's process, as soon as there is one, and waits until it is gone. */
  async killRole(name) {
    const pid = await until(`${name} runs`, () => this.role(name));
    process.kill(pid, 'SIGKILL');
    await until(`${name} is gone`, () => !isAlive(pid));
  }

  kill(signal = 'SIGKILL') {
    try {
      process.kill(this.pid, signal);
    } catch {
      // it is gone already
    }
  }

  /** Ends it as an operator would and looks at what it leaves behind. */
  async stop({ code = 0, seconds = PATIENCE } = {}) {
    const before = family(this.pid);
    this.kill('SIGTERM');
    const timer = setTimeout(() => this.kill(), seconds * 1000);
    const ended = await this.exited;
    clearTimeout(timer);
    assert.equal(ended, code, `exit code ${ended}:\n${this.tail(60)}`);
    this.assertClean();
    const now = processes();
    const left = before.filter((entry) => {
      const [pid, started] = entry.split('@');
      const found = now.get(Number(pid));
      return found && found.started === started && found.state !== 'Z';
    });
    assert.deepEqual(left, [], 'processes outlived portico');
    assert.deepEqual(this.strays(), [], 'workers outlived portico');
  }

  /** Processes that carry this run's mark in their environment. */
  strays() {
    return [...processes().keys()].filter((pid) => {
      try {
        return fs.readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`PORTICO_E2E=${this.mark}`);
      } catch {
        return false;
      }
    });
  }

  assertClean() {
    const said = this.lines.findIndex((line) => SANITIZER.test(line));
    assert.equal(said, -1, `a sanitizer spoke:\n${this.lines.slice(Math.max(0, said - 2), said + 40).join('\n')}`);
    const panic = this.lines.find((line) => /\bpanic\b|Assertion .* failed/i.test(line));
    assert.equal(panic, undefined);
  }

  // ---- clients of it ----

  authority(host, kind = 'https') {
    return `${host}:${this.ports[kind]}`;
  }

  /** One HTTP/1.1 request: {status, headers, rawHeaders, trailers, body, informational}. */
  h1(host, where = '/', { kind = 'https', ...options } = {}) {
    return ask({ host, path: where, port: this.ports[kind], ca: kind === 'https' ? this.ca : undefined, ...options });
  }

  /** An HTTP/2 session; over TLS, or by prior knowledge with kind 'http'. */
  async h2(host, { kind = 'https', ...options } = {}) {
    const session = http2.connect(`${kind}://${this.authority(host, kind)}`, {
      ca: kind === 'https' ? this.ca : undefined,
      lookup: toLoopback,
      ...options,
    });
    session.pushed = [];
    session.on('error', (error) => {
      session.lastError = error;
    });
    session.on('stream', (stream, headers) => session.onPush?.(stream, headers));
    await new Promise((resolve, reject) => {
      session.once('remoteSettings', resolve);
      session.once('error', reject);
      session.once('close', () => reject(new Error('the session closed before its SETTINGS came')));
    });
    return session;
  }

  /** curl's exit code and output; the host's name leads here. */
  curl(kind, host, where, ...args) {
    const authority = this.authority(host, kind);
    return run('curl', ['-sS', '--max-time', String(PATIENCE), '--cacert', this.caFile,
      '--connect-to', `${authority}:127.0.0.1:${this.ports[kind]}`, ...args, `${kind}://${authority}${where}`]);
  }

  /** Octets to the plain port and all that comes back until the other side closes. */
  raw(text, { kind = 'http', seconds } = {}) {
    return raw(this.ports[kind], text, seconds);
  }
}

export function toLoopback(host, options, callback) {
  if (options.all) callback(null, [{ address: '127.0.0.1', family: 4 }]);
  else callback(null, '127.0.0.1', 4);
}

/** One HTTP/1.1 request by Node's client.  body: a Buffer, a string or a stream. */
export function ask({ host, port, path: where, ca, method = 'GET', headers = {}, body, agent = false, onResponse, signal, ...rest }) {
  return new Promise((resolve, reject) => {
    const informational = [];
    const request = (ca ? https : http).request({
      host, port, path: where, method, ca, agent, signal, lookup: toLoopback, servername: ca ? host : undefined,
      headers: { host: `${host}:${port}`, ...headers }, ...rest,
    });
    request.on('information', (info) => informational.push(info));
    request.on('error', reject);
    request.on('response', (response) => {
      if (onResponse) {
        resolve(onResponse(response, request));
        return;
      }
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => resolve({
        status: response.statusCode,
        headers: response.headers,
        rawHeaders: response.rawHeaders,
        trailers: response.trailers,
        body: Buffer.concat(parts),
        informational,
        socket: response.socket,
      }));
    });
    if (body && typeof body.pipe === 'function') body.pipe(request);
    else request.end(body);
  });
}

export function raw(port, text, seconds = PATIENCE) {
  return new Promise((resolve, reject) => {
    let got = '';
    const socket = net.connect(port, '127.0.0.1', () => socket.write(text));
    const timer = setTimeout(() => {
      socket.destroy();
      resolve(`${got}<still open>`);
    }, seconds * 1000);
    socket.setEncoding('latin1').on('data', (part) => {
      got += part;
    });
    socket.on('error', (error) => (got ? undefined : reject(error)));
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(got);
    });
  });
}

/** Reads a stream of Node's http2 to its end: {status, headers, trailers, body, rstCode}. */
export function whole(stream, headers) {
  return new Promise((resolve) => {
    const parts = [];
    const result = { status: headers?.[':status'], headers, informational: [], trailers: undefined };
    stream.on('headers', (info) => result.informational.push(info));
    stream.on('response', (head) => {
      result.headers = head;
      result.status = head[':status'];
    });
    stream.on('push', (head) => { // a pushed stream's response
      result.headers = head;
      result.status = head[':status'];
    });
    stream.on('trailers', (trailers) => {
      result.trailers = trailers;
    });
    stream.on('data', (part) => parts.push(part));
    stream.on('error', (error) => {
      result.error = error;
    });
    stream.on('close', () => {
      result.rstCode = stream.rstCode;
      result.body = Buffer.concat(parts);
      resolve(result);
    });
  });
}

/** One request on a session. */
export function fetch2(session, where, { headers = {}, body, ...options } = {}) {
  const head = { ':path': where, ...headers };
  if (body !== undefined && !head[':method']) head[':method'] = 'POST';
  const stream = session.request(head, { endStream: body === undefined, ...options });
  const result = whole(stream);
  if (body !== undefined) {
    if (typeof body.pipe === 'function') body.pipe(stream);
    else stream.end(body);
  }
  return result;
}

/** Collects what is pushed on a session: promises of {promise, status, headers, body}. */
export function collectPushes(session) {
  const pushes = [];
  session.onPush = (stream, promise) => pushes.push(whole(stream).then((result) => ({ promise, stream, ...result })));
  return pushes;
}

export function close2(session) {
  return new Promise((resolve) => {
    if (session.closed || session.destroyed) resolve();
    session.close(resolve);
  });
}

/** An app of the manifest that runs one of tests/e2e/workers. */
export const worker = (script, host, more = {}) => ({
  directory: WORKERS, command: `node ${script}.mjs`, hosts: [host].flat(), ...(script === 'h2c' ? { http20ProxyFlag: 1 } : {}), ...more,
});

export const hasProgram = (name) => (process.env.PATH ?? '').split(':').some((dir) => fs.existsSync(path.join(dir, name)));
