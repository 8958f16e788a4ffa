// SPDX-License-Identifier: Apache-2.0
// What only a browser can show: an early hint is acted on before the response is there and its
// resource used once; a WebSocket goes over HTTP/1.1 and over HTTP/2.
import assert from 'node:assert/strict';
import test from 'node:test';
import { absent, open } from './browsers.mjs';
import { Portico, check, until, worker } from './lib.mjs';

const skip = absent.chromium;
let p;

check('starts', async () => {
  p = await Portico.start({
    apps: {
      two: worker('page', 'two.localhost'),
      one: worker('page', 'one.localhost', { http20Enabled: false }),
    },
  });
}, 60);

/** Opens a page and gives the report that it sent, and what the worker was asked for.  Where the
 * machine is very busy, a browser that has just been started takes a 103 that comes at once for
 * nothing, one time in three, and then the page waits for ever: another browser is asked. */
async function visit(host, where, browsers = 10) {
  const close = await open('chromium', p, host, where);
  try {
    let result;
    await until(`${host}${where} reports`, async () => {
      result = JSON.parse((await p.h1(host, '/result')).body);
      return result.reports.length > 0;
    }, browsers > 1 ? 12 : 60);
    return { ...result, report: result.reports.at(-1) };
  } catch (error) {
    if (browsers === 1) throw error;
  } finally {
    await close();
  }
  return visit(host, where, browsers - 1);
}

/** The line of the access log, which comes when the exchange has ended. */
const logged = (host, where) => until(`${where} is in the log`, () => p.access.filter((line) => line.startsWith('{'))
  .map((line) => JSON.parse(line)).find((line) => line.host === p.authority(host) && line.path === where));

test('HTTP/2: an early hint is acted on before the response, and used once; WebSocket by extended CONNECT', { timeout: 480_000, skip }, async () => {
  const { report, asked } = await visit('two.localhost', '/hint');
  assert.equal(report.protocol, 'h2');
  assert.equal(report.initiator, 'early-hints');
  assert.ok(report.interim, 'firstInterimResponseStart is set');
  assert.equal(report.colour, 'rgb(1, 2, 3)');
  assert.equal(asked.filter((where) => where === '/hinted.css').length, 1, 'fetched once');
  assert.equal(report.echo, 'hello from the page');
  assert.equal(report.close, 1000);
  const socket = await logged('two.localhost', '/echo');
  assert.equal(socket.protocol, 'h2');
  assert.equal(socket.method, 'CONNECT');
});

test('HTTP/1.1: no 103, and WebSocket by Upgrade', { timeout: 480_000, skip }, async () => {
  const { report, asked } = await visit('one.localhost', '/plain');
  assert.equal(report.protocol, 'http/1.1');
  assert.notEqual(report.initiator, 'early-hints');
  assert.equal(report.colour, 'rgb(1, 2, 3)');
  assert.equal(asked.filter((where) => where === '/hinted.css').length, 1);
  assert.equal(report.echo, 'hello from the page');
  assert.equal(report.close, 1000);
  const socket = await logged('one.localhost', '/echo');
  assert.equal(socket.protocol, 'http/1.1');
  assert.equal(socket.status, 101);
});

check('ends clean', () => p.stop());
