// SPDX-License-Identifier: Apache-2.0
'use strict';

for (const form of document.querySelectorAll('form[data-ask]')) {
  form.addEventListener('submit', (event) => {
    if (!window.confirm(form.dataset.ask)) event.preventDefault();
  });
}

// The sheet takes the colour that is chosen, and Ctrl+Enter saves.
const edit = document.querySelector('form.edit');
if (edit) {
  edit.addEventListener('change', (event) => {
    if (event.target.name === 'colour') edit.className = `edit ${event.target.value}`;
  });
  edit.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) edit.requestSubmit();
  });
}
