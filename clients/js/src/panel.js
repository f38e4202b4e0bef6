// The parts of the component that are always there, and how they hang together.

import { h, icon } from './dom.js';

/** @import { Words } from './texts.js' */

/** @typedef {'inbox' | 'unread' | 'archived'} Shelf */
/** @typedef {ReturnType<typeof drawPanel>} Parts */

/** What can be shown, and the text of its button. @type {[Shelf, string][]} */
const SHELVES = [
  ['inbox', 'all'],
  ['unread', 'unread'],
  ['archived', 'archived'],
];

/**
 * @param {Words} words
 * @param {string} prefix of all ids
 * @param {boolean} isInline
 */
export function drawPanel(words, prefix, isInline) {
  const say = (/** @type {string} */ name) => words.say(name);
  const id = (/** @type {string} */ name) => `${prefix}-${name}`;
  const badge = h('span', { class: 'badge', part: 'badge', 'aria-hidden': 'true', hidden: true });
  const bell = h(
    'button',
    {
      class: 'bell',
      part: 'bell',
      type: 'button',
      'aria-haspopup': 'dialog',
      'aria-expanded': 'false',
      'aria-controls': id('panel'),
      'aria-label': say('bell_zero'),
    },
    icon('bell', 'bell-icon'),
    badge,
  );
  const readAll = h(
    'button',
    { class: 'tool all', part: 'read-all', type: 'button', title: say('mark_all_read') },
    icon('checks'),
    h('span', { class: 'label' }, say('mark_all_read')),
  );
  readAll.setAttribute('aria-label', say('mark_all_read'));
  const close = h('button', { class: 'tool close', type: 'button', 'aria-label': say('close') });
  close.append(icon('close'));
  const number = h('span', { class: 'number' });
  const shelves = SHELVES.map(([shelf, text]) => {
    const button = h('button', { type: 'button', part: 'shelf', 'data-shelf': shelf }, say(text));
    if (shelf === 'unread') button.append(number);
    return button;
  });
  const types = h('select', { class: 'types', part: 'types', 'aria-label': say('type') });
  types.append(h('option', { value: '' }, say('all_types')));
  types.hidden = true;
  const banner = h('div', { class: 'banner', part: 'banner', role: 'status', hidden: true });
  const list = h('div', { class: 'list', part: 'list', role: 'feed', 'aria-label': say('title') });
  const tail = h('div', { class: 'tail', part: 'tail', hidden: true });
  const empty = h('div', { class: 'empty', part: 'empty', hidden: true });
  const loading = h('div', { class: 'loading', part: 'loading', hidden: true });
  loading.append(h('span', { class: 'hidden', role: 'status' }, say('loading')));
  for (let i = 0; i < 5; i += 1) {
    const bars = [1, 2, 3, 4].map(() => h('span'));
    loading.append(h('div', { class: 'skeleton', 'aria-hidden': 'true' }, ...bars));
  }
  const scroller = h('div', { class: 'scroller', part: 'scroller' }, list, tail);
  const news = h('button', { class: 'news', part: 'news', type: 'button', hidden: true });
  const toast = h('div', { class: 'toast', part: 'toast', role: 'status', hidden: true });
  const panel = h(
    'section',
    {
      class: 'panel',
      part: 'panel',
      id: id('panel'),
      role: isInline ? 'region' : 'dialog',
      'aria-labelledby': id('title'),
      tabindex: -1,
      popover: !isInline && 'manual',
    },
    h(
      'div',
      { class: 'head', part: 'header' },
      h('h2', { id: id('title'), part: 'title' }, say('title')),
      readAll,
      close,
    ),
    h(
      'div',
      { class: 'filters', part: 'filters' },
      h('div', { class: 'shelves', role: 'group', 'aria-label': say('show') }, ...shelves),
      types,
    ),
    banner,
    h('div', { class: 'stage' }, news, scroller, empty, loading, toast),
  );
  const live = h('div', { class: 'hidden', 'aria-live': 'polite' });
  return {
    badge,
    banner,
    bell,
    close,
    empty,
    list,
    live,
    loading,
    news,
    number,
    panel,
    readAll,
    scroller,
    shelves,
    tail,
    toast,
    types,
  };
}
