// SPDX-License-Identifier: Apache-2.0
// The works: each is a function from a seed to an SVG of 800 by 800.  Every line is drawn by rule
// and chance; nothing is loaded.
import { chance, noise } from './chance.mjs';

const SIZE = 800;
const n = (value) => String(Math.round(value * 10) / 10);
const at = ([x, y]) => `${n(x)} ${n(y)}`;
/** A path through points, in steps from point to point: a third shorter than places. */
function line(points) {
  let d = '', x = 0, y = 0;
  for (const [px, py] of points) {
    const dx = Math.round(px * 10 - x), dy = Math.round(py * 10 - y);
    x += dx;
    y += dy;
    d += `${d ? 'l' : 'M'}${dx / 10}${dy < 0 ? '' : ' '}${dy / 10}`;
  }
  return d;
}
const darker = ({ ground, ink }) => (parseInt(ground.slice(1, 3), 16) < parseInt(ink.slice(1, 3), 16) ? ground : ink);

/** Grounds and inks that agree with each other. */
const PALETTES = [
  { ground: '#f4ede1', ink: '#22304a', tones: ['#c8553d', '#e09f3e', '#335c67', '#7d9d9c', '#2b3a55'] },
  { ground: '#10182b', ink: '#f2e9dc', tones: ['#f28f3b', '#c8553d', '#588b8b', '#ffd5c2', '#8fb8de'] },
  { ground: '#fbf6ee', ink: '#2d2a32', tones: ['#dd614a', '#f48668', '#73a580', '#c5c392', '#465c69'] },
  { ground: '#16261f', ink: '#eae6d8', tones: ['#a3b18a', '#588157', '#dda15e', '#bc6c25', '#e9edc9'] },
  { ground: '#efe6dd', ink: '#231942', tones: ['#5e548e', '#9f86c0', '#be95c4', '#e0b1cb', '#f2a65a'] },
  { ground: '#0f1f2e', ink: '#eef4f7', tones: ['#5fa8d3', '#cae9ff', '#62b6cb', '#f4a261', '#e76f51'] },
];

function sheet(palette, body, defs = '') {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${SIZE} ${SIZE}" width="${SIZE}" `
    + `height="${SIZE}">${defs && `<defs>${defs}</defs>`}`
    + `<rect width="${SIZE}" height="${SIZE}" fill="${palette.ground}"/>${body}</svg>\n`;
}

/** Strokes that follow a field of directions. */
function currents(random, palette) {
  const field = noise(random);
  const turn = random.between(1.6, 3.2), scale = random.between(170, 300);
  const angle = (x, y) => field.layered(x / scale, y / scale, 2) * Math.PI * 2 * turn;
  const strokes = new Map();
  for (let i = 0; i < 560; i++) {
    let x = random.between(40, 760), y = random.between(40, 760);
    const points = [];
    const steps = random.whole(7, 22);
    for (let s = 0; s < steps; s++) {
      if (x < 40 || x > 760 || y < 40 || y > 760) break;
      points.push([x, y]);
      x += Math.cos(angle(x, y)) * 10;
      y += Math.sin(angle(x, y)) * 10;
    }
    if (points.length < 5) continue;
    const key = `${random.pick(palette.tones)} ${random.pick(['1.6', '2.6', '4.4'])}`;
    strokes.set(key, (strokes.get(key) ?? '') + line(points));
  }
  return sheet(palette, `<g fill="none" stroke-linecap="round" stroke-opacity=".82">`
    + [...strokes].map(([key, d]) => {
      const [colour, width] = key.split(' ');
      return `<path stroke="${colour}" stroke-width="${width}" d="${d}"/>`;
    }).join('') + '</g>');
}

