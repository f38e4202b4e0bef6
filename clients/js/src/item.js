// One notification in the list: an article with a link, its words, and what can be done with it.

import { h, icon, safeUrl } from './dom.js';

/** @import { Notification } from '../types/index.js' */
/** @import { Words } from './texts.js' */

const ACTIONS = ['read', 'archive', 'delete'];

/**
 * What never changes of a notification.
 * @param {Notification} row
 * @param {string} prefix of its ids
 */
export function createItem(row, prefix) {
  const { author, type, title, message } = row.event;
  const letter = author ? ([...author.name][0] ?? '') : '';
  const avatar = h('span', { class: 'avatar', part: 'avatar', 'aria-hidden': 'true' }, letter);
  if (!letter) avatar.append(icon('bell'));
  avatar.style.setProperty('--_hue', String(hue(author ? author.name : type.name)));
  const ids = { name: `${prefix}-name`, message: `${prefix}-message`, meta: `${prefix}-meta` };
  const named = { class: 'name', part: 'item-title', id: ids.name };
  const url = safeUrl(row.event.url);
  const name = url ? h('a', { ...named, href: url, rel: 'noopener' }) : h('span', named);
  // In whatever direction it is written, it stands where the page's own text does.
  name.append(h('bdi', {}, title || type.title));
  const body = h('div', { class: 'body' }, name);
  if (message) {
    const part = { class: 'message', part: 'item-message', id: ids.message };
    body.append(h('p', part, h('bdi', {}, message)));
  }
  const meta = h('span', { class: 'meta', part: 'item-meta', id: ids.meta });
  const buttons = ACTIONS.map((act) => h('button', { type: 'button', 'data-act': act }));
  const actions = h('span', { class: 'actions', part: 'actions' }, ...buttons);
  body.append(h('div', { class: 'foot' }, meta, actions));
  const dot = h('span', { class: 'dot', part: 'dot', 'aria-hidden': 'true' });
  const said = { 'aria-labelledby': ids.name, 'aria-describedby': ids.meta };
  if (message) said['aria-describedby'] = `${ids.message} ${ids.meta}`;
  return h('article', { class: 'item', 'data-id': row.id, ...said }, avatar, body, dot);
}

/**
 * What its state changes.
 * @param {HTMLElement} item
 * @param {Notification} row
 * @param {Words} words
 */
export function updateItem(item, row, words) {
  const isRead = row.read_at !== null;
  const isAway = row.archived_at !== null;
  item.classList.toggle('unread', !isRead);
  item.setAttribute('part', isRead ? 'item' : 'item item-unread');
  labelItem(item, row, words);
  setButton(item, 'read', isRead ? 'dot' : 'check', words.say(isRead ? 'mark_unread' : 'mark_read'));
  const archive = isAway ? 'unarchive' : 'archive';
  setButton(item, 'archive', archive, words.say(archive));
  setButton(item, 'delete', 'delete', words.say('delete'));
}

/**
 * @param {HTMLElement} item
 * @param {string} act
 * @param {Parameters<typeof icon>[0]} picture
 * @param {string} text
 */
function setButton(item, act, picture, text) {
  const button = /** @type {HTMLElement} */ (item.querySelector(`[data-act="${act}"]`));
  if (button.title === text) return;
  button.title = text;
  button.setAttribute('aria-label', text);
  button.replaceChildren(icon(picture));
}

/**
 * The line below: how long ago, of which type.
 * @param {HTMLElement} item
 * @param {Notification} row
 * @param {Words} words
 */
export function labelItem(item, row, words) {
  const { timestamp, type, priority, title } = row.event;
  const at = new Date(timestamp);
  const time = h('time', { datetime: timestamp, title: words.date(at), dir: 'auto' }, words.ago(at));
  /** @type {(string | Node)[]} */
  const parts = [];
  if (!row.read_at) parts.push(h('span', { class: 'hidden' }, `${words.say('is_unread')}, `));
  if (priority === 'high') parts.push(h('span', { class: 'high' }, words.say('high')), ' · ');
  parts.push(time);
  if (title) parts.push(' · ', h('bdi', {}, type.title));
  item.querySelector('.meta')?.replaceChildren(...parts);
}

/**
 * Whether Tab stops at it and at what is in it.
 * @param {HTMLElement} item
 * @param {boolean} isReachable
 */
export function makeReachable(item, isReachable) {
  item.tabIndex = isReachable ? 0 : -1;
  for (const inner of item.querySelectorAll('a, button')) {
    /** @type {HTMLElement} */ (inner).tabIndex = isReachable ? 0 : -1;
  }
}

/** The same colour for the same name. @param {string} name */
function hue(name) {
  let sum = 7;
  for (const character of name) sum = (sum * 31 + (character.codePointAt(0) ?? 0)) % 9973;
  return (sum * 37) % 360;
}
