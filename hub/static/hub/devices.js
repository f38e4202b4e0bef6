/* One's own devices: the list, and for each a name, a test and an end. */

import { Outcome } from './outcome.js';

const LOOK = 500; // ms between two looks at a delivery
const LOOKS = 40;
const PAGE = 200; // the most that one answer holds

const KINDS = { ios: 'iPhone or iPad', android: 'Android device', web: 'Browser', windows: 'Windows PC' };
const BACKENDS = { webpush: 'Browser', apns: 'Apple device', fcm: 'App', wns: 'Windows PC', onesignal: 'App' };
const SCREENS = new Set(['web', 'windows', 'webpush', 'wns']);

/** A delivery's state → what it means to whoever pressed the button. */
const ON_ITS_WAY = new Set(['WAITING', 'SENDING', 'ERROR_RETRY']);
const GOOD = {
  SENT: 'Sent: it should show on the device now.',
  DEBUG: 'Handed to the test provider, which shows it nowhere.',
};

export function devices(list, rest) {
  const problem = document.getElementById('devices-problem');
  const outcome = new Outcome(document.createElement('p'), problem);
  let shown = new Map();
  /** The device that this browser is. @type {number | null} */
  let here = null;

  const load = async () => {
    try {
      const { data } = await rest.get(`devices/?limit=${PAGE}`);
      outcome.clear();
      draw(data.results);
    } catch (error) {
      outcome.bad(error);
    }
    list.removeAttribute('aria-busy');
  };

  const draw = (rows) => {
    const cards = new Map();
    for (const row of rows) {
      const card = shown.get(row.id) ?? new Card(rest, () => removed(row.id));
      card.show(row, row.id === here);
      cards.set(row.id, card);
    }
    shown = cards;
    const elements = [...cards.values()].map((card) => card.element);
    // Nothing that somebody is typing into is moved.
    if (elements.some((element, i) => list.children[i] !== element) || elements.length === 0) {
      list.replaceChildren(...(elements.length > 0 ? elements : [made('no-devices')]));
    }
    for (const extra of [...list.children].slice(Math.max(elements.length, 1))) extra.remove();
  };

  const removed = (id) => {
    // This browser's own: it has a subscription to end.
    if (id === here) document.querySelector('push-switch')?.device?.sync();
    const ids = [...shown.keys()];
    const next = ids[ids.indexOf(id) + 1] ?? ids[ids.indexOf(id) - 1];
    draw([...shown.values()].map((card) => card.row).filter((row) => row.id !== id));
    const heading = document.getElementById('devices-title');
    (next === undefined ? heading : shown.get(next).element).focus();
  };

  document.getElementById('devices-title').tabIndex = -1;
  load();
  // Elsewhere, or by another part of this page, a device may have come or gone.
  document.addEventListener('visibilitychange', () => document.hidden || load());
  addEventListener('online', load);
  document.addEventListener('push-change', ({ detail: { status, busy, device } }) => {
    if (busy || status === 'starting' || device === here) return;
    here = device;
    load();
  });
}

function made(id) {
  return document.getElementById(id).content.firstElementChild.cloneNode(true);
}

class Card {
  element = made('device');
  row = null;
  #isHere = false;
  #rest;
  #gone;
  #outcome;

