// SPDX-License-Identifier: Apache-2.0
// What push, hints and inlining are worth, over a path with delay, a rate and loss (doc/push-bench.md).
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Path } from './path.mjs';
import { draw } from './plot.mjs';
import { summarize, table, verdicts } from './report.mjs';
import { Peer } from './rpc.mjs';
import { CELLS, IDLE, STRATEGIES } from './table.mjs';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const ROOT = path.resolve(HERE, '../../..');
const SKIPPED = 77; // what Meson takes for it
const HELP = `usage (as root): bench/push [OPTION]...
  --cells REGEX       which cells (${CELLS[0].name} ... ${CELLS.at(-1).name}); none with '^$'
  --strategies REGEX  which strategies: ${STRATEGIES.map(({ name }) => name).join(' ')}
  --chromium REGEX    in which cells Chromium visits, too, where it is installed (all)
  --no-idle           without H2O's example (50 ms away, 200 ms of thinking)
  --runs N            7 of each, after --warm N (1) that are not counted
  --down, --up KBPS   the link's rates (10000, 5000); --queue OCTETS before it (131072)
  --congestion NAME   cubic, reno or bbr (cubic)
  --naive WORD        the push policy that stands for naive (always)
  --build DIR         the build directory (build)
  --report DIR        where to (bench/report/push); -o json: the results on standard output, too
  --quick             a smoke test: one cell, one run`;

function options() {
  const { values } = parseArgs({ options: {
    cells: { type: 'string', default: '' }, strategies: { type: 'string', default: '' }, chromium: { type: 'string', default: '' },
    'no-idle': { type: 'boolean' }, runs: { type: 'string', default: '7' }, warm: { type: 'string', default: '1' },
    down: { type: 'string', default: '10000' }, up: { type: 'string', default: '5000' }, queue: { type: 'string', default: '131072' },
    congestion: { type: 'string', default: 'cubic' }, naive: { type: 'string', default: 'always' }, build: { type: 'string', default: 'build' },
    report: { type: 'string', default: path.join(ROOT, 'bench/report/push') }, output: { type: 'string', short: 'o', default: 'table' },
    quick: { type: 'boolean' }, help: { type: 'boolean', short: 'h' },
  } });
  if (values.help) {
    console.log(HELP);
    process.exit();
  }
  const quick = values.quick && { cells: '^rtt100-think200$', strategies: '^(none|hints|naive|decided|back-decided)$', chromium: '^$', 'no-idle': true, runs: '1', warm: '0' };
  const o = { ...values, ...quick };
  const matches = (regex) => ({ name }) => new RegExp(regex).test(name);
  const isInstalled = (process.env.PATH ?? '').split(':').some((dir) => fs.existsSync(path.join(dir, 'chromium')));
  const cells = [...CELLS.filter(matches(o.cells)), ...(o['no-idle'] ? [] : [IDLE])];
  return {
    ...o, runs: Number(o.runs), warm: Number(o.warm), build: path.resolve(ROOT, o.build),
    link: { down: Number(o.down), up: Number(o.up), queue: Number(o.queue), congestion: o.congestion },
    cells: cells.map((cell) => ({ ...cell, clients: isInstalled && matches(o.chromium)(cell) ? ['scripted', 'chromium'] : ['scripted'] })),
    strategies: STRATEGIES.filter(matches(o.strategies)).map((s) => (s.push === 'always' ? { ...s, push: o.naive } : s)),
  };
}

/** Where the program does not know a strategy's policy, the older one stands in for it. */
function known(strategies, portico) {
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'portico-bench-'));
  try {
    return strategies.map((s) => {
      if (!s.instead) return s;
      const manifest = path.join(home, 'portico.yaml');
      fs.writeFileSync(manifest, JSON.stringify({ listen: { http: '127.0.0.1:1' }, apps: { a: { directory: HERE, command: 'node worker.mjs', hosts: ['a.bench.test'], push: s.push } } }));
      try {
        execFileSync(portico, ['up', '--manifest', manifest, '--check'], { stdio: 'ignore' });
        return s;
      } catch {
        return { ...s, push: s.instead, standsIn: true };
      }
    });
  } finally {
    fs.rmSync(home, { recursive: true });
  }
}

/** What the shaper really does: delay, loss, rate. */
async function selfCheck(way, server, client, quick) {
  const ports = await server.call('probe');
  const rows = [];
  for (const rtt of quick ? [100] : [20, 50, 100, 200]) {
    await way.set({ rtt, loss: 0 });
    rows.push({ what: 'round trip, ms', wanted: rtt, is: await client.call('rtt', ports) });
  }
  for (const loss of quick ? [1] : [0, 1]) {
    await way.set({ rtt: 20, loss, seed: 1 });
    rows.push({ what: 'loss down, %', wanted: loss, is: await client.call('loss', ports) });
  }
  if (!quick) {
    await way.set({ rtt: 20, loss: 0 });
    rows.push({ what: 'TCP payload down, kbit/s', wanted: way.rates.down * 1448 / 1500, is: await client.call('rate', ports) });
  }
  await server.call('probeEnd');
  return rows;
}

