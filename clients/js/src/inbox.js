// <notification-inbox>: a bell with a badge and the list behind it, or the list in the page.

import { h, icon, optionsOf } from './dom.js';
import { createItem, labelItem, makeReachable, updateItem } from './item.js';
import { drawPanel } from './panel.js';
import { HubError } from './rest.js';
import { borrow } from './shared-clients.js';
import { sheet } from './styles.js';
import { Words } from './texts.js';
import { Timers } from './timers.js';
import { VirtualList } from './virtual.js';

/** @import { ClientOptions, Filter, Notification, State } from '../types/index.js' */
/** @import { HubClient } from './client.js' */
/** @import { Parts, Shelf } from './panel.js' */

/** How long the list must be in view until what is in it counts as seen. */
const SEEN_AFTER = { popover: 300, inline: 3_000 };
const UNDO_WITHIN = 6_000;
const ANNOUNCE_AFTER = 800;
/** Distance of the panel from the bell and from the edges of the window, in pixels. */
const GAP = 8;
const MOST_ON_BADGE = 99;

/** @type {Record<string, 'apiUrl' | 'baseUrl' | 'csrfCookie' | 'csrfToken' | 'socketUrl' | 'user'>} */
const OPTIONS = {
  'base-url': 'baseUrl',
  'api-url': 'apiUrl',
  'socket-url': 'socketUrl',
  user: 'user',
  'csrf-token': 'csrfToken',
  'csrf-cookie': 'csrfCookie',
};

/** @type {CSSStyleSheet | undefined} */
let styles;
let made = 0;

export class NotificationInbox extends HTMLElement {
  static observedAttributes = ['texts', 'layout', 'lang'];

  /** @type {HubClient | null} */
  #client = null;
  /** Gives a client that is shared back; null if it was given. @type {(() => void) | null} */
  #giveBack = null;
  /** @type {(() => void)[]} */
  #undo = [];
  /** @type {Record<string, string>} */
  #texts = {};
  #words = new Words({}, undefined);
  /** @type {Parts | null} */
  #parts = null;
  /** @type {VirtualList | null} */
  #virtual = null;
  /** @type {State | null} */
  #state = null;
  #frame = 0;
  #open = false;
  #inView = false;
  #prefix = `inbox-${(made += 1)}`;

  /** The row that Tab reaches. @type {number | null} */
  #active = null;
  /** @type {Set<number>} */
  #expanded = new Set();
  /** Arrived just now, to be lit up. @type {Set<number>} */
  #fresh = new Set();
  /** Arrived above what is in view. */
  #unnoticed = 0;
  /** @type {Notification[]} */
  #toAnnounce = [];
  #moreFailed = false;
  #counted = '';
  #timers = new Timers();

  // For the page

  get client() {
    return this.#client;
  }