  constructor(rest, gone) {
    this.#rest = rest;
    this.#gone = gone;
    const $ = (selector) => this.element.querySelector(selector);
    this.element.tabIndex = -1;
    this.#outcome = new Outcome($('.outcome'), $(':scope > .wrong'));
    this.element.addEventListener('click', ({ target }) => {
      const action = target.closest('[data-do]')?.dataset.do;
      if (action) this.#do(action);
    });
    this.element.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#swap(null)) return;
      event.stopPropagation();
    });
    $('.rename').addEventListener('submit', (event) => {
      event.preventDefault();
      this.#rename($('.rename input').value.trim());
    });
  }

  /** @param {boolean} isHere whether it is the browser that shows it */
  show(row, isHere) {
    this.row = row;
    this.#isHere = isHere;
    const $ = (selector) => this.element.querySelector(selector);
    const kind = KINDS[row.type] ?? BACKENDS[row.backend] ?? 'Device';
    const name = row.name || kind;
    const isScreen = SCREENS.has(row.type ?? row.backend);
    for (const picture of this.element.querySelectorAll('.picture')) {
      picture.hidden = (picture.dataset.kind === 'screen') !== isScreen;
    }
    $('h3').replaceChildren(name);
    this.element.setAttribute('aria-label', name);
    for (const button of this.element.querySelectorAll('.actions button')) {
      button.setAttribute('aria-label', `${button.textContent}: ${name}`);
    }
    for (const words of [isHere && 'this device', !row.active && 'off'].filter(Boolean)) {
      const badge = document.createElement('span');
      badge.className = 'badge';
      badge.textContent = words;
      $('h3').append(' ', badge);
    }
    const facts = [
      row.name ? kind : '',
      `added ${day(row.created_at)}`,
      row.last_used_at ? `last push ${day(row.last_used_at)}` : 'no push yet',
    ];
    $('.facts').textContent = facts.filter(Boolean).join(' · ');
  }

  #do(action) {
    const $ = (selector) => this.element.querySelector(selector);
    if (action === 'test') this.#test();
    if (action === 'rename') {
      this.#swap('.rename');
      $('.rename input').value = this.row.name;
      $('.rename input').select();
    }
    if (action === 'remove') {
      this.#swap('.confirm');
      $('[data-do=keep]').focus();
    }
    if (action === 'keep' || action === 'keep-name') this.#swap(null);
    if (action === 'really-remove') this.#remove();
  }

  /** Shows a part instead of the actions, or the actions again; whether that changed anything. */
  #swap(selector) {
    const open = this.element.querySelector('.rename:not([hidden]), .confirm:not([hidden])');
    for (const part of ['.rename', '.confirm']) {
      this.element.querySelector(part).hidden = part !== selector;
    }
    this.element.querySelector('.actions').hidden = selector !== null;
    this.#outcome.clear();
    if (selector === null && open) {
      const back = open.matches('.rename') ? 'rename' : 'remove';
      this.element.querySelector(`[data-do=${back}]`).focus();
    }
    return open !== null;
  }

  async #rename(name) {
    this.#outcome.waits('Saving…');
    try {
      const { data } = await this.#rest.patch(`devices/${this.row.id}/`, { name });
      this.#swap(null);
      this.show(data, this.#isHere);
      this.#outcome.good('Saved');
    } catch (error) {
      this.#outcome.bad(error);
    }
  }

  async #remove() {
    this.#outcome.waits('Removing…');
    try {
      await this.#rest.delete(`devices/${this.row.id}/`);
    } catch (error) {
      // Somebody else was faster.
      if (error.status !== 404) return this.#outcome.bad(error);
    }
    this.#gone();
  }

  async #test() {
    const button = this.element.querySelector('[data-do=test]');
    button.setAttribute('aria-disabled', 'true');
    this.#outcome.waits('Sending…');
    try {
      const { data } = await this.#rest.post(`devices/${this.row.id}/test/`);
      await this.#follow(data);
    } catch (error) {
      this.#outcome.bad(error);
    }
    button.removeAttribute('aria-disabled');
  }

  /** Until the provider has answered, or for so long that one does not want to look on. */
  async #follow(delivery) {
    for (let i = 0; i < LOOKS && ON_ITS_WAY.has(delivery.state); i += 1) {
      this.#outcome.waits(
        delivery.error ? `Not yet (${delivery.error}). The hub tries again.` : 'On its way…',
      );
      await new Promise((done) => setTimeout(done, LOOK));
      const query = `event=${delivery.event}&device=${this.row.id}`;
      const { data } = await this.#rest.get(`deliveries/?${query}`);
      delivery = data.results[0] ?? delivery;
    }
    if (GOOD[delivery.state]) this.#outcome.good(GOOD[delivery.state], { stays: true });
    else if (ON_ITS_WAY.has(delivery.state)) {
      const why = delivery.error ? ` (${delivery.error})` : '';
      this.#outcome.waits(`It is still waiting${why}. The hub goes on trying.`);
    } else this.#outcome.bad({ status: 200, detail: `Not sent: ${delivery.error || delivery.state}.` });
  }
}

/** A day as people say it, near ones in relation to now. */
function day(moment) {
  const then = new Date(moment);
  const days = Math.round((then.setHours(0, 0, 0, 0) - new Date().setHours(0, 0, 0, 0)) / 86_400_000);
  if (days > -7) return new Intl.RelativeTimeFormat('en', { numeric: 'auto' }).format(days, 'day');
  return then.toLocaleDateString('en', { dateStyle: 'medium' });
}
