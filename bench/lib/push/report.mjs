// SPDX-License-Identifier: Apache-2.0
// Figures out of results: medians with quartiles, tables, and what may be said of them.
import { STRATEGIES, baseline } from './table.mjs';

const KIB = 1024;
const byName = new Map(STRATEGIES.map((s) => [s.name, s]));

/** The quantile q of numbers, between the two next to it. */
export function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q, low = Math.floor(at);
  return sorted.length ? sorted[low] + (sorted[Math.min(low + 1, sorted.length - 1)] - sorted[low]) * (at - low) : null;
}

const spread = (values) => ({
  median: quantile(values, 0.5), low: quantile(values, 0.25), high: quantile(values, 0.75), min: quantile(values, 0), max: quantile(values, 1),
});
const METRICS = ['connect', 'first', 'critical', 'document', 'all', 'paint', 'octets', 'early', 'wasted', 'wire', 'made', 'asked', 'promised', 'cancelled', 'hinted', 'lost', 'overflowed', 'late_us'];

/** The differences to the baseline, run by run: the same packets of both were lost. */
function differences(all, base, metric) {
  return all.flatMap((one, i) => (Number.isFinite(one[metric]) && Number.isFinite(base?.[i]?.[metric]) ? [one[metric] - base[i][metric]] : []));
}

/** Adds summary: kind -> strategy -> metric -> {median, low, high, min, max}; and the same under
 *  `gain`, of the differences to who had no help. */
export function summarize(cell) {
  const summary = {};
  for (const [kind, of] of Object.entries(cell.results)) {
    summary[kind] = {};
    for (const [name, all] of Object.entries(of)) {
      const row = { failed: all.filter(({ failed }) => failed).length, gain: {} };
      for (const metric of METRICS) {
        const values = all.map((one) => one[metric]).filter(Number.isFinite);
        if (!values.length) continue;
        row[metric] = spread(values);
        row.gain[metric] = spread(differences(all, of[baseline(byName.get(name))], metric));
      }
      summary[kind][name] = row;
    }
  }
  return { ...cell, summary };
}

const ms = (s) => (s ? `${s.median.toFixed(0)} (${s.low.toFixed(0)}-${s.high.toFixed(0)})` : '-');
const kib = (s) => (s ? (s.median / KIB).toFixed(0) : '-');
const signed = (s) => (s?.median == null ? '-' : `${s.median > 0 ? '+' : ''}${s.median.toFixed(0)}`);
const COLUMNS = [
  ['', (r) => r.title, 22],
  ['critical, ms', (r) => ms(r.critical), 18],
  ['gain', (r) => signed(r.gain.critical), 6],
  ['document, ms', (r) => ms(r.document), 18],
  ['gain', (r) => signed(r.gain.document), 6],
  ['all, ms', (r) => ms(r.all), 18],
  ['paint, ms', (r) => ms(r.paint), 18],
  ['early KiB', (r) => kib(r.early), 9],
  ['wasted KiB', (r) => kib(r.wasted), 10],
  ['wire KiB', (r) => kib(r.wire), 8],
  ['made', (r) => r.made?.median.toFixed(0) ?? '-', 4],
  ['failed', (r) => (r.failed ? String(r.failed) : ''), 6],
];

export function table(cell) {
  const lines = [`\n${cell.name}: ${cell.rtt} ms away, the worker thinks ${cell.think} ms, ${cell.loss} % loss each way; medians (quartiles)`];
  for (const [kind, of] of Object.entries(cell.summary)) {
    const shown = COLUMNS.filter(([, , ], i) => (kind === 'chromium' ? ![7, 8].includes(i) : i !== 6));
    const line = (text) => shown.map((column, i) => (i ? text(column).padStart(column[2]) : text(column).padEnd(column[2]))).join('  ').trimEnd();
    lines.push(line(([title], i) => title || kind));
    for (const [name, row] of Object.entries(of)) lines.push(line(([, text]) => text({ ...row, title: byName.get(name).title })));
  }
  const late = Math.max(...Object.values(cell.summary).flatMap((of) => Object.values(of).map((row) => row.late_us?.max ?? 0)));
  lines.push(`the shaper was late by ${(late / 1000).toFixed(1)} ms at most`);
  return lines.join('\n');
}

/** Slower than without help, beyond noise: three quarters of the runs say so, and the median by more
 *  than 5 ms and 2 %. */
export function isSlower(row, base, metric) {
  const gain = row.gain[metric];
  return gain?.median > Math.max(5, 0.02 * base[metric].median) && gain.low > 0;
}

export function verdicts(cells) {
  const lines = ['\nSlower than without help, beyond noise (more than 5 ms and 2 % at the median, and in three quarters of the runs):'];
  const kinds = [...new Set(cells.flatMap(({ summary }) => Object.keys(summary)))];
  for (const kind of kinds) {
    for (const strategy of STRATEGIES) {
      const found = ['critical', 'document'].flatMap((metric) => {
        const slower = cells.filter(({ summary }) => {
          const row = summary[kind]?.[strategy.name], base = summary[kind]?.[baseline(strategy)];
          return row && base && row !== base && isSlower(row, base, metric);
        });
        return slower.length ? [`${metric} in ${slower.length} of ${cells.length} (${slower.map(({ name, summary }) => `${name} ${signed(summary[kind][strategy.name].gain[metric])} ms`).join(', ')})`] : [];
      });
      if (found.length) lines.push(`  ${kind}, ${strategy.title}: ${found.join('; ')}`);
    }
  }
  if (lines.length === 1) lines.push('  none');
  return lines.join('\n');
}
