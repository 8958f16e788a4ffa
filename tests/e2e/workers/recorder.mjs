// SPDX-License-Identifier: Apache-2.0
// Workers that keep every octet that reaches them, judge it, and answer each whole request with
// what it was: "METHOD target".  They run in the test's own process.
import net from 'node:net';
import { judgeRequests } from '../strict-h1.mjs';
import { Hpack, faultOfRequest } from '../strict-h2.mjs';
import { END_HEADERS, END_STREAM, TYPE, data, h2cServer, head, windowUpdate } from './frames.mjs';

/** What a trick is known by, wherever in a request it shows. */
const MARK = /trick-\d{6}/g;

class Book {
  #heard = new Set();
  #whole = new Map();
  faults = [];

  note(text, whole) {
    for (const [mark] of text.matchAll(MARK)) {
      this.#heard.add(mark);
      if (whole) this.#whole.set(mark, [...this.whole(mark).filter((one) => one !== whole), whole]);
    }
  }

  heard(mark) {
    return this.#heard.has(mark);
  }

  whole(mark) {
    return this.#whole.get(mark) ?? [];
  }
}

const answerTo = (method, target) => `${method} ${target}`;

function listen(server) {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}

/** An HTTP/1.1 worker: {book, port, close()}. */
export async function h1Recorder() {
  const book = new Book(), sockets = new Set();
  const server = await listen(net.createServer((socket) => {
    let octets = '';
    sockets.add(socket);
    socket.on('error', () => {});
    socket.setEncoding('latin1').on('data', (part) => {
      const { messages, rest, fault } = judgeRequests(octets + part);
      octets = rest;
      book.note(rest);
      for (const { raw, method, target, host, fields, body, trailers } of messages) {
        const text = answerTo(method, target);
        book.note(raw, { method, target, authority: host, fields, content: body, trailers });
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${method === 'HEAD' ? '' : text}`, 'latin1');
      }
      if (!fault) return;
      book.faults.push(`${fault}\n${rest}`);
      socket.destroy();
    });
  }));
  return {
    book,
    port: server.address().port,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** The same over h2c. */
export async function h2Recorder() {
  const book = new Book(), sockets = new Set();
  const server = await h2cServer((send, f, socket) => {
    sockets.add(socket);
    socket.hpack ??= new Hpack();
    socket.streams ??= new Map();
    if (f.type !== TYPE.HEADERS && f.type !== TYPE.DATA) {
      if (f.type === TYPE.CONT || f.type === TYPE.PUSH) book.faults.push(`frame of type ${f.type}`);
      return;
    }
    let one = socket.streams.get(f.id);
    if (f.type === TYPE.HEADERS) {
      if (!(f.flags & END_HEADERS) || f.flags & 0x28) book.faults.push('HEADERS that are not read here');
      const fields = socket.hpack.read(f.payload);
      if (one) one.trailers = fields;
      else socket.streams.set(f.id, one = { fields, content: '', trailers: [] });
    } else {
      one.content += f.payload.toString('latin1');
      if (f.payload.length) send(windowUpdate(0, f.payload.length), windowUpdate(f.id, f.payload.length));
    }
    const text = JSON.stringify(one);
    book.note(text);
    if (!(f.flags & END_STREAM)) return;
    socket.streams.delete(f.id);
    const fault = faultOfRequest(one), get = (wanted) => one.fields.find(([name]) => name === wanted)?.[1];
    if (fault) book.faults.push(`${fault}\n${text}`);
    Object.assign(one, { method: get(':method'), target: get(':path'), authority: get(':authority') });
    book.note(text, one);
    const body = answerTo(one.method, one.target), fields = { ':status': 200, 'content-length': body.length };
    send(...(one.method === 'HEAD' ? [head(f.id, fields, true)] : [head(f.id, fields), data(f.id, Buffer.from(body, 'latin1'), true)]));
  });
  return {
    book,
    port: server.address().port,
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