/** A row of arches behind a row of arches, as one sees a portico at dusk. */
function colonnade(random, palette) {
  const dark = darker(palette), rows = random.whole(6, 8), sun = random.between(360, 440);
  const [stone, sky, glow] = random.shuffle(palette.tones);
  let body = `<rect width="800" height="800" fill="${sky}"/>`
    + `<circle cx="${n(sun)}" cy="440" r="${n(random.between(40, 62))}" fill="${glow}"/>`
    + `<rect y="505" width="800" height="295" fill="${stone}"/>`
    + `<ellipse cx="${n(sun)}" cy="520" rx="150" ry="15" fill="${glow}" opacity=".4"/>`;
  for (let row = 0; row < rows; row++) {
    const t = ((row + 1) / rows) ** 2;
    const floor = 505 + t * 300, width = 96 + t * 440, rise = 78 + t * 470, pillar = width * 0.17;
    const middle = 400 + (row - rows) * random.between(-5, 5);
    const radius = (width - pillar) / 2, spring = floor - rise;
    const first = Math.ceil((middle + width / 2) / width);
    let wall = `M0 ${n(floor)}V0H800V${n(floor)}`, flutes = '';
    for (let k = first; k >= -first; k--) {
      const centre = middle + k * width;
      wall += `H${n(centre + radius)}V${n(spring)}A${n(radius)} ${n(radius)} 0 0 0 ${n(centre - radius)} ${n(spring)}V${n(floor)}`;
      const post = centre + width / 2;
      for (let flute = -2; flute <= 2; flute++) flutes += `M${n(post + flute * pillar * 0.19)} ${n(spring + pillar * 0.2)}V${n(floor)}`;
      flutes += `M${n(post - pillar * 0.62)} ${n(spring)}h${n(pillar * 1.24)}M${n(post - pillar * 0.62)} ${n(floor)}h${n(pillar * 1.24)}`;
    }
    body += `<path d="${wall}Z" fill="${stone}"/><path d="${wall}Z" fill="${dark}" opacity="${n(0.1 + t * 0.75)}"/>`
      + `<path d="${flutes}" stroke="${dark}" stroke-opacity=".5" stroke-width="${n(0.5 + t * 2)}"/>`;
  }
  return sheet(palette, body);
}

/** Circles, each as large as its neighbours allow. */
function gathering(random, palette) {
  const circles = [];
  for (let tries = 0; tries < 9000 && circles.length < 330; tries++) {
    const x = random.between(50, 750), y = random.between(50, 750);
    let room = Math.min(94, x - 40, y - 40, 760 - x, 760 - y);
    for (const c of circles) {
      room = Math.min(room, Math.hypot(c.x - x, c.y - y) - c.r - 3);
      if (room < 4) break;
    }
    if (room >= 4) circles.push({ x, y, r: room });
  }
  let body = '';
  for (const { x, y, r } of circles) {
    const tone = random.pick(palette.tones);
    if (r > 16 && random.next() < 0.6) {
      const rings = Math.max(2, Math.floor(r / 7));
      for (let i = 0; i < rings; i++) {
        body += `<circle cx="${n(x)}" cy="${n(y)}" r="${n(r * (1 - i / rings))}" `
          + (i % 2 ? `fill="${palette.ground}"/>` : `fill="${palette.tones[(i / 2 + circles.length) % palette.tones.length | 0]}"/>`);
      }
    } else {
      body += `<circle cx="${n(x)}" cy="${n(y)}" r="${n(r)}" fill="${tone}"/>`;
    }
  }
  return sheet(palette, body);
}

/** Curves of two pendulums that slowly come to rest. */
function pendulum(random, palette) {
  const [across, down] = random.pick([[2, 3], [3, 4], [3, 5], [4, 5]]);
  let body = '';
  for (let copy = 0; copy < 2; copy++) {
    const phase = random.between(0, Math.PI * 2), detune = random.between(0.006, 0.016);
    const points = [];
    for (let t = 0; t < 92; t += 0.07) {
      const rest = 340 * Math.exp(-t * 0.013);
      points.push([400 + rest * Math.sin(across * t + phase), 400 + rest * Math.sin((down + detune) * t)]);
    }
    let d = `M${at(points[0])}`;
    for (let i = 1; i + 1 < points.length; i++) { // through the middles, so that no corner shows
      const [x, y] = points[i], [x2, y2] = points[i + 1];
      d += `Q${Math.round(x)} ${Math.round(y)} ${Math.round((x + x2) / 2)} ${Math.round((y + y2) / 2)}`;
    }
    body += `<path d="${d}" fill="none" stroke="${palette.tones[copy * 3]}" stroke-width="1.5" stroke-opacity=".8"/>`;
  }
  return sheet(palette, body);
}