/** One visit: {...what the client saw, made, wire, lost, overflowed, late_us}. */
async function measure(kind, strategy, { way, server, client }) {
  const app = strategy.name;
  let result;
  try {
    if (strategy.returning) await client.call('visit', { app, accepts: strategy.accepts });
    await server.call('made', app);
    await way.count();
    result = kind === 'chromium' ? await client.call('browse', { app })
      : await (strategy.returning ? client.call('revisit') : client.call('visit', { app, accepts: strategy.accepts }));
  } catch (error) {
    return { failed: error.message.split('\n')[0] };
  }
  const { down, up } = await way.count();
  return {
    ...result, made: await server.call('made', app), wire: down.octets, lost: down.lost + up.lost,
    overflowed: down.overflowed + up.overflowed, late_us: Math.max(down.late_us, up.late_us),
  };
}

/** All strategies of a cell, by turns: kind -> strategy -> results. */
async function runCell(cell, { strategies, runs, warm }, lab, { say, print }) {
  const { clients } = cell;
  const results = Object.fromEntries(clients.map((kind) => [kind, {}]));
  await lab.way.set(cell);
  const at = await lab.server.call('start', { strategies, think: cell.think });
  await lab.client.call('start', { at, browser: clients.includes('chromium') });
  const turns = clients.flatMap((kind) => strategies.filter((s) => kind === 'scripted' || s.chromium).map((s) => [kind, s]));
  for (let run = -warm; run < runs; run++) {
    for (const [kind, strategy] of turns) {
      await lab.way.set({ ...cell, seed: run + warm });
      const result = await measure(kind, strategy, lab);
      if (result.failed) print(`${cell.name}, run ${run + 1}, ${kind}, ${strategy.name}: ${result.failed}`);
      if (run >= 0) (results[kind][strategy.name] ??= []).push(result);
    }
    say(`${cell.name}: run ${run + 1} of ${runs}`);
  }
  const pushes = {};
  for (const { name } of strategies) pushes[name] = await lab.server.call('pushes', name);
  await lab.client.call('stop');
  await lab.server.call('stop');
  return { ...cell, results, pushes };
}

const json = (report) => JSON.stringify(report, (key, value) => (typeof value === 'number' ? Math.round(value * 10) / 10 : value));

async function main() {
  const o = options();
  if (process.getuid() !== 0 || !fs.existsSync('/dev/net/tun')) {
    console.error('bench/push: needs root and /dev/net/tun');
    process.exit(SKIPPED);
  }
  process.env.PORTICO = path.join(o.build, 'src/bin/portico');
  const strategies = known(o.strategies, process.env.PORTICO);
  const say = process.stderr.isTTY ? (text) => process.stderr.write(`\r\x1b[K${text}`) : () => {};
  const printed = [];
  const print = (text) => {
    printed.push(text, '\n');
    if (o.output !== 'json') console.log(text);
  };
  const way = await Path.open(path.join(o.build, 'bench/shaper'), { ...o.link, seconds: 4 * 3600 });
  const server = new Peer(way.serverNet, path.join(HERE, 'server.mjs')), client = new Peer(way.clientNet, path.join(HERE, 'client.mjs'));
  const report = {
    commit: execFileSync('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD'], { encoding: 'utf8' }).trim(),
    processors: os.cpus().length, load: os.loadavg()[0], runs: o.runs, link: o.link,
    strategies: strategies.map(({ name, title, push, mode, accepts, standsIn }) => ({ name, title, push, mode, accepts, standsIn })), cells: [],
  };
  try {
    report.path = await selfCheck(way, server, client, o.quick);
    print(`commit ${report.commit}; ${report.processors} processors, load ${report.load.toFixed(1)}; ${o.link.down}/${o.link.up} kbit/s, queue ${o.link.queue} octets, ${o.link.congestion}; ${o.runs} runs`);
    for (const { what, wanted, is } of report.path) print(`  ${what}: ${is.toFixed(1)} (wanted ${wanted.toFixed(1)})`);
    for (const { name, push } of strategies.filter(({ standsIn }) => standsIn)) print(`  ${name}: this program knows no such policy; "${push}" stands in for it`);
    for (const cell of o.cells) {
      const done = summarize(await runCell(cell, { ...o, strategies }, { way, server, client }, { say, print }));
      say('');
      report.cells.push(done);
      print(table(done));
    }
    print(verdicts(report.cells));
    fs.mkdirSync(o.report, { recursive: true });
    fs.writeFileSync(path.join(o.report, 'table.txt'), printed.join(''));
    for (const [name, text] of draw(report)) fs.writeFileSync(path.join(o.report, name), text);
    for (const cell of report.cells) for (const kind of Object.values(cell.results)) for (const all of Object.values(kind)) for (const one of all) delete one.arrivals;
    fs.writeFileSync(path.join(o.report, 'results.json'), `${json(report)}\n`);
    if (o.output === 'json') console.log(json(report));
  } finally {
    await Promise.all([client.end(), server.end()]);
    way.close();
  }
}

await main().then(() => process.exit(), (error) => {
  console.error(`bench/push: ${error.message}`);
  process.exit(1);
});
