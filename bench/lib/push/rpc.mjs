// SPDX-License-Identifier: Apache-2.0
// A Node process in a network namespace, and calls to it over its IPC channel.
import { spawn } from 'node:child_process';

/** In such a process: answers calls by these methods until its parent goes. */
export function serve(methods) {
  process.on('message', async ({ id, method, argument }) => {
    try {
      process.send({ id, result: await methods[method](argument) });
    } catch (error) {
      process.send({ id, error: error.stack });
    }
  });
  process.on('disconnect', () => process.exit());
}

export class Peer {
  #waiting = new Map();
  #last = 0;

  constructor(namespace, script) {
    // Before the machine's other work, so that a delay is the path's.
    this.process = spawn('nice', ['-n', '-10', 'nsenter', `--net=${namespace}`, process.execPath, script], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.process.on('message', ({ id, result, error }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) reject(new Error(error));
      else resolve(result);
    });
    this.exited = new Promise((resolve) => this.process.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${script} has ended`));
      resolve();
    }));
  }

  call(method, argument) {
    return new Promise((resolve, reject) => {
      const id = ++this.#last;
      this.#waiting.set(id, { resolve, reject });
      this.process.send({ id, method, argument });
    });
  }

  async end() {
    if (this.process.connected) this.process.disconnect();
    await this.exited;
  }
}
