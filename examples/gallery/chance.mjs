// SPDX-License-Identifier: Apache-2.0
// Chance that repeats: the same seed draws the same picture, on every instance and every day.

/** A generator of numbers in [0, 1) from a 32-bit seed (xorshift after a mixing step). */
export function chance(seed) {
  let x = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) >>> 0 || 1;
  const next = () => {
    x ^= x << 13;
    x >>>= 0;
    x ^= x >>> 17;
    x ^= x << 5;
    x >>>= 0;
    return x / 4294967296;
  };
  for (let i = 0; i < 8; i++) next();
  return {
    next,
    between: (low, high) => low + (high - low) * next(),
    whole: (low, high) => Math.floor(low + (high - low + 1) * next()),
    pick: (list) => list[Math.floor(next() * list.length)],
    /** About normal: the sum of three uniform numbers, in (-1, 1). */
    bell: () => ((next() + next() + next()) / 3) * 2 - 1,
    shuffle(list) {
      const out = [...list];
      for (let i = out.length - 1; i > 0; i--) {
        const j = Math.floor(next() * (i + 1));
        [out[i], out[j]] = [out[j], out[i]];
      }
      return out;
    },
  };
}

/** Smooth noise over the plane: random heights at the corners of a grid, eased between them. */
export function noise(random) {
  const size = 64;
  const heights = Array.from({ length: size * size }, random.next);
  const at = (x, y) => heights[((y & (size - 1)) * size) + (x & (size - 1))];
  const ease = (t) => t * t * (3 - 2 * t);
  const plain = (x, y) => {
    const left = Math.floor(x), top = Math.floor(y);
    const u = ease(x - left), v = ease(y - top);
    const above = at(left, top) * (1 - u) + at(left + 1, top) * u;
    const below = at(left, top + 1) * (1 - u) + at(left + 1, top + 1) * u;
    return above * (1 - v) + below * v;
  };
  /** Layers of ever finer noise, each half as strong; in [0, 1). */
  const layered = (x, y, layers = 4) => {
    let sum = 0, weight = 0;
    for (let i = 0, strength = 1, scale = 1; i < layers; i++, strength /= 2, scale *= 2) {
      sum += plain(x * scale + i * 17.3, y * scale + i * 9.1) * strength;
      weight += strength;
    }
    return sum / weight;
  };
  return { plain, layered };
}
