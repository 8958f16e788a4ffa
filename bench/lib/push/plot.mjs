// SPDX-License-Identifier: Apache-2.0
// Plots as SVG text: a panel for each cell, a row for each strategy; and what came when.
import { STRATEGIES } from './table.mjs';

const ROW = 17, LABEL = 128, WIDTH = 250, HEAD = 26, FOOT = 22, GAP = 18;
const COLOURS = { none: '#666', link: '#1f77b4', hints: '#1f77b4', inline: '#9467bd', 'push-critical': '#2ca02c', 'push-all': '#d95f02' };

const escape = (text) => text.replace(/[&<>]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' }[c]));
const text = (x, y, what, more = '') => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escape(what)}</text>`;
const line = (x1, y1, x2, y2, more) => `<line x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}" ${more}/>`;

function document(width, height, title, parts) {
  return [`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`, text(GAP, 20, title, 'font-size="14" font-weight="bold"'), ...parts, '</svg>', ''].join('\n');
}

/** Steps of 1, 2 or 5 so that about four fit. */
function ticks(top) {
  const rough = top / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
  return Array.from({ length: Math.floor(top / step) + 1 }, (_, i) => i * step);
}

/** Rows: {title, colour, median, low, high, min, max}; the first row's median is drawn through. */
function panel(x, y, title, rows, unit) {
  const top = Math.max(1, ...rows.map(({ max }) => max)) * 1.03;
  const at = (value) => x + LABEL + value / top * WIDTH;
  const bottom = y + HEAD + rows.length * ROW;
  const parts = [text(x, y + 16, title, 'font-weight="bold"')];
  for (const tick of ticks(top)) {
    parts.push(line(at(tick), y + HEAD, at(tick), bottom, 'stroke="#eee"'), text(at(tick), bottom + 12, String(tick), 'text-anchor="middle" fill="#666"'));
  }
  parts.push(text(x + LABEL + WIDTH, bottom + 12, unit, 'fill="#666"'), line(at(rows[0].median), y + HEAD, at(rows[0].median), bottom, 'stroke="#666" stroke-dasharray="2 2"'));
  rows.forEach((row, i) => {
    const middle = y + HEAD + (i + 0.5) * ROW;
    parts.push(text(x + LABEL - 6, middle + 4, row.title, 'text-anchor="end"'),
      line(at(row.min), middle, at(row.max), middle, `stroke="${row.colour}" stroke-width="1"`),
      line(at(row.low), middle, at(row.high), middle, `stroke="${row.colour}" stroke-width="5" opacity="0.5"`),
      `<circle cx="${at(row.median).toFixed(1)}" cy="${middle.toFixed(1)}" r="3.5" fill="${row.colour}"/>`);
  });
  return parts;
}

/** All cells, three in a row; scale: what the figures are divided by. */
function panels(cells, kind, metric, { title, unit, scale = 1, wanted = () => true }) {
  const drawn = cells.map((cell) => [cell, STRATEGIES.filter((s) => wanted(s) && cell.summary[kind]?.[s.name]?.[metric]).map((s) => {
    const figures = cell.summary[kind][s.name][metric];
    return { title: s.title, colour: COLOURS[s.mode], ...Object.fromEntries(Object.entries(figures).map(([k, v]) => [k, v / scale])) };
  })]).filter(([, rows]) => rows.length);
  if (!drawn.length) return undefined;
  const across = Math.min(3, drawn.length), width = Math.max(720, across * (LABEL + WIDTH + 2 * GAP) + GAP);
  const tall = HEAD + Math.max(...drawn.map(([, rows]) => rows.length)) * ROW + FOOT + GAP;
  const parts = drawn.flatMap(([cell, rows], i) => panel(GAP + (i % across) * (LABEL + WIDTH + 2 * GAP), 30 + Math.floor(i / across) * tall, cell.name, rows, unit));
  return document(width, 30 + Math.ceil(drawn.length / across) * tall, title, parts);
}

