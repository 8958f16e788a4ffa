// SPDX-License-Identifier: Apache-2.0
'use strict';

// Which process served this, and how the page arrived.
function tellServer() {
  fetch('/whoami').then((response) => response.json()).then((who) => {
    const place = document.getElementById('server');
    place.textContent = `served by ${who.instance}, process ${who.pid}, its request number ${who.requests}`;
    place.hidden = false;
  }).catch(() => {});
}

function tellArrival() {
  const [page] = performance.getEntriesByType('navigation');
  const parts = performance.getEntriesByType('resource').filter((part) => !part.name.endsWith('/whoami'));
  const all = [page, ...parts];
  const octets = all.reduce((sum, part) => sum + (part.encodedBodySize || 0), 0);
  const last = Math.max(...all.map((part) => part.responseEnd));
  const spoken = { h2: 'HTTP/2', 'http/1.1': 'HTTP/1.1' }[page.nextHopProtocol] || page.nextHopProtocol;
  const hinted = parts.filter((part) => part.initiatorType === 'early-hints').length;
  const place = document.getElementById('arrival');
  place.textContent = `This page came over ${spoken}: ${all.length} parts, ${Math.round(octets / 1024)} KiB, `
    + `in ${Math.round(last)} ms${hinted ? `, ${hinted} of them by early hints` : ''}.`;
  place.hidden = false;
}

window.addEventListener('load', () => {
  tellArrival();
  tellServer();
});

// In a room: arrow keys walk on, space draws another.
const keys = { ArrowLeft: 'before', ArrowRight: 'after', ' ': 'another' };
window.addEventListener('keydown', (event) => {
  const link = keys[event.key] && document.getElementById(keys[event.key]);
  if (!link || event.ctrlKey || event.metaKey || event.altKey || event.target !== document.body) return;
  event.preventDefault();
  link.click();
});
