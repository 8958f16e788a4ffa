// SPDX-License-Identifier: Apache-2.0
// The instances of this app tell each other what happens: each listens on a unix socket in one
// directory and is connected with all others, over which JSON goes, one value a line.  Whoever comes
// later connects to those that are there.  A value reaches who is connected now and nobody else.
import { EventEmitter } from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';

const MAX_LINE = 1 << 20;

/** Of the process that a socket is named after. */
function isAlive(socketName) {
  try {
    return process.kill(Number.parseInt(socketName, 10), 0);
  } catch (error) {
    return error.code !== 'ESRCH';
  }
}

export class Bus extends EventEmitter { // 'join' (peer), 'leave' (peer), 'value' (peer, value)
  #id;
  #peers = new Map(); // id -> its connections: two, when both have dialled at once
  #pending = new Set();
  #server;

  constructor(directory, id) {
    super();
    this.#id = id;
    this.#server = net.createServer((socket) => this.#take(socket));
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 });
    const own = path.join(directory, `${process.pid}.sock`);
    fs.rmSync(own, { force: true }); // of an earlier process with our number
    this.#server.listen(own, () => {
      // We listen before we look: of two that start together, at least one sees the other.
      for (const name of fs.readdirSync(directory)) {
        const file = path.join(directory, name);
        if (file === own || !name.endsWith('.sock')) continue;
        const socket = net.connect(file);
        socket.once('error', (error) => { // who has its socket and does not listen yet refuses, too, and sees us
          if (error.code === 'ECONNREFUSED' && !isAlive(name)) fs.rmSync(file, { force: true });
        });
        this.#take(socket);
      }
    });
  }

  get size() {
    return this.#peers.size;
  }

  send(value, to) {
    const line = `${JSON.stringify(value)}\n`;
    // Each value goes over one connection, whichever the peer would use itself.
    for (const [id, [socket]] of this.#peers) if (!to || to === id) socket.write(line);
  }

  close() {
    this.#server.close(); // removes its socket
    for (const socket of this.#pending) socket.destroy();
    for (const sockets of this.#peers.values()) for (const socket of sockets) socket.end();
  }

  #take(socket) {
    let id, rest = '';
    this.#pending.add(socket);
    socket.on('error', () => {}); // 'close' follows
    socket.setEncoding('utf8');
    socket.write(`${JSON.stringify({ hello: this.#id })}\n`);
    socket.on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      if (rest.length > MAX_LINE) socket.destroy();
      for (const line of lines) {
        const value = JSON.parse(line);
        if (id !== undefined) {
          this.emit('value', id, value);
          continue;
        }
        id = value.hello;
        this.#pending.delete(socket);
        const sockets = this.#peers.get(id);
        if (sockets) {
          sockets.add(socket);
        } else {
          this.#peers.set(id, new Set([socket]));
          this.emit('join', id);
        }
      }
    });
    socket.on('close', () => {
      this.#pending.delete(socket);
      const sockets = this.#peers.get(id);
      if (!sockets?.delete(socket) || sockets.size) return;
      this.#peers.delete(id);
      this.emit('leave', id);
    });
  }
}
