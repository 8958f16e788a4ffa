// SPDX-License-Identifier: Apache-2.0
// The pages as text.  Each page also says which resources it needs: that is what gets pushed.
import { WORKS } from './art.mjs';

const ABOVE_THE_FOLD = 6;

export const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

function page({ title, body, classes = '' }) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<meta name="description" content="Pictures drawn by rule and chance, served and pushed by Portico.">
<link rel="icon" href="/favicon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
<script src="/script.js" defer></script>
</head>
<body class="${classes}">
${body}
<footer>
  <p>Every picture here is drawn by the server from a number. Nothing was loaded, nothing is stored.</p>
  <p class="arrival" id="arrival" hidden></p>
  <p class="server" id="server" hidden></p>
</footer>
</body>
</html>
`;
}

export function hall() {
  const cards = WORKS.map((work, i) => `  <li>
    <a href="/art/${work.id}">
      <img src="/img/${work.id}.svg" width="800" height="800" alt="${escape(work.about)}"${i < ABOVE_THE_FOLD ? '' : ' loading="lazy"'}>
      <span class="label"><strong>${escape(work.title)}</strong><span>${escape(work.about)}</span></span>
    </a>
  </li>`).join('\n');
  return {
    body: page({
      title: 'Gallery',
      classes: 'hall',
      body: `<header>
  <h1>Rule <em>&amp;</em> Chance</h1>
  <p>Twelve pictures that a few lines of code draw anew from a number.
  The style sheet, the script and the first pictures are pushed: they set out before you ask.</p>
</header>
<main>
<ul class="works">
${cards}
</ul>
</main>`,
    }),
    needs: ['/style.css', '/script.js', ...WORKS.slice(0, ABOVE_THE_FOLD).map(({ id }) => `/img/${id}.svg`)],
  };
}

/** seed: null for the picture that hangs in the hall. */
export function room(work, seed) {
  const place = WORKS.indexOf(work);
  const before = WORKS[(place + WORKS.length - 1) % WORKS.length];
  const after = WORKS[(place + 1) % WORKS.length];
  const picture = `/img/${work.id}.svg${seed === null ? '' : `?seed=${seed}`}`;
  const another = ((seed ?? work.seed) * 7 + 13) % 100000;
  return {
    body: page({
      title: `${work.title} · Gallery`,
      classes: 'room',
      body: `<main>
<figure>
  <img src="${picture}" width="800" height="800" alt="${escape(work.about)}">
  <figcaption>
    <a class="back" href="/">Rule &amp; Chance</a>
    <h1>${escape(work.title)}</h1>
    <p>${escape(work.about)}</p>
    <p class="number">${seed === null ? 'As it hangs in the hall' : `Number ${seed}`}</p>
    <p><a class="button" id="another" href="/art/${work.id}?seed=${another}">Draw another</a></p>
    <nav>
      <a id="before" rel="prev" href="/art/${before.id}">← ${escape(before.title)}</a>
      <a id="after" rel="next" href="/art/${after.id}">${escape(after.title)} →</a>
    </nav>
  </figcaption>
</figure>
</main>`,
    }),
    needs: ['/style.css', '/script.js', picture],
  };
}

export function missing(path) {
  return page({
    title: 'Not here · Gallery',
    classes: 'missing',
    body: `<main><h1>An empty frame</h1><p>Nothing hangs at <code>${escape(path)}</code>.</p><p><a class="button" href="/">To the hall</a></p></main>`,
  });
}
