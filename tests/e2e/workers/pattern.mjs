// SPDX-License-Identifier: Apache-2.0
// Octets that both ends of a test can make: n octets in which a lost, doubled or moved block shows.
import { Readable } from 'node:stream';
import { createHash } from 'node:crypto';

const BLOCK = 64 * 1024;

function block(index, size) {
  const octets = Buffer.alloc(size);
  let x = (index + 1) * 2654435761 >>> 0;
  for (let i = 0; i + 4 <= size; i += 4) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    octets.writeUInt32LE(x, i);
  }
  return octets;
}

const kept = Array.from({ length: 16 }, (_, i) => block(i, BLOCK));

function* blocks(n) {
  for (let at = 0, i = 0; at < n; at += BLOCK, i++) {
    const size = Math.min(BLOCK, n - at);
    const octets = Buffer.from(kept[i % kept.length].subarray(0, size));
    if (size >= 8) octets.writeDoubleLE(at, 0); // the place in the whole
    yield octets;
  }
}

export const pattern = (n) => Buffer.concat([...blocks(n)]);
export const patternStream = (n) => Readable.from(blocks(n), { objectMode: false, highWaterMark: BLOCK });

export function patternHash(n) {
  const hash = createHash('sha256');
  for (const octets of blocks(n)) hash.update(octets);
  return hash.digest('hex');
}