/** Mountains, farther ones paler, under a low sun. */
function ranges(random, palette) {
  const heights = noise(random);
  const sky = `<linearGradient id="s" x2="0" y2="1"><stop stop-color="${palette.tones[4]}"/>`
    + `<stop offset=".62" stop-color="${palette.tones[1]}"/><stop offset="1" stop-color="${palette.ground}"/></linearGradient>`;
  let body = `<rect width="800" height="800" fill="url(#s)" opacity=".75"/><circle cx="${n(random.between(180, 620))}" `
    + `cy="${n(random.between(230, 330))}" r="64" fill="${palette.ground}"/>`;
  const rows = 9;
  for (let row = 0; row < rows; row++) {
    const base = 330 + row * 52, reach = 190 - row * 10;
    const points = [];
    for (let x = 0; x <= SIZE; x += 4) {
      const ridge = 1 - Math.abs(heights.layered(x / (210 - row * 12) + row * 7.7, row * 3.1, 5) * 2 - 1);
      points.push([x, base - (ridge - 0.55) * reach]);
    }
    body += `<path d="${line(points)}L800 800L0 800Z" fill="${palette.tones[row % 2 ? 2 : 3]}" `
      + `opacity=".35"/><path d="${line(points)}L800 800L0 800Z" fill="${palette.ink}" opacity="${n(0.06 + row * 0.05)}"/>`;
  }
  return sheet(palette, body, sky);
}

/** Seeds of a sunflower: the golden angle and nothing else. */
function sunflower(random, palette) {
  const turn = Math.PI * (3 - Math.sqrt(5)) + random.pick([0, 0, 0.0004, -0.0003]);
  const spread = random.between(11.2, 12.2), wave = random.between(0.6, 1.3), count = 880;
  const shades = palette.tones.map(() => '');
  for (let i = 1; i < count; i++) {
    const r = spread * Math.sqrt(i);
    const x = 400 + r * Math.cos(i * turn), y = 400 + r * Math.sin(i * turn);
    const size = 1.4 + 5.2 * Math.abs(Math.sin((r / 365) * Math.PI * wave + 0.6));
    const shade = Math.floor((Math.sin(r / 58 + wave * 4) * 0.5 + 0.5) * (shades.length - 0.01));
    shades[shade] += `<circle cx="${n(x)}" cy="${n(y)}" r="${n(size)}"/>`;
  }
  return sheet(palette, shades.map((dots, i) => `<g fill="${palette.tones[i]}">${dots}</g>`).join(''));
}

/** Lines of height, stacked; each hides what lies behind it. */
function ridges(random, palette) {
  const heights = noise(random);
  let body = '';
  for (let row = 0; row < 46; row++) {
    const base = 150 + row * 12.6;
    const points = [];
    for (let x = 90; x <= 710; x += 5) {
      const middle = Math.exp(-(((x - 400) / 150) ** 2));
      points.push([x, base - middle * 150 * heights.layered(x / 44, row * 0.33, 3) ** 1.7
        - 6 * heights.plain(x / 20, row)]);
    }
    const tone = palette.tones[Math.floor((row / 46) * palette.tones.length)];
    body += `<path d="${line(points)}" fill="${palette.ground}" stroke="${tone}" stroke-width="1.7" stroke-linejoin="round"/>`;
  }
  return sheet(palette, body);
}

/** A map of heights: where the noise crosses each level, cell by cell (marching squares). */
function contours(random, palette) {
  const heights = noise(random);
  const cell = 11, cells = Math.floor(SIZE / cell) + 1, scale = random.between(24, 34);
  const height = (i, j) => heights.layered(i / scale * 1.4, j / scale * 1.4, 3);
  let body = '';
  for (let level = 0; level < 9; level++) {
    const sea = 0.24 + level * 0.065;
    let d = '';
    for (let j = 0; j < cells; j++) {
      for (let i = 0; i < cells; i++) {
        const a = height(i, j), b = height(i + 1, j), c = height(i + 1, j + 1), e = height(i, j + 1);
        const edges = [];
        const cross = (p, q, x1, y1, x2, y2) => {
          if ((p < sea) === (q < sea)) return;
          const t = (sea - p) / (q - p);
          edges.push([(i + x1 + (x2 - x1) * t) * cell, (j + y1 + (y2 - y1) * t) * cell]);
        };
        cross(a, b, 0, 0, 1, 0);
        cross(b, c, 1, 0, 1, 1);
        cross(c, e, 1, 1, 0, 1);
        cross(e, a, 0, 1, 0, 0);
        for (let k = 0; k + 1 < edges.length; k += 2) d += line([edges[k], edges[k + 1]]);
      }
    }
    body += `<path d="${d}" fill="none" stroke-linecap="round" stroke="${palette.tones[level % 5]}" `
      + `stroke-width="${level % 3 ? '1.2' : '2.6'}"/>`;
  }
  return sheet(palette, body);
}

