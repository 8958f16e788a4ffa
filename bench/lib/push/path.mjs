// SPDX-License-Identifier: Apache-2.0
// The path between client and server: the shaper with its two namespaces, and what it really does.
import { execFileSync, spawn } from 'node:child_process';
import dgram from 'node:dgram';
import net from 'node:net';
import readline from 'node:readline';

export const CLIENT = '10.77.0.1', SERVER = '10.77.0.2';

/** Times are round trips: half of `rtt` is one way's delay. */
export class Path {
  #answers = [];
  #waiting = [];

  /** rates in kbit/s; it ends by itself after `seconds`. */
  static async open(program, { down, up, queue, congestion, seconds }) {
    const path = new Path();
    path.rates = { down, up, queue };
    path.process = spawn(program, [String(seconds)], { stdio: ['pipe', 'pipe', 'inherit'] });
    path.process.on('error', (error) => path.#fail(error));
    path.process.stdin.on('error', () => {});
    readline.createInterface({ input: path.process.stdout })
      .on('line', (line) => path.#answer(line))
      .on('close', () => path.#fail(new Error('the shaper has ended')));
    [path.clientNet, path.serverNet] = (await path.#line()).split(' ');
    for (const [net, own, peer] of [[path.clientNet, CLIENT, SERVER], [path.serverNet, SERVER, CLIENT]]) {
      execFileSync('nsenter', [`--net=${net}`, 'ip', '-batch', '-'], { input: [
        'link set lo up', `address add ${own} peer ${peer} dev path`, 'link set path up',
        `route replace ${peer} dev path src ${own} congctl ${congestion}`, ''].join('\n') });
      // What the last connection learned of the path would make the first visit of a strategy differ from its second.
      execFileSync('nsenter', [`--net=${net}`, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save']);
    }
    return path;
  }

  #answer(line) {
    if (this.#waiting.length) this.#waiting.shift().resolve(line);
    else this.#answers.push(line);
  }

  #fail(error) {
    this.failed = error;
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }

  #line() {
    return new Promise((resolve, reject) => {
      if (this.#answers.length) resolve(this.#answers.shift());
      else if (this.failed) reject(this.failed);
      else this.#waiting.push({ resolve, reject });
    });
  }

  #command(line) {
    this.process.stdin.write(`${line}\n`);
    return this.#line();
  }

  /** rtt in ms, loss in percent each way; the seed says which packets. */
  async set({ rtt, loss, seed = 0 }) {
    const { down, up, queue } = this.rates;
    const answer = await this.#command(`path ${rtt * 500} ${down} ${up} ${queue} ${loss * 10_000} ${seed}`);
    if (answer !== 'ok') throw new Error(`the shaper says ${answer}`);
  }

  /** {up, down}: packets, octets, lost, overflowed, late_us since the last count. */
  async count() {
    return JSON.parse(await this.#command('count'));
  }

  close() {
    this.process.stdin.end();
  }
}

// ---- what it really does -----------------------------------------------------------------------

const BULK = 2 << 20, PROBES = 4000, PROBE_OCTETS = 200;

/** In the server's namespace: returns datagrams, sends as many as it is told, and gives BULK octets. */
export function probed() {
  const echo = dgram.createSocket('udp4').bind(0, SERVER);
  echo.on('message', (message, { address, port }) => {
    if (String(message) !== 'flood') {
      echo.send(message, port, address);
      return;
    }
    let left = PROBES;
    const timer = setInterval(() => { // below the rate, or the queue would lose some too
      for (let i = 0; i < 5 && left; i++, left--) echo.send(Buffer.alloc(PROBE_OCTETS), port, address);
      if (!left) clearInterval(timer);
    }, 2);
  });
  const bulk = net.createServer((socket) => socket.on('error', () => {}).end(Buffer.alloc(BULK))).listen(0, SERVER);
  return new Promise((resolve) => bulk.on('listening', () => {
    resolve({ ports: { udp: echo.address().port, tcp: bulk.address().port }, close: () => (echo.close(), bulk.close()) });
  }));
}

/** In the client's namespace: the median round trip of small datagrams in ms. */
export function measureRtt({ udp }) {
  return new Promise((resolve) => {
    const socket = dgram.createSocket('udp4'), sent = [], took = [];
    const finish = () => {
      socket.close();
      resolve(took.sort((a, b) => a - b)[Math.floor(took.length / 2)]);
    };
    const timer = setInterval(() => {
      sent.push(performance.now());
      socket.send(String(sent.length - 1), udp, SERVER);
      if (sent.length === 20) {
        clearInterval(timer);
        setTimeout(finish, 1000);
      }
    }, 10);
    socket.on('message', (message) => took.push(performance.now() - sent[Number(message)]));
  });
}

/** Percent of PROBES datagrams that did not come down. */
export function measureLoss({ udp }) {
  return new Promise((resolve) => {
    const socket = dgram.createSocket('udp4');
    let came = 0, timer;
    const finish = () => {
      socket.close();
      resolve(100 * (1 - came / PROBES));
    };
    const ask = setInterval(() => socket.send('flood', udp, SERVER), 1000); // the question may be lost
    socket.on('message', () => {
      came++;
      clearInterval(ask);
      clearTimeout(timer);
      timer = setTimeout(finish, 1000);
    });
    socket.send('flood', udp, SERVER);
  });
}

/** kbit/s of TCP's payload, from the first octets on. */
export function measureRate({ tcp }) {
  return new Promise((resolve, reject) => {
    let first, at, octets = 0;
    net.connect(tcp, SERVER).on('data', (part) => {
      at = performance.now();
      if (first === undefined) first = at;
      else octets += part.length;
    }).on('end', () => resolve(octets * 8 / (at - first))).on('error', reject);
  });
}
