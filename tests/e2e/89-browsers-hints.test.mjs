// SPDX-License-Identifier: Apache-2.0
// Browsers refuse push and act on 103.  What a worker pushes, a browser is hinted; it asks, and gets
// what the worker made already, so the work is done once.  Chromium, and Firefox where it is installed.
import assert from 'node:assert/strict';
import test from 'node:test';
import { absent, open } from './browsers.mjs';
import { Portico, check, until, worker } from './lib.mjs';

let p;

check('starts', async () => {
  const apps = {};
  for (const app of ['chromium-push', 'chromium-hint', 'firefox-push', 'firefox-hint']) {
    apps[app] = worker('hinting', `${app}.localhost`, { http20ProxyFlag: 1 });
  }
  p = await Portico.start({ loops: 1, apps });
}, 60);

const result = async (host) => JSON.parse((await p.h1(host, '/result')).body);

/** Opens the page and gives the report that it sent, the worker's counts before and after, and what
 * `while_` gave.  Where the machine is very busy, a browser that has just been started may take a 103
 * for nothing: then another one is asked. */
async function visit(browser, host, where, while_ = () => {}, browsers = 10) {
  const before = await result(host);
  const close = await open(browser, p, host, where);
  try {
    const during = await while_();
    const after = await until(`${host}${where} reports`, async () => {
      const now = await result(host);
      return now.reports.length > before.reports.length && now;
    }, browsers > 1 ? 15 : 60);
    return { report: after.reports.at(-1), asked: after.asked.slice(before.asked.length), pushed: after.pushed - before.pushed, during };
  } catch (error) {
    if (browsers === 1) throw error;
  } finally {
    await close();
  }
  return visit(browser, host, where, while_, browsers - 1);
}

for (const browser of ['chromium', 'firefox']) {
  const options = { timeout: 480_000, skip: absent[browser] };

  test(`${browser}: what the worker pushes is hinted, asked for and there already`, options, async () => {
    const host = `${browser}-push.localhost`;
    const fate = async (name) => await p.metric('portico_push_fates_total', { app: `${browser}-push`, fate: name });
    const { report, asked, pushed } = await visit(browser, host, '/push', async () => {
      const before = await fate('collected');
      try {
        await until('the hint is acted on', async () => await fate('collected') > before, 15);
      } finally {
        await p.h1(host, '/go');
      }
    });
    assert.equal(pushed, 1);
    assert.equal(asked.filter((where) => where === '/hinted.css').length, 0, 'the worker was asked for it, too');
    assert.deepEqual(report, { initiator: 'early-hints', protocol: 'h2', whole: true, colour: 'rgb(1, 2, 3)' });
    assert.equal(await fate('completed'), 0, 'nothing is pushed');
  });

  test(`${browser}: a 103 of the worker is acted on before the response`, options, async () => {
    const { report, asked } = await visit(browser, `${browser}-hint.localhost`, '/hint');
    assert.deepEqual(report, { initiator: 'early-hints', protocol: 'h2', whole: true, colour: 'rgb(1, 2, 3)' });
    assert.equal(asked.filter((where) => where === '/hinted.css').length, 1, 'fetched once');
  });
}

check('ends clean', () => p.stop());