/** Tiles with two quarter circles, each turned one way or the other. */
function truchet(random, palette) {
  const inks = random.shuffle(palette.tones);
  let body = '';
  const tile = (x, y, size, depth) => {
    if (depth > 0 && random.next() < 0.56) {
      const half = size / 2;
      for (const [dx, dy] of [[0, 0], [half, 0], [0, half], [half, half]]) tile(x + dx, y + dy, half, depth - 1);
      return;
    }
    const r = size / 2;
    const ink = inks[Math.floor(((x + y) / 1600) * 4.99)];
    const arcs = random.next() < 0.5
      ? [`M${n(x + r)} ${n(y)}a${r} ${r} 0 0 1 ${-r} ${r}`, `M${n(x + size)} ${n(y + r)}a${r} ${r} 0 0 0 ${-r} ${r}`]
      : [`M${n(x + r)} ${n(y)}a${r} ${r} 0 0 0 ${r} ${r}`, `M${n(x)} ${n(y + r)}a${r} ${r} 0 0 1 ${r} ${r}`];
    const broad = random.whole(0, 1);
    for (const [i, d] of arcs.entries()) {
      body += `<path d="${d}" stroke="${ink}" stroke-width="${n(size / (i === broad ? 3.4 : 5.6))}"/>`;
    }
  };
  for (let j = 0; j < 5; j++) for (let i = 0; i < 5; i++) tile(i * 160, j * 160, 160, 2);
  return sheet(palette, `<g fill="none">${body}</g>`);
}

/** A tree: each branch forks while it is thick enough, and blossoms where it ends. */
function orchard(random, palette) {
  const wood = ['', '', '', '', ''];
  let blossom = '';
  let budget = 900;
  const grow = (x, y, angle, length, girth) => {
    if (budget-- <= 0) return;
    const bend = angle + random.bell() * 0.3;
    const x2 = x + Math.cos(bend) * length, y2 = y + Math.sin(bend) * length;
    const mx = (x + x2) / 2 + random.bell() * length * 0.12, my = (y + y2) / 2;
    wood[Math.min(4, Math.floor(girth / 5))] += `M${at([x, y])}Q${at([mx, my])} ${at([x2, y2])}`;
    if (girth < 1.6) {
      blossom += `<circle cx="${n(x2)}" cy="${n(y2)}" r="${n(random.between(2.5, 7))}" `
        + `fill="${random.pick(palette.tones)}"/>`;
      return;
    }
    const forks = random.next() < 0.26 ? 3 : 2;
    for (let i = 0; i < forks; i++) {
      const side = forks === 2 ? (i * 2 - 1) * 0.42 : (i - 1) * 0.56;
      grow(x2, y2, bend + side + random.bell() * 0.22 - Math.cos(bend) * 0.04, length * random.between(0.7, 0.88),
        girth * random.between(0.6, 0.74));
    }
  };
  grow(400, 742, -Math.PI / 2, 148, 25);
  const trunk = wood.map((d, i) => d && `<path d="${d}" stroke-width="${[1.4, 6, 11, 16, 22][i]}"/>`).join('');
  return sheet(palette, `<path d="M90 744H710" stroke="${palette.ink}" stroke-opacity=".5"/>`
    + `<g fill="none" stroke="${palette.ink}" stroke-linecap="round">${trunk}</g><g fill-opacity=".8">${blossom}</g>`);
}

