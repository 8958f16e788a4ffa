// SPDX-License-Identifier: Apache-2.0
// What is compared: the cells (a path and a worker's thinking time) and the strategies.

const CELLS = [20, 100, 200].flatMap((rtt) => [0, 200].flatMap((think) => [0, 1].map((loss) => ({
  name: `rtt${rtt}-think${think}${loss ? '-lossy' : ''}`, rtt, think, loss,
}))));

/** H2O's example: 50 ms away, a worker that thinks for 200 ms, so four round trips in which nothing
 *  is on its way.  Beside the cells, not one of them. */
const IDLE = { name: 'idle', rtt: 50, think: 200, loss: 0 };

// What a client makes of help.  Node's http2 and Java take pushes and know no hints; browsers the reverse.
const PUSHED = { push: true, hints: false };
const BROWSER = { push: false, hints: true };

/** push: of the app's manifest (where this Portico does not know it, the older `instead`);
 *  mode: what the worker does (worker.mjs); accepts: the scripted client; chromium: it is run with
 *  Chromium too; returning: the client was there before, and has everything but the document. */
const STRATEGIES = [
  { name: 'none', title: 'no help', push: 'off', mode: 'none', accepts: BROWSER, chromium: true },
  { name: 'preload', title: 'preload fields', push: 'off', mode: 'link', accepts: BROWSER, chromium: true },
  { name: 'hints', title: '103', push: 'off', mode: 'hints', accepts: BROWSER, chromium: true },
  { name: 'parked', title: 'parked', push: 'auto', mode: 'push-critical', accepts: BROWSER, chromium: true },
  { name: 'inlined', title: 'inlined', push: 'off', mode: 'inline', accepts: BROWSER, chromium: true },
  { name: 'link-push', title: '103, pushed', push: 'auto', mode: 'hints', accepts: PUSHED },
  { name: 'naive', title: 'naive push', push: 'always', instead: 'auto', mode: 'push-all', accepts: PUSHED },
  { name: 'decided', title: 'decided push', push: 'auto', mode: 'push-critical', accepts: PUSHED },
  { name: 'decided-all', title: 'decided, all offered', push: 'auto', mode: 'push-all', accepts: PUSHED },
  { name: 'back-none', title: 'returning, no help', push: 'off', mode: 'none', accepts: BROWSER, returning: true },
  { name: 'back-hints', title: 'returning, 103', push: 'off', mode: 'hints', accepts: BROWSER, returning: true },
  { name: 'back-naive', title: 'returning, naive', push: 'always', instead: 'auto', mode: 'push-all', accepts: PUSHED, returning: true },
  { name: 'back-decided', title: 'returning, decided', push: 'auto', mode: 'push-critical', accepts: PUSHED, returning: true },
];

/** With whom a strategy is compared. */
const baseline = (strategy) => (strategy.returning ? 'back-none' : 'none');

export { CELLS, IDLE, STRATEGIES, baseline };
