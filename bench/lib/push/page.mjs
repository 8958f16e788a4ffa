// SPDX-License-Identifier: Apache-2.0
// The page: a document of 30 KiB that refers to two style sheets, two scripts that block, and twelve
// pictures; one style sheet needs a font, one script loads another.  367 KiB altogether, of which
// 114 KiB stand between the document and its first picture on the screen (the critical ones).
// The octets are the same in every run and do not compress.

const KIB = 1024;
export const DOCUMENT_OCTETS = 30 * KIB;

const image = (number, kib) => [`image${number}.bmp`, { type: 'image/bmp', as: 'image', kib, priority: 'u=4, i' }];

/** name -> what it is; parent: what must be there before a client knows of it. */
export const ASSETS = Object.fromEntries([
  ['base.css', { type: 'text/css', as: 'style', kib: 12, priority: 'u=0', critical: true }],
  ['page.css', { type: 'text/css', as: 'style', kib: 24, priority: 'u=0', critical: true }],
  ['boot.js', { type: 'text/javascript', as: 'script', kib: 20, priority: 'u=1', critical: true }],
  ['app.js', { type: 'text/javascript', as: 'script', kib: 36, priority: 'u=1', critical: true }],
  ['text.woff2', { type: 'font/woff2', as: 'font', kib: 22, priority: 'u=1', critical: true, parent: 'base.css' }],
  ['late.js', { type: 'text/javascript', as: 'script', kib: 18, priority: 'u=2', parent: 'app.js' }],
  ...[38, 30, 24, 20, 18, 16, 14, 12, 10, 9, 8, 6].map((kib, i) => image(i + 1, kib)),
]);

export const NAMES = Object.keys(ASSETS);
export const CRITICAL = NAMES.filter((name) => ASSETS[name].critical);
export const pathOf = (name) => `/s/${name}`;
export const nameOf = (path) => path.replace(/^\/s\//, '');
export const childrenOf = (name) => NAMES.filter((child) => ASSETS[child].parent === name);

/** Octets of a linear congruential generator: as good as random for whoever compresses. */
function noise(seed, octets) {
  const out = Buffer.alloc(octets);
  let state = seed >>> 0;
  for (let i = 0; i < octets; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state >>> 24;
  }
  return out;
}

const letters = (seed, octets) => noise(seed, octets).toString('base64url').slice(0, octets);

function comment(text, seed, octets) {
  return Buffer.from(`${text}/*${letters(seed, octets - Buffer.byteLength(text) - 4)}*/`);
}

/** A bitmap of grey noise one picture element high, so that a browser decodes it. */
function bitmap(seed, octets) {
  const width = Math.floor((octets - 54) / 12) * 4; // rows are multiples of four octets
  const out = noise(seed, octets);
  out.write('BM');
  out.writeUInt32LE(octets, 2);
  out.writeUInt32LE(0, 6);
  out.writeUInt32LE(54, 10);
  out.writeUInt32LE(40, 14);
  out.writeInt32LE(width, 18);
  out.writeInt32LE(1, 22);
  out.writeUInt16LE(1, 26);
  out.writeUInt16LE(24, 28);
  out.fill(0, 30, 54);
  return out;
}

function make(name, seed) {
  const { type, kib } = ASSETS[name];
  const octets = kib * KIB;
  if (type === 'image/bmp') return bitmap(seed, octets);
  if (type === 'font/woff2') return noise(seed, octets); // no font: a browser fetches it, and then takes another
  if (name === 'base.css') {
    return comment(`@font-face{font-family:Text;src:url(${pathOf('text.woff2')})}body{font-family:Text,serif}`, seed, octets);
  }
  if (name === 'app.js') {
    return comment(`{const s=document.createElement('script');s.src='${pathOf('late.js')}';document.head.append(s)}`, seed, octets);
  }
  return comment(type === 'text/css' ? 'p{margin:1em}' : 'window.ran=(window.ran??0)+1;', seed, octets);
}

export const body = Object.fromEntries(NAMES.map((name, i) => [name, make(name, i + 1)]));

/** What ends an inlined resource, for a client that reads along. */
const INLINED = (name) => `<!--inlined ${name}-->`;

function head(inlines) {
  if (!inlines) {
    return `<link rel="stylesheet" href="${pathOf('base.css')}"><link rel="stylesheet" href="${pathOf('page.css')}">`
      + `<script src="${pathOf('boot.js')}"></script><script src="${pathOf('app.js')}"></script>`;
  }
  const font = `data:font/woff2;base64,${body['text.woff2'].toString('base64')}`;
  const style = (name) => `<style>${String(body[name]).replace(pathOf('text.woff2'), font)}</style>`;
  return style('base.css') + INLINED('base.css') + INLINED('text.woff2') + style('page.css') + INLINED('page.css')
    + ['boot.js', 'app.js'].map((name) => `<script>${body[name]}</script>${INLINED(name)}`).join('');
}

/** The document; with `inlines` all that is critical stands in it. */
export function page(inlines = false) {
  const images = NAMES.filter((name) => ASSETS[name].as === 'image');
  const start = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>${head(inlines)}</head><body><h1>A page</h1>`;
  const plain = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A page</title>${head(false)}</head><body><h1>A page</h1>`;
  const end = '</body></html>';
  const each = Math.floor((DOCUMENT_OCTETS - plain.length - end.length) / images.length);
  const sections = images.map((name, i) => {
    const tag = `<img src="${pathOf(name)}" width="300" height="20" alt=""><p>`;
    return `${tag}${letters(100 + i, each - tag.length - 4)}</p>`;
  });
  return Buffer.from(start + sections.join('') + end);
}

/** What a document names, in the order in which it comes: {name, inlined}. */
export const REFERENCE = /(?:src|href)="\/s\/([\w.-]+)"|<!--inlined ([\w.-]+)-->/g;

/** The Link field of a page that knows what it needs first. */
export const LINK = CRITICAL.map((name) => {
  const { as } = ASSETS[name];
  return `<${pathOf(name)}>; rel=preload; as=${as}${as === 'font' ? '; crossorigin' : ''}`;
}).join(', ');