/** Panes: a rectangle divided until chance says enough, each leaf lit from its own side. */
function panes(random, palette) {
  let body = '';
  const divide = (points, depth) => {
    const edge = (i) => Math.hypot(points[i][0] - points[(i + 1) % 4][0], points[i][1] - points[(i + 1) % 4][1]);
    if (depth === 0 || (depth < 5 && random.next() < 0.07)) {
      const tone = random.pick(palette.tones);
      const [cx, cy] = points.reduce(([x, y], p) => [x + p[0] / 4, y + p[1] / 4], [0, 0]);
      const inner = points.map(([x, y]) => [cx + (x - cx) * 0.9, cy + (y - cy) * 0.9]);
      body += `<path d="${line(inner)}Z" fill="${tone}" opacity="${n(random.between(0.55, 1))}"/>`
        + `<path d="${line([inner[0], inner[1], [cx, cy]])}Z" fill="${palette.ink}" opacity=".1"/>`;
      return;
    }
    const start = edge(0) + edge(2) > edge(1) + edge(3) ? 0 : 1;
    const [a, b, c, d] = [0, 1, 2, 3].map((i) => points[(start + i) % 4]);
    const s = random.between(0.34, 0.66), t = random.between(0.34, 0.66);
    const mix = (p, q, u) => [p[0] + (q[0] - p[0]) * u, p[1] + (q[1] - p[1]) * u];
    const p = mix(a, b, s), q = mix(d, c, t);
    divide([a, p, q, d], depth - 1);
    divide([p, b, c, q], depth - 1);
  };
  divide([[40, 40], [760, 40], [760, 760], [40, 760]], 7);
  return sheet(palette, body);
}

/** Two sets of circles whose centres differ a little: the eye adds the waves. */
function ripples(random, palette) {
  let body = '';
  for (let source = 0; source < 3; source++) {
    const x = random.between(230, 570), y = random.between(230, 570), gap = random.between(7.4, 9.2);
    let rings = '';
    for (let r = gap; r < 230 + 60 * source; r += gap) {
      rings += `<circle cx="${n(x)}" cy="${n(y)}" r="${n(r)}" stroke-opacity="${n(1 - r / 500)}"/>`;
    }
    body += `<g fill="none" stroke="${palette.tones[source]}" stroke-width="2.6">${rings}</g>`;
  }
  return sheet(palette, body);
}

/** id, title, what one sees, the function and the palette it begins with */
export const WORKS = [
  { id: 'currents', title: 'Currents', about: 'Five hundred strokes follow a field that nobody drew.', draw: currents, palette: 0, seed: 7 },
  { id: 'colonnade', title: 'Colonnade', about: 'Arches before arches, as one sees a portico at dusk.', draw: colonnade, palette: 1, seed: 21 },
  { id: 'gathering', title: 'Gathering', about: 'Circles, each as large as its neighbours allow.', draw: gathering, palette: 2, seed: 3 },
  { id: 'pendulum', title: 'Pendulum', about: 'Two pendulums and one pen, coming slowly to rest.', draw: pendulum, palette: 5, seed: 12 },
  { id: 'ranges', title: 'Ranges', about: 'Nine mountain ranges, the farther the paler, under a low sun.', draw: ranges, palette: 4, seed: 5 },
  { id: 'sunflower', title: 'Sunflower', about: 'The golden angle, eight hundred and eighty times.', draw: sunflower, palette: 3, seed: 9 },
  { id: 'ridges', title: 'Ridges', about: 'Lines of height; each hides what lies behind it.', draw: ridges, palette: 1, seed: 40 },
  { id: 'contours', title: 'Contours', about: 'A map of a country made of noise, nine levels above its sea.', draw: contours, palette: 0, seed: 18 },
  { id: 'truchet', title: 'Truchet', about: 'One tile with two quarter circles, turned by chance and halved by chance.', draw: truchet, palette: 2, seed: 31 },
  { id: 'orchard', title: 'Orchard', about: 'A branch forks while it is thick enough, and blossoms where it ends.', draw: orchard, palette: 4, seed: 2 },
  { id: 'panes', title: 'Panes', about: 'A square divided seven times, each leaf lit from its own side.', draw: panes, palette: 3, seed: 11 },
  { id: 'ripples', title: 'Ripples', about: 'Three stones in a pond; the eye adds the waves.', draw: ripples, palette: 5, seed: 8 },
];

/** The SVG of a work.  seed: null for the picture that hangs in the hall. */
export function render(work, seed = null) {
  const random = chance(seed ?? work.seed);
  const palette = seed === null ? PALETTES[work.palette] : random.pick(PALETTES);
  return work.draw(random, palette);
}