  set client(client) {
    if (client === this.#client) return;
    this.#detach();
    this.#client = client;
    if (client && this.isConnected) this.#attach();
  }

  get texts() {
    return this.#texts;
  }

  set texts(texts) {
    this.#texts = { .../** @type {Record<string, string>} */ (texts) };
    if (this.#parts) this.#redraw();
  }

  get open() {
    return this.#open;
  }

  show() {
    if (this.#isInline || this.#open || !this.#parts) return;
    const { bell, panel } = this.#parts;
    this.#open = true;
    panel.classList.add('open');
    // The top layer: no ancestor can clip it or lie above it.
    if (typeof panel.showPopover === 'function') panel.showPopover();
    bell.setAttribute('aria-expanded', 'true');
    this.#position();
    this.#fill();
    panel.focus({ preventScroll: true });
    /** @param {Event} event */
    const outside = (event) => {
      if (!event.composedPath().includes(this)) this.hide();
    };
    const place = () => this.#position();
    document.addEventListener('pointerdown', outside, true);
    window.addEventListener('resize', place);
    window.addEventListener('scroll', place, { capture: true, passive: true });
    this.#whenHidden = () => {
      document.removeEventListener('pointerdown', outside, true);
      window.removeEventListener('resize', place);
      window.removeEventListener('scroll', place, { capture: true });
    };
  }

  hide() {
    if (!this.#open || !this.#parts) return;
    const { bell, panel } = this.#parts;
    const hadFocus = panel.contains(this.shadowRoot?.activeElement ?? null);
    this.#open = false;
    this.#whenHidden();
    panel.classList.remove('open');
    if (typeof panel.hidePopover === 'function' && panel.matches(':popover-open')) {
      panel.hidePopover();
    }
    bell.setAttribute('aria-expanded', 'false');
    if (hadFocus) bell.focus({ preventScroll: true });
    this.#timers.stop('seen');
  }

  #whenHidden = () => {};

  // Life in the document

  connectedCallback() {
    const given = Object.getOwnPropertyDescriptor(this, 'client');
    if (given) {
      // Set before the element was defined.
      delete (/** @type {any} */ (this).client);
      this.#client = given.value;
    }
    if (!this.#parts) this.#redraw();
    this.#attach();
  }

  disconnectedCallback() {
    this.hide();
    this.#detach();
  }

  /** @param {string} name @param {string | null} _before @param {string | null} after */
  attributeChangedCallback(name, _before, after) {
    if (name === 'texts') {
      try {
        this.#texts = after ? JSON.parse(after) : {};
      } catch {
        globalThis.reportError?.(new SyntaxError('notification-inbox: texts must be JSON'));
      }
    }
    if (this.#parts) this.#redraw();
  }

  #attach() {
    if (this.#undo.length > 0) return;
    if (!this.#client) this.#borrow();
    const client = /** @type {HubClient} */ (this.#client);
    this.#undo.push(client.subscribe(() => this.#soon()));
    this.#undo.push(client.onArrival((row) => this.#arrived(row)));
    client.start();
    const clock = setInterval(() => this.#tick(), 30_000);
    this.#undo.push(() => clearInterval(clock));
    this.#watchView();
    this.#soon();
  }

  #detach() {
    for (const undo of this.#undo.splice(0)) undo();
    this.#timers.clear();
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    this.#giveBack?.();
  }

  #borrow() {
    /** @type {ClientOptions} */
    const options = optionsOf(this, OPTIONS);
    const pageSize = Number(this.getAttribute('page-size'));
    if (pageSize > 0) options.pageSize = pageSize;
    // Two lists with filters of their own need two clients; in a bell and a list it is one.
    const { client, giveBack } = borrow(options, this.getAttribute('group'));
    this.#client = client;
    this.#giveBack = () => {
      this.#client = this.#giveBack = null;
      giveBack();
    };
  }

  get #isInline() {
    return this.getAttribute('layout') === 'inline';
  }

  // Drawing

  #redraw() {
    const scope = this.closest('[lang]');
    const lang = scope?.getAttribute('lang') || document.documentElement.lang || navigator.language;
    this.#words = new Words(this.#texts, lang);
    const root = this.shadowRoot ?? this.attachShadow({ mode: 'open' });
    styles ??= sheet();
    root.adoptedStyleSheets = [styles];
    this.hide();
    const parts = drawPanel(this.#words, this.#prefix, this.#isInline);
    this.#parts = parts;
    root.replaceChildren(...(this.#isInline ? [] : [parts.bell]), parts.panel, parts.live);
    this.#virtual = new VirtualList({
      scroller: parts.scroller,
      list: parts.list,
      create: (row) => this.#create(row),
      update: (element, row) => this.#update(element, row),
      place: (element, index) => this.#place(element, index),
      estimate: 92,
    });
    this.#listen(parts);
    this.#counted = '';
    if (this.#undo.length > 0) {
      this.#watchView();
      this.#soon();
    }
  }

  /** @param {Parts} parts */
  #listen(parts) {
    const { bell, close, list, news, panel, readAll, scroller, shelves, types } = parts;
    bell.addEventListener('click', () => (this.#open ? this.hide() : this.show()));
    close.addEventListener('click', () => this.hide());
    readAll.addEventListener('click', () => {
      const { type } = this.#filter;
      this.#try(this.#client?.markAll('read', type ? { type } : {}));
    });
    for (const shelf of shelves) {
      shelf.addEventListener('click', () => {
        const state = /** @type {Shelf} */ (shelf.dataset.shelf);
        this.#setFilter({ state, type: this.#filter.type });
      });
    }
    types.addEventListener('change', () =>
      this.#setFilter({ state: this.#filter.state, type: types.value }),
    );
    news.addEventListener('click', () => {
      scroller.scrollTop = 0;
      this.#unnoticed = 0;
      this.#fill();
      this.#focusRow(0);
    });
    scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    list.addEventListener('click', (event) => this.#clicked(event));
    list.addEventListener('focusin', (event) => {
      const row = this.#rowOf(event.target);
      if (row) this.#activate(row.id);
    });
    list.addEventListener('focusout', () => {
      if (this.#virtual) this.#virtual.pinned = null;
    });
    list.addEventListener('animationend', (event) => {
      /** @type {HTMLElement} */ (event.target).classList.remove('fresh');
    });
    bell.addEventListener('animationend', () => bell.classList.remove('ringing'));
    panel.addEventListener('keydown', (event) => this.#pressed(event));
    panel.addEventListener('focusout', ({ relatedTarget }) => {
      const to = /** @type {Node | null} */ (relatedTarget);
      if (this.#open && to && !this.shadowRoot?.contains(to)) this.hide();
    });
    let width = 0;
    new ResizeObserver(([{ contentRect }]) => {
      if (contentRect.width !== width) this.#virtual?.remeasure();
      else this.#virtual?.render();
      width = contentRect.width;
    }).observe(scroller);
  }

  /** Next to the bell, towards where there is more room. */
  #position() {
    if (!this.#parts || !this.#open) return;
    const { bell, panel } = this.#parts;
    const from = bell.getBoundingClientRect();
    const width = panel.offsetWidth;
    const room = document.documentElement.clientWidth;
    const opensLeft = from.left + from.width / 2 > room / 2;
    const wanted = opensLeft ? from.right - width : from.left;
    const x = Math.max(GAP, Math.min(wanted, room - width - GAP));
    const below = window.innerHeight - from.bottom - 2 * GAP;
    const isBelow = below >= 320 || below >= from.top;
    const height = isBelow ? below : from.top - 2 * GAP;
    panel.style.setProperty('--_x', `${x}px`);
    panel.style.setProperty('--_room', `${Math.max(200, height)}px`);
    const y = isBelow ? from.bottom + GAP : from.top - GAP - panel.offsetHeight;
    panel.style.setProperty('--_y', `${y}px`);
  }

  #soon() {
    if (this.#frame) return;
    const draw = () => {
      this.#frame = 0;
      this.#render();
    };
    // A page that nobody sees draws no frames, but its badge shall be right.
    if (document.hidden) this.#frame = -1;
    if (document.hidden) setTimeout(draw);
    else this.#frame = requestAnimationFrame(draw);
  }

  #render() {
    if (!this.#client || !this.#parts) return;
    const state = (this.#state = this.#client.getState());
    const { badge, bell, banner, number, readAll, shelves, types } = this.#parts;
    const words = this.#words;

    const { unseen, unread, filter } = state;
    const counted = `${unseen} ${unread}`;
    if (counted !== this.#counted) {
      this.#counted = counted;
      badge.hidden = unseen === 0;
      badge.textContent = unseen > MOST_ON_BADGE ? `${MOST_ON_BADGE}+` : String(unseen);
      bell.setAttribute('aria-label', words.count('bell', unseen));
      number.textContent = unread > 0 ? unread.toLocaleString() : '';
      this.#tell('notification-counters', { unread, unseen });
    }
    readAll.hidden = filter.state === 'archived';
    readAll.disabled = unread === 0;
    for (const shelf of shelves) {
      shelf.setAttribute('aria-pressed', String(shelf.dataset.shelf === filter.state));
    }
    types.value = filter.type;
    if (state.loaded) this.#loadTypes();

    const isAway = state.status === 'offline' || state.status === 'reconnecting';
    const trouble = isAway && state.loaded ? state.status : '';
    if (banner.dataset.trouble !== trouble) {
      banner.dataset.trouble = trouble;
      // A short break heals before anybody has read of it.
      this.#timers.stop('banner');
      if (!trouble) banner.hidden = true;
      else this.#timers.after('banner', trouble === 'offline' ? 0 : 1_500, () => this.#warn(trouble));
    }
    if (this.#isInline || this.#open) this.#fill();
  }

  /** @param {string} trouble */
  #warn(trouble) {
    if (!this.#parts) return;
    this.#parts.banner.replaceChildren(icon('cloud'), this.#words.say(trouble));
    this.#parts.banner.hidden = false;
  }

  /** The list, or what stands in its place. */
  #fill() {
    const state = this.#state;
    if (!state || !this.#parts || !this.#virtual) return;
    const { empty, list, loading, news, scroller, tail } = this.#parts;
    const isBroken = state.status === 'ended' && (!state.loaded || state.error !== null);
    const cannotLoad = !state.loaded && state.error !== null && state.status !== 'starting';
    const isOut = isBroken && OUT.has(state.error?.code ?? '');
    const hasRows = state.loaded && state.items.length > 0 && !isOut;
    const isEmpty = state.loaded && state.items.length === 0 && !state.hasMore && !isBroken;

    loading.hidden = hasRows || isEmpty || isBroken || cannotLoad;
    scroller.hidden = !hasRows;
    list.setAttribute('aria-busy', String(state.loading));
    const why = hasRows || !loading.hidden ? '' : isEmpty ? `empty_${state.filter.state}` : 'broken';
    this.#explain(empty, why, state);

    const hadFocus = this.#focusedIndex();
    this.#virtual.set(hasRows ? state.items : []);
    if (hadFocus !== -1) this.#keepFocus(hadFocus);
    if (this.#active === null || this.#virtual.indexOf(this.#active) === -1) {
      const first = state.items[0];
      this.#active = first ? first.id : null;
      if (first) this.#reach(first.id, true);
    }

    if (scroller.scrollTop <= GAP) this.#unnoticed = 0;
    news.hidden = this.#unnoticed === 0 || !hasRows;
    if (!news.hidden) {
      news.replaceChildren(icon('up'), this.#words.count('fresh', this.#unnoticed));
    }
    tail.hidden = !hasRows || !state.hasMore;
    if (!tail.hidden && !this.#moreFailed) tail.replaceChildren(h('span', { class: 'spinner' }));
    this.#loadNear();
    this.#seeSoon();
  }

  /**
   * @param {HTMLElement} empty
   * @param {string} why a text, or nothing to explain
   * @param {State} state
   */
  #explain(empty, why, state) {
    const code = state.error?.code ?? '';
    const key = why === 'broken' ? `${why} ${code}` : why;
    if (empty.dataset.why === key) return;
    empty.dataset.why = key;
    empty.hidden = why === '';
    if (why === '') return;
    const say = (/** @type {string} */ name) => this.#words.say(name);
    const picture = h('span', { class: 'picture' });
    if (why !== 'broken') {
      picture.append(icon(why === 'empty_archived' ? 'archive' : why === 'empty_unread' ? 'check' : 'bell'));
      const hint = say(`${why}_hint`);
      empty.replaceChildren(picture, h('strong', {}, say(why)), h('p', {}, hint));
      return;
    }
    const isOut = OUT.has(code);
    picture.append(icon(isOut ? 'person' : 'cloud'));
    const again = h('button', { type: 'button' }, say(isOut ? 'sign_in' : 'retry'));
    again.addEventListener('click', () => (isOut ? location.reload() : this.#client?.retry()));
    const title = isOut ? 'signed_out' : code === 'too_many_sockets' ? 'too_many' : 'broken';
    const hint = isOut ? say('signed_out_hint') : (state.error?.detail ?? '');
    empty.replaceChildren(picture, h('strong', {}, say(title)), h('p', {}, hint), again);
  }

  // Rows

  /** @param {Notification} row */
  #create(row) {
    const item = createItem(row, `${this.#prefix}-${row.id}`);
    if (this.#fresh.delete(row.id)) item.classList.add('fresh');
    return item;
  }

  /** @param {HTMLElement} item @param {Notification} row */
  #update(item, row) {
    updateItem(item, row, this.#words);
    item.classList.toggle('expanded', this.#expanded.has(row.id));
    makeReachable(item, row.id === this.#active);
  }

  /** @param {HTMLElement} item @param {number} index */
  #place(item, index) {
    item.setAttribute('aria-posinset', String(index + 1));
    const whole = this.#state?.hasMore ? -1 : (this.#state?.items.length ?? -1);
    item.setAttribute('aria-setsize', String(whole));
  }

  /** Times go on. */
  #tick() {
    for (const row of this.#virtual?.rows ?? []) {
      const item = this.#virtual?.element(row.id);
      if (item) labelItem(item, row, this.#words);
    }
  }

  /** @param {EventTarget | null} target */
  #rowOf(target) {
    const item = /** @type {Element | null} */ (target)?.closest?.('.item');
    const id = Number(/** @type {HTMLElement | null} */ (item)?.dataset.id);
    return this.#virtual?.rows[this.#virtual.indexOf(id)];
  }

  // What somebody does

  /** @param {MouseEvent} event */
  #clicked(event) {
    const row = this.#rowOf(event.target);
    if (!row) return;
    const target = /** @type {Element} */ (event.target);
    const button = /** @type {HTMLElement | null} */ (target.closest('[data-act]'));
    if (button) return this.#act(row, button.dataset.act ?? '');
    if (String(globalThis.getSelection?.() ?? '') !== '' && !target.closest('a')) return;
    this.#openRow(row, event);
  }

  /**
   * @param {Notification} row
   * @param {Event} event
   */
  #openRow(row, event) {
    const item = this.#virtual?.element(row.id);
    const link = item?.querySelector('a');
    const isOnLink = /** @type {Element} */ (event.target).closest('a') !== null;
    // The whole row is a way to press its link; that click comes here again.
    if (link && !(isOnLink && event.type === 'click')) return link.click();
    if (!this.#tell('notification-open', { notification: row }, true)) event.preventDefault();
    if (!row.read_at) this.#try(this.#client?.mark({ state: 'read', ids: [row.id] }));
    if (link) return;
    if (!this.#expanded.delete(row.id)) this.#expanded.add(row.id);
    item?.classList.toggle('expanded', this.#expanded.has(row.id));
    this.#virtual?.remeasure(row.id);
  }

  /**
   * @param {Notification} row
   * @param {string} act
   */
  #act(row, act) {
    const client = this.#client;
    const ids = [row.id];
    if (!client) return;
    if (act === 'read') {
      this.#try(client.mark({ state: row.read_at ? 'unread' : 'read', ids }));
    } else if (act === 'archive') {
      const state = row.archived_at ? 'unarchived' : 'archived';
      const back = row.archived_at ? 'archived' : 'unarchived';
      this.#try(client.mark({ state, ids }));
      this.#offerUndo(`was_${state}`, () => this.#try(client.mark({ state: back, ids })));
    } else if (act === 'delete') {
      // Nothing brings it back once it is deleted, so it waits.
      const off = new AbortController();
      this.#try(client.delete(ids, { hold: UNDO_WITHIN, signal: off.signal }));
      this.#offerUndo('was_deleted', () => off.abort());
    }
  }

  /** @param {Promise<unknown> | undefined} attempt */
  #try(attempt) {
    attempt?.catch((problem) => {
      if (problem instanceof HubError && problem.code === 'cancelled') return;
      this.#toast(this.#words.say('failed'));
    });
  }

  /** @param {string} text @param {() => void} undo */
  #offerUndo(text, undo) {
    const button = h('button', { type: 'button' }, this.#words.say('undo'));
    button.addEventListener('click', () => {
      undo();
      this.#hideToast();
      this.#focusRow(Math.max(0, this.#virtual?.indexOf(this.#active ?? 0) ?? 0));
    });
    this.#toast(this.#words.say(text), button);
  }

  /** @param {string} text @param {HTMLElement} [button] */
  #toast(text, button) {
    if (!this.#parts) return;
    const { toast } = this.#parts;
    toast.hidden = false;
    toast.replaceChildren(h('span', {}, text), ...(button ? [button] : []));
    this.#timers.after('toast', UNDO_WITHIN, () => this.#hideToast());
  }

  #hideToast() {
    if (!this.#parts) return;
    const { panel, toast } = this.#parts;
    if (toast.contains(this.shadowRoot?.activeElement ?? null)) panel.focus();
    toast.hidden = true;
    toast.replaceChildren();
    this.#timers.stop('toast');
  }

  /** @param {KeyboardEvent} event */
  #pressed(event) {
    if (event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.key === 'Escape' && this.#open) {
      event.stopPropagation();
      event.preventDefault();
      return this.hide();
    }
    const row = this.#rowOf(target);
    if (!row) {
      const begins = target === this.#parts?.panel && event.key === 'ArrowDown';
      if (!begins) return;
      event.preventDefault();
      return this.#focusRow(0);
    }
    const index = this.#virtual?.indexOf(row.id) ?? 0;
    const last = (this.#virtual?.rows.length ?? 1) - 1;
    /** @type {Record<string, number>} */
    const moves = {
      ArrowDown: index + 1,
      PageDown: index + 1,
      ArrowUp: index - 1,
      PageUp: index - 1,
      Home: 0,
      End: last,
    };
    if (event.key in moves) {
      event.preventDefault();
      return this.#focusRow(Math.max(0, Math.min(last, moves[event.key])));
    }
    if (!target.classList.contains('item')) return;
    /** @type {Record<string, string>} */
    const acts = { r: 'read', e: 'archive', Delete: 'delete' };
    if (event.key === 'Enter') this.#openRow(row, event);
    else if (acts[event.key]) this.#act(row, acts[event.key]);
    else return;
    event.preventDefault();
  }

  // Focus: one row can be reached by Tab, arrows move between rows

  /** @param {number} id */
  #activate(id) {
    if (this.#virtual) this.#virtual.pinned = id;
    if (this.#active === id) return;
    if (this.#active !== null) this.#reach(this.#active, false);
    this.#active = id;
    this.#reach(id, true);
  }

  /** @param {number} id @param {boolean} isActive */
  #reach(id, isActive) {
    const item = this.#virtual?.element(id);
    if (item) makeReachable(item, isActive);
  }

  /** @param {number} index */
  #focusRow(index) {
    const row = this.#virtual?.rows[index];
    if (!row || !this.#virtual) return this.#parts?.panel.focus();
    this.#activate(row.id);
    this.#virtual.reveal(index);
    this.#virtual.element(row.id)?.focus({ preventScroll: true });
  }

  /** Where the row is that has the focus, or something in it; -1 if none has. */
  #focusedIndex() {
    const focused = this.shadowRoot?.activeElement;
    if (!focused || !this.#parts?.list.contains(focused)) return -1;
    const row = this.#rowOf(focused);
    return row && this.#virtual ? this.#virtual.indexOf(row.id) : -1;
  }

  /** The row that had the focus may be gone: then the next one has it. @param {number} index */
  #keepFocus(index) {
    if (this.#focusedIndex() !== -1) return;
    this.#focusRow(Math.min(index, (this.#virtual?.rows.length ?? 0) - 1));
  }

  // Filter

  get #filter() {
    return this.#state?.filter ?? /** @type {const} */ ({ state: 'inbox', type: '' });
  }

  /** @param {Filter} filter */
  #setFilter(filter) {
    this.#moreFailed = false;
    this.#unnoticed = 0;
    if (this.#parts) this.#parts.scroller.scrollTop = 0;
    this.#client?.setFilter(filter);
  }

  #loadTypes() {
    const types = this.#parts?.types;
    if (!types || types.dataset.asked) return;
    types.dataset.asked = 'yes';
    this.#client?.eventTypes().then(
      (found) => {
        for (const type of found) types.append(h('option', { value: type.name }, type.title));
        types.hidden = found.length < 2;
        types.value = this.#filter.type;
      },
      () => delete types.dataset.asked,
    );
  }

  // More, new and seen

  #scrolled() {
    this.#virtual?.render();
    this.#loadNear();
    if (this.#parts && this.#parts.scroller.scrollTop <= GAP && this.#unnoticed > 0) {
      this.#unnoticed = 0;
      this.#parts.news.hidden = true;
    }
  }

  #loadNear() {
    const state = this.#state;
    if (!state?.hasMore || state.loading || this.#moreFailed || !state.loaded) return;
    if (this.#virtual && this.#virtual.last < state.items.length - 3) return;
    this.#client?.loadMore().catch(() => this.#offerMore());
  }

  #offerMore() {
    if (!this.#parts) return;
    this.#moreFailed = true;
    const again = h('button', { class: 'tool', type: 'button' }, this.#words.say('retry'));
    again.addEventListener('click', () => {
      this.#moreFailed = false;
      this.#loadNear();
      this.#fill();
    });
    this.#parts.tail.replaceChildren(this.#words.say('broken_more'), again);
  }

  /** @param {Notification} row */
  #arrived(row) {
    this.#tell('notification-arrival', { notification: row });
    if (row.silent || row.read_at) return;
    this.#fresh.add(row.id);
    const { bell, scroller } = this.#parts ?? {};
    if (bell && !this.#open) bell.classList.add('ringing');
    if (scroller && scroller.scrollTop > GAP) this.#unnoticed += 1;
    this.#toAnnounce.push(row);
    this.#timers.after('announce', ANNOUNCE_AFTER, () => {
      const [first, ...others] = this.#toAnnounce.splice(0);
      const title = first.event.title || first.event.type.title;
      const text = others.length
        ? this.#words.count('fresh', others.length + 1)
        : this.#words.say('arrived', { title });
      if (this.#parts) this.#parts.live.textContent = text;
      this.#fresh.clear();
    });
  }

  /** Whether an inline list is on the screen at all. */
  #watchView() {
    if (!this.#isInline || !this.#parts) return;
    const observer = new IntersectionObserver(([{ isIntersecting }]) => {
      this.#inView = isIntersecting;
      this.#seeSoon();
    });
    observer.observe(this.#parts.panel);
    const looked = () => this.#seeSoon();
    document.addEventListener('visibilitychange', looked);
    this.#undo.push(() => {
      observer.disconnect();
      document.removeEventListener('visibilitychange', looked);
    });
  }

  /** What is in view for a while counts as seen. */
  #seeSoon() {
    const isLookedAt = () =>
      !document.hidden && (this.#isInline ? this.#inView : this.#open) && this.#state?.loaded;
    if (!this.#state?.unseen || this.#timers.has('seen') || !isLookedAt()) return;
    this.#timers.after('seen', this.#isInline ? SEEN_AFTER.inline : SEEN_AFTER.popover, () => {
      const isThere = this.#state?.status === 'live' || this.#state?.status === 'polling';
      if (this.#state?.unseen && isThere && isLookedAt()) this.#client?.markAll('seen').catch(() => {});
    });
  }

  /** @param {string} name @param {object} detail @param {boolean} [cancelable] */
  #tell(name, detail, cancelable = false) {
    return this.dispatchEvent(
      new CustomEvent(name, { detail, bubbles: true, composed: true, cancelable }),
    );
  }
}

/** The hub says with these that somebody has to sign in. */
const OUT = new Set(['not_authenticated', 'authentication_failed', 'permission_denied']);

if (!customElements.get('notification-inbox')) {
  customElements.define('notification-inbox', NotificationInbox);
}
