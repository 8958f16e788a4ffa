// SPDX-License-Identifier: Apache-2.0
'use strict';

const at = (id) => document.getElementById(id);
const USUAL = ['lobby', 'push', 'off-topic'];
const room = /^#([a-z0-9-]{1,32})$/.exec(location.hash)?.[1] ?? 'lobby';
const seen = new Set(); // ids: after a reconnection the room's messages come again
let name = localStorage.getItem('name') ?? `guest-${Math.floor(Math.random() * 900 + 100)}`;
let socket, wait = 0;

// ---- what is shown -----------------------------------------------------------------------------

function element(tag, text, more = {}) {
  const made = Object.assign(document.createElement(tag), more);
  if (text !== undefined) made.textContent = text;
  return made;
}

function append(item) {
  const list = at('messages');
  const follows = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
  list.append(item);
  if (follows) list.scrollTop = list.scrollHeight;
}

function showMessage({ id, at: time, name: who, text, via }) {
  if (seen.has(id)) return;
  seen.add(id);
  const item = element('li', undefined, { className: who === name ? 'mine' : '' });
  const head = element('header');
  const when = new Date(time);
  head.append(element('b', who), element('time', when.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }),
    { dateTime: when.toISOString(), title: `through ${via}` }));
  item.append(head, element('p', text));
  append(item);
}

const note = (text) => append(element('li', text, { className: 'note' }));

function showState(text, isOpen) {
  at('state').textContent = text;
  at('state').className = isOpen ? 'open' : '';
  at('text').disabled = !isOpen;
  document.querySelector('#say button').disabled = !isOpen;
}

// ---- the connection ----------------------------------------------------------------------------

function connect() {
  const url = new URL('/ws', location);
  url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
  url.search = new URLSearchParams({ room, name });
  const mine = socket = new WebSocket(url);
  mine.onmessage = ({ data }) => {
    const value = JSON.parse(data);
    if (value.welcome) {
      wait = 0;
      showState('connected', true);
      at('served').textContent = `You talk through ${value.welcome}.`;
      value.messages.forEach(showMessage);
      at('text').focus();
    } else if (value.message) {
      showMessage(value.message);
    } else if (value.people) {
      at('people').replaceChildren(...value.people.map((who) => element('li', who === name ? `${who} (you)` : who)));
    } else if (value.slow) {
      note('That was too fast for the others to read: it was not sent.');
      at('text').value ||= value.text;
    }
  };
  mine.onclose = ({ code }) => {
    if (mine !== socket) return; // a newer one has taken its place
    // An instance that restarts says so; the next one is usually there at once.
    wait = code === 1012 && wait === 0 ? 100 : Math.min(15_000, Math.max(1000, wait * 2));
    showState(navigator.onLine ? 'connecting again' : 'no network', false);
    setTimeout(connect, wait * (0.8 + Math.random() * 0.4));
  };
}

at('say').onsubmit = (event) => {
  event.preventDefault();
  const text = at('text').value.trim();
  if (!text || socket.readyState !== WebSocket.OPEN) return;
  socket.send(text);
  at('text').value = '';
};

at('name').onchange = () => {
  const wanted = at('name').value.trim();
  if (!wanted) return;
  name = wanted;
  localStorage.setItem('name', name);
  const old = socket;
  connect();
  old.close();
};
at('who').onsubmit = (event) => {
  event.preventDefault();
  at('text').focus();
};
at('other').onsubmit = (event) => {
  event.preventDefault();
  if (at('new-room').value) location.hash = at('new-room').value;
};
addEventListener('hashchange', () => location.reload());

at('name').value = name;
at('room').textContent = document.title = room;
at('rooms').append(...[...new Set([...USUAL, room])].map((each) => {
  const item = element('li'), link = element('a', `# ${each}`, { href: `#${each}` });
  if (each === room) link.setAttribute('aria-current', 'page');
  item.append(link);
  return item;
}));
connect();