/** Octets that had come until then, one line a strategy: the run whose critical time is the median. */
function arrivals(cell, names) {
  const lines = names.flatMap((name) => {
    const all = (cell.results.scripted?.[name] ?? []).filter((one) => one.arrivals).sort((a, b) => a.critical - b.critical);
    return all.length ? [[STRATEGIES.find((s) => s.name === name), all[Math.floor((all.length - 1) / 2)]]] : [];
  });
  if (!lines.length) return undefined;
  const width = 720, height = 380, left = 60, bottom = height - 50;
  const topMs = Math.max(...lines.map(([, one]) => one.arrivals.at(-1)[0])), topKib = Math.max(...lines.map(([, one]) => one.octets)) / 1024;
  const x = (v) => left + v / topMs * (width - left - 150), y = (v) => bottom - v / topKib * (bottom - 50);
  const parts = [];
  for (const tick of ticks(topMs)) parts.push(line(x(tick), 50, x(tick), bottom, 'stroke="#eee"'), text(x(tick), bottom + 15, String(tick), 'text-anchor="middle" fill="#666"'));
  for (const tick of ticks(topKib)) parts.push(line(left, y(tick), x(topMs), y(tick), 'stroke="#eee"'), text(left - 6, y(tick) + 4, String(tick), 'text-anchor="end" fill="#666"'));
  parts.push(text(x(topMs), bottom + 32, 'ms since the request', 'text-anchor="end" fill="#666"'), text(left, 44, 'KiB', 'text-anchor="end" fill="#666"'));
  const dashes = ['', '6 3', '2 2', '8 2 2 2'];
  lines.forEach(([s, one], i) => {
    const points = one.arrivals.map(([at, octets]) => `${x(at).toFixed(1)},${y(octets / 1024).toFixed(1)}`);
    const more = `stroke="${COLOURS[s.mode]}" stroke-width="2"${dashes[i] ? ` stroke-dasharray="${dashes[i]}"` : ''}`;
    parts.push(`<polyline points="${points.join(' ')}" fill="none" ${more}/>`,
      `<circle cx="${x(one.critical).toFixed(1)}" cy="${y(one.arrivals.findLast(([at]) => at <= one.critical)[1] / 1024).toFixed(1)}" r="5" fill="${COLOURS[s.mode]}"/>`,
      line(x(topMs) + 10, 60 + 18 * i, x(topMs) + 34, 60 + 18 * i, more), text(x(topMs) + 40, 64 + 18 * i, s.title));
  });
  return document(width, height, `${cell.rtt} ms away, ${cell.think} ms of thinking: what has come; dots: all critical`, parts);
}

/** [file name, text] of each plot. */
export function draw({ cells }) {
  const grid = cells.filter(({ name }) => name !== 'idle'), idle = cells.find(({ name }) => name === 'idle');
  const first = (s) => !s.returning;
  return [
    ['critical.svg', panels(grid, 'scripted', 'critical', { title: 'All critical resources, scripted client, ms: median, quartiles, range', unit: 'ms', wanted: first })],
    ['document.svg', panels(grid, 'scripted', 'document', { title: "The document's end, scripted client, ms: median, quartiles, range", unit: 'ms', wanted: first })],
    ['returning.svg', panels(grid, 'scripted', 'document', { title: "The document's end, returning client, ms: median, quartiles, range", unit: 'ms', wanted: (s) => s.returning })],
    ['wasted.svg', panels(grid, 'scripted', 'wasted', { title: 'Octets wasted, KiB: median, quartiles, range', unit: 'KiB', scale: 1024, wanted: (s) => s.accepts.push })],
    ['chromium.svg', panels(grid, 'chromium', 'critical', { title: 'All critical resources, Chromium, ms: median, quartiles, range', unit: 'ms' })],
    ['paint.svg', panels(grid, 'chromium', 'paint', { title: 'First contentful paint, Chromium, ms: median, quartiles, range', unit: 'ms' })],
    ['idle.svg', idle && arrivals(idle, ['none', 'hints', 'naive', 'decided'])],
  ].filter(([, svg]) => svg);
}
