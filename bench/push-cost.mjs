#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// What push costs an app that does not use it: edge's CPU time a request, with the policy off, with
// auto, with auto where the app has once promised something, and of other builds beside them.
//
//   bench/push-cost.mjs [--runs 7] [--requests 80000] [--connections 50] [--streams 32] [BUILD...]
//
// BUILD: another program to compare with, at its default policy.  Everything is interleaved, and CPU
// time is the scheduler's (/proc/PID/task/*/schedstat), so a machine that does other things, too, will
// do; below 3 % nothing has been shown.  Needs a release build and h2load.
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Portico, ROOT, fetch2, scratch, until } from '../tests/e2e/lib.mjs';

const { values, positionals: others } = parseArgs({
  allowPositionals: true,
  options: {
    runs: { type: 'string', default: '7' }, requests: { type: 'string', default: '80000' },
    connections: { type: 'string', default: '50' }, streams: { type: 'string', default: '32' },
  },
});
const [runs, requests] = [Number(values.runs), Number(values.requests)];
process.setMaxListeners(50);
const ours = path.join(ROOT, 'build/src/bin/portico');
const HOST = 'bench.localhost';

const content = path.join(scratch(), 'content');
fs.mkdirSync(content);
for (const name of ['1k', 'page']) fs.writeFileSync(path.join(content, name), 'x'.repeat(1024));

/** Of a burst of new connections one worker's backlog takes some thousand: so each Portico has two. */
async function startWorker() {
  const socket = path.join(scratch(), 'worker.sock');
  const worker = spawn(ours, ['static', content], { stdio: 'ignore', env: { ...process.env, PORTICO_SOCKET: socket } });
  process.on('exit', () => worker.kill());
  await until('the worker listens', () => fs.existsSync(socket));
  fs.chmodSync(socket, 0o666); // edge is another user
  return { socket, worker };
}

const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

/** Nanoseconds of CPU that all threads of a process have had. */
const cpu = (pid) => fs.readdirSync(`/proc/${pid}/task`)
  .reduce((sum, task) => sum + Number(fs.readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]), 0);

async function start(name, program, push, promises = false) {
  const workers = [await startWorker(), await startWorker()];
  const p = await Portico.start({
    loops: 1, accessLog: 'off', apps: { bench: { upstreams: workers.map(({ socket }) => `unix:${socket}`), hosts: [HOST], ...(push && { push }) } },
  }, { program });
  await until('its certificate is made', () => fs.existsSync(p.caFile));
  const session = await p.h2(HOST);
  await until('the worker is reached', async () => (await fetch2(session, '/1k')).status === 200);
  if (promises) await fetch2(session, '/page');
  session.destroy();
  return { name, p, workers, spent: [] };
}

function load({ p, spent }) {
  const edge = p.role('edge'), before = cpu(edge);
  const said = execFileSync('h2load', ['-t1', `-c${values.connections}`, `-m${values.streams}`, `-n${requests}`,
    `--connect-to=127.0.0.1:${p.ports.https}`, `https://${p.authority(HOST)}/1k`], { encoding: 'utf8' });
  if (!said.includes(`${requests} succeeded`)) throw new Error(said);
  spent.push((cpu(edge) - before) / requests / 1000);
}

const all = [
  await start('off', ours, 'off'),
  await start('auto', ours, 'auto'),
  await start('auto, has promised', ours, { preload: { '/page': ['/other'] } }, true),
];
for (const program of others) all.push(await start(program, program));

for (const one of all) {
  load(one);
  one.spent.length = 0; // the first warms up
}
for (let i = 0; i < runs; i++) for (const one of i % 2 ? [...all].reverse() : all) load(one);

console.log(`1 KiB, HTTP/2 over TLS, ${values.connections} x ${values.streams}, ${runs} runs of ${requests}: microseconds of edge's CPU a request`);
for (const { name, spent } of all) {
  const ratios = spent.map((value, i) => value / all[0].spent[i]);
  console.log(`${name.padEnd(20)} median ${median(spent).toFixed(2)} (${Math.min(...spent).toFixed(2)} to ${Math.max(...spent).toFixed(2)}), to off ${median(ratios).toFixed(3)}`);
}
for (const { p, workers } of all) {
  await p.stop();
  for (const { worker } of workers) worker.kill();
}
