// The hub's client: loads, connects, stays equal to the inbox, and shows marks before they are made.

import { Backoff } from './backoff.js';
import { Kept } from './kept.js';
import { listenToPage } from './page.js';
import { Replica, select } from './replica.js';
import { HubError } from './rest.js';
import { Site } from './site.js';
import { SharedLink } from './tabs.js';
import { Timers } from './timers.js';
import { Uplink, newRef } from './uplink.js';
import { Wishes } from './wishes.js';

/** @import { ClientOptions, EventType, Filter, MarkWhat, Notification, State, Status, Timing } from '../types/index.js' */
/** @import { Cursor, View } from './replica.js' */
/** @import { LinkStatus, Listeners, Problem } from './uplink.js' */
/** @import { Link } from './tabs.js' */

/** @type {Timing} */
const TIMING = {
  retryFirst: 1_000,
  retryLongest: 30_000,
  connect: 15_000,
  silence: 45_000, // the hub sends a ping every 30 s
  answer: 10_000,
  request: 20_000,
  poll: 15_000,
  pollHidden: 60_000,
  ack: 300,
  takeOver: 4_000,
};

const MOST_IDS = 1_000;
const MOST_PER_PAGE = 200;

/**
 * A sync that is not answered yet: from where it was asked, and up to where it must reach, as far
 * as frames that came in between tell. Without a `ref` the link has asked, by connecting.
 * @typedef {{ ref: string, cursor: Cursor, upTo: number }} Asked
 */

export class HubClient {
  /** @type {ClientOptions} */
  #options;
  #site;
  #timing;
  #isVisible;
  #rest;
  /** @type {Link | null} */
  #link = null;
  #replica = new Replica();
  #backoff;

  #running = false;
  /** Counts starts from scratch. */
  #life = 0;
  /** Whose inbox this is, as far as a page can know. */
  #identity = '';
  #loaded = false;
  /** The list is being loaded anew; live frames are dropped. */
  #reloading = false;
  /** @type {string | null} */
  #pageKey = null;
  /** @type {Problem | null} */
  #problem = null;
  #online = true;
  /** @type {View} */
  #view;

  /** The session of the link that this client is in step with. */
  #session = '';
  #linkEpoch = /** @type {string | null} */ (null);
  /** A sync that is not answered yet. @type {Asked | null} */
  #asked = null;
  #acked = 0;

  #wishes;

  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {Set<(notification: Notification) => void>} */
  #arrivalListeners = new Set();
  /** @type {State | null} */
  #state = null;
  #telling = false;
  #timers = new Timers();
  #kept;
  #unlisten = () => {};
  /** @type {Promise<(EventType & { critical: boolean })[]> | null} */
  #types = null;

  /** @param {ClientOptions} [options] */
  constructor(options = {}) {
    this.#options = options;
    this.#site = new Site(options);
    this.#timing = { ...TIMING, ...options.timing };
    this.#isVisible =
      options.isVisible ??
      (() => typeof document !== 'undefined' && document.visibilityState === 'visible');
    const { retryFirst, retryLongest } = this.#timing;
    this.#backoff = new Backoff({ first: retryFirst, longest: retryLongest });
    this.#view = viewOf(options.filter ?? {});
    this.#wishes = new Wishes({
      send: (frame) => this.#session !== '' && (this.#link?.send(frame) ?? false),
      changed: () => this.#changed(),
      patience: this.#timing.answer,
    });
    this.#kept = new Kept(options.storage, this.#site.api);
    this.#rest = this.#site.rest(this.#timing.request);
  }

  // For whoever uses it

  start = () => {
    if (this.#running) return;
    this.#running = true;
    this.#listenToPage();
    this.#begin();
  };

  stop = () => {
    if (!this.#running) return;
    this.#running = false;
    this.#life += 1;
    this.#unlisten();
    this.#timers.clear();
    this.#link?.close();
    this.#link = null;
    this.#rest.cancel();
    this.#session = '';
    this.#resumeLater();
    this.#reloading = false;
    this.#wishes.callOff('The client was stopped.');
    this.#changed();
  };

  retry = () => {
    if (!this.#running) return this.start();
    this.#problem = null;
    if (!this.#link || this.#link.status.phase === 'ended') this.#begin();
    else this.#link?.nudge('retry');
    this.#changed();
  };

  /** @param {() => void} listener */
  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  /** @param {(notification: Notification) => void} listener */
  onArrival = (listener) => {
    this.#arrivalListeners.add(listener);
    return () => void this.#arrivalListeners.delete(listener);
  };

  getState = () => {
    this.#state ??= this.#snapshot();
    return this.#state;
  };

  /** @param {MarkWhat} what */
  mark = ({ state, ids, upTo, type }) => {
    if ((ids === undefined) === (upTo === undefined)) throw new TypeError('either ids or upTo');
    if (ids) return this.#wishes.make({ action: 'mark', state, ids: checked(ids) });
    return this.#wishes.make({ action: 'mark', state, up_to: upTo, ...(type ? { type } : {}) });
  };

  /**
   * @param {import('../types/index.js').MarkState} state
   * @param {{ type?: string }} [options]
   */
  markAll = (state, { type = '' } = {}) => {
    const upTo = this.#replica.cursor?.version ?? 0;
    return this.mark({ state, upTo, ...(type ? { type } : {}) });
  };

  /**
   * @param {readonly number[]} ids
   * @param {{ hold?: number, signal?: AbortSignal }} [options]
   */
  delete = (ids, { hold = 0, signal } = {}) =>
    this.#wishes.make({ action: 'delete', ids: checked(ids) }, hold, signal);

  loadMore = async () => {
    const view = this.#view;
    const before = this.#replica.horizon(view);
    if (!this.#replica.cursor || before === 0 || this.#pageKey === keyOf(view, before)) return;
    const key = (this.#pageKey = keyOf(view, before));
    const request = this.#replica.begin();
    this.#changed();
    try {
      const list = await this.#list(view, before);
      const fits = this.#replica.merge(list, view, request);
      // Another history: what is here is not worth adding to.
      if (!fits && list.epoch !== this.#replica.cursor?.epoch) void this.#reload(0);
      this.#problem = null;
    } catch (problem) {
      this.#note(problem);
      throw problem;
    } finally {
      this.#replica.end(request);
      if (this.#pageKey === key) this.#pageKey = null;
      this.#changed();
    }
  };

  /** @param {Filter} filter */
  setFilter = (filter) => {
    const view = viewOf(filter);
    if (view.state === this.#view.state && view.type === this.#view.type) return;
    this.#view = view;
    this.#changed();
    // What is here already may do for a start; less than half a page does not.
    const shown = this.getState().items.length;
    if (this.#loaded && shown * 2 < this.#pageSize()) this.loadMore().catch(() => {});
  };

  /** @returns {Promise<(EventType & { critical: boolean })[]>} */
  eventTypes = () => {
    this.#types ??= this.#rest
      .get('event-types/')
      .then(({ data }) => data)
      .catch((problem) => {
        this.#types = null;
        throw problem;
      });
    return this.#types;
  };

  // Beginning

  /** From what was kept, or from nothing. */
  #begin() {
    const life = (this.#life += 1);
    const identity = this.#site.who();
    const isOther = this.#identity !== '' && this.#identity !== identity;
    this.#identity = identity;
    this.#link?.close();
    this.#link = null;
    this.#session = '';
    this.#reloading = false;
    this.#problem = null;
    if (isOther) this.#forget();
    else this.#resumeLater();
    const isShelved = this.#view.state === 'archived';
    if (!this.#replica.cursor && !isShelved) this.#kept.restore(identity, this.#replica);
    this.#loaded = this.#replica.cursor !== null;
    this.#changed();
    if (this.#loaded) this.#connect();
    else void this.#load(life);
  }

  /** Somebody else has signed in: nothing of the one before is shown. */
  #forget() {
    this.#replica = new Replica();
    this.#loaded = false;
    this.#asked = null;
    this.#acked = 0;
    this.#types = null;
    this.#wishes.callOff('Somebody else signed in.');
  }

  /** Position first, for the badge; then the list. @param {number} life */
  async #load(life) {
    while (life === this.#life) {
      try {
        const { data: position } = await this.#rest.get('notifications/summary/');
        if (life !== this.#life) return;
        this.#replica.counters = { unread: position.unread, unseen: position.unseen };
        this.#changed();
        const view = this.#view;
        const list = await this.#list(view, Infinity);
        if (life !== this.#life) return;
        this.#replica.replace(list, view);
        this.#loaded = true;
        this.#problem = null;
        this.#backoff.reset();
        this.#changed();
        return this.#connect();
      } catch (problem) {
        if (life !== this.#life) return;
        this.#note(problem);
        if (!(problem instanceof HubError) || !problem.passing) return;
        await this.#timers.pause('load', this.#backoff.next(problem.retryAfter));
      }
    }
  }

  #connect() {
    const share = this.#sharing();
    this.#link?.close();
    /** @param {Listeners} listeners */
    const uplink = (listeners) =>
      new Uplink({
        ...listeners,
        socketUrl: this.#site.socket,
        WebSocket: this.#options.WebSocket ?? globalThis.WebSocket,
        rest: this.#rest,
        ticket: this.#ticket(),
        cursor: () => this.#resumeFrom(),
        isVisible: this.#isVisible,
        timing: this.#timing,
      });
    const listeners = {
      /** @param {any} frame */
      onFrame: (frame) => this.#hear(frame),
      /** @param {LinkStatus} status */
      onStatus: (status) => this.#follow(status),
    };
    this.#link = share
      ? new SharedLink({
          ...share,
          ...listeners,
          uplink,
          isVisible: this.#isVisible,
          takeOver: this.#timing.takeOver,
        })
      : uplink(listeners);
    this.#link.open();
  }

  // What the link says

  /** @param {LinkStatus} status */
  #follow(status) {
    const { phase, session, resumes, epoch } = status;
    if (phase === 'open' || phase === 'polling') {
      if (session !== this.#session) this.#join(session, resumes, epoch);
    } else if (this.#session) {
      this.#session = '';
      this.#resumeLater();
    }
    // The session has ended, or another one has begun in another tab.
    if (phase !== 'open' && phase !== 'polling' && this.#site.who() !== this.#identity) {
      setTimeout(() => this.#running && this.#begin());
    }
    this.#changed();
  }

  /**
   * @param {string} session
   * @param {boolean} resumes
   * @param {string | null} epoch
   */
  #join(session, resumes, epoch) {
    this.#resumeLater();
    this.#session = session;
    this.#linkEpoch = epoch;
    this.#acked = 0;
    const { cursor } = this.#replica;
    if (cursor && !this.#reloading) {
      if (resumes && epoch === cursor.epoch) this.#expect('');
      else this.#ask();
    }
    this.#wishes.sendAll();
  }

  /** The connection has broken: what it did not finish is read again from where it began. */
  #resumeLater() {
    if (this.#asked && this.#replica.cursor) this.#replica.cursor = this.#asked.cursor;
    this.#asked = null;
    this.#timers.stop('asked');
  }

  #resumeFrom() {
    return this.#asked?.cursor ?? this.#replica.cursor;
  }

  #ask() {
    const { cursor } = this.#replica;
    if (this.#asked || !cursor || !this.#session) return;
    const ref = newRef('sync');
    this.#expect(ref);
    this.#link?.send({ action: 'sync', since: cursor.page ?? cursor.version, ref });
  }

  /** @param {string} ref */
  #expect(ref) {
    const cursor = /** @type {Cursor} */ (this.#replica.cursor);
    const asked = (this.#asked = { ref, cursor, upTo: 0 });
    this.#timers.after('asked', this.#timing.answer * 2, () => {
      if (this.#asked === asked) this.#link?.restart();
    });
  }

  #answered() {
    this.#asked = null;
    this.#timers.stop('asked');
  }

  /** @param {any} frame */
  #hear(frame) {
    switch (frame.action) {
      case 'new':
      case 'marked':
      case 'deleted':
      case 'sync':
        // A socket stays in one epoch; a poll names its own each time.
        if (frame.epoch && this.#link?.status.phase === 'open') this.#linkEpoch = frame.epoch;
        return this.#apply(frame);
      case 'reset':
        this.#answered();
        return void this.#reload(frame.retry_after ?? 1);
      case 'done':
        return this.#done(frame);
      case 'error':
        return this.#refused(frame);
    }
  }

  /** @param {any} frame */
  #apply(frame) {
    if (this.#reloading) return;
    const isSync = frame.action === 'sync';
    const outcome = this.#replica.apply(frame);
    if (outcome === 'reset') return void this.#reload(Math.random());
    // The link's own sync ends with its last page; if it does not fit this tab, this tab asks.
    if (this.#asked?.ref === '' && isSync && (outcome === 'gap' || !frame.more)) this.#answered();
    if (outcome === 'gap') {
      // Of an answer a page is missing, or something after it: then once more.
      if (this.#asked) this.#asked.upTo = isSync ? Infinity : frame.version;
      else this.#ask();
    }
    this.#moved();
    for (const row of this.#replica.arrivals) {
      for (const listener of this.#arrivalListeners) listener(row);
    }
    this.#changed();
  }

  /** @param {any} frame */
  #done(frame) {
    if (this.#asked && frame.ref === this.#asked.ref) {
      const { upTo } = this.#asked;
      if (upTo === Infinity) this.#resumeLater();
      else this.#answered();
      if (upTo > (this.#replica.cursor?.version ?? 0)) this.#ask();
      return this.#moved();
    }
    if (typeof frame.ref === 'string' && frame.ref.startsWith('pong.')) {
      // Everything up to here was sent before this: what is missing got lost.
      if (frame.version > (this.#replica.cursor?.version ?? Infinity)) this.#ask();
      return;
    }
    this.#wishes.done(frame);
    this.#moved();
  }

  /** @param {any} frame */
  #refused({ ref, code, detail }) {
    if (ref === undefined) return;
    if (ref === this.#asked?.ref) {
      this.#resumeLater();
      return this.#timers.after('ask', this.#timing.retryFirst * (1 + Math.random()), () => this.#ask());
    }
    this.#wishes.refused(ref, new HubError({ code, detail }));
  }

  /** Section 7.3 of the protocol. @param {number} retryAfter seconds */
  async #reload(retryAfter) {
    if (this.#reloading) return;
    const life = this.#life;
    this.#reloading = true;
    this.#answered();
    const isCurrent = () => life === this.#life && this.#reloading;
    await this.#timers.pause('load', retryAfter * 1000);
    while (isCurrent()) {
      if (this.#site.who() !== this.#identity) return this.#begin();
      try {
        const view = this.#view;
        const list = await this.#list(view, Infinity);
        if (!isCurrent()) return;
        this.#reloading = false;
        this.#replica.replace(list, view);
        this.#problem = null;
        this.#backoff.reset();
        this.#wishes.shown(Infinity);
        this.#changed();
        if (this.#linkEpoch !== null && this.#linkEpoch !== list.epoch) this.#link?.restart();
        else this.#ask();
      } catch (problem) {
        if (!isCurrent()) return;
        this.#note(problem);
        if (!(problem instanceof HubError) || !problem.passing) {
          this.#link?.close();
          this.#link = null;
          this.#reloading = false;
          return this.#changed();
        }
        await this.#timers.pause('load', this.#backoff.next(problem.retryAfter));
      }
    }
  }

  /** The cursor may have moved. */
  #moved() {
    const version = this.#replica.cursor?.version ?? 0;
    this.#wishes.shown(version);
    if (version > this.#acked) this.#ackSoon();
  }

  #ackSoon() {
    if (this.#timers.has('ack') || !this.#isVisible()) return;
    this.#timers.after('ack', this.#timing.ack, () => {
      const { cursor } = this.#replica;
      const isInStep = this.#session !== '' && !this.#asked && !this.#reloading;
      if (!cursor || !isInStep || !this.#isVisible() || cursor.version <= this.#acked) return;
      this.#acked = cursor.version;
      this.#link?.send({ action: 'ack', version: cursor.version });
    });
  }

  // The snapshot

  /** @returns {State} */
  #snapshot() {
    const { cursor } = this.#replica;
    const before = this.#state ?? this.#last;
    const items = [...select(this.#replica, this.#view, this.#wishes.foresee)];
    const same =
      before.items.length === items.length && items.every((row, i) => row === before.items[i]);
    const horizon = this.#replica.horizon(this.#view);
    const position = cursor && { epoch: cursor.epoch, version: cursor.version };
    return (this.#last = Object.freeze({
      status: this.#status(),
      error: this.#problem ?? this.#link?.status.error ?? null,
      ...this.#wishes.counters(this.#replica),
      items: same ? before.items : Object.freeze(items),
      filter: this.#view,
      loaded: this.#loaded && horizon !== Infinity,
      loading: this.#pageKey !== null,
      hasMore: this.#loaded && horizon !== 0,
      position,
    }));
  }

  /** @type {State} */
  #last = Object.freeze({
    status: 'idle',
    error: null,
    unread: 0,
    unseen: 0,
    items: [],
    filter: viewOf({}),
    loaded: false,
    loading: false,
    hasMore: false,
    position: null,
  });

  /** @returns {Status} */
  #status() {
    if (!this.#running) return 'idle';
    const phase = this.#link?.status.phase;
    if (phase === 'ended') return 'ended';
    if (this.#problem && !this.#link && !PASSING.has(this.#problem.code)) return 'ended';
    if (this.#session && phase === 'open') return 'live';
    if (this.#session && phase === 'polling') return 'polling';
    if (!this.#online) return 'offline';
    if (!this.#problem && (!this.#loaded || this.#isFirst)) return 'starting';
    return 'reconnecting';
  }

  /** True until the first connect has ended, well or not. */
  get #isFirst() {
    const { phase, session } = this.#link?.status ?? { phase: 'connecting', session: '' };
    return phase === 'connecting' && session === '';
  }

  #changed() {
    this.#state = null;
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#telling = false;
      for (const listener of [...this.#listeners]) listener();
    });
  }

  /** @param {unknown} problem */
  #note(problem) {
    if (!(problem instanceof HubError)) throw problem;
    this.#problem = { code: problem.code, detail: problem.detail };
    this.#changed();
  }

  // Lists

  #pageSize() {
    return Math.min(this.#options.pageSize ?? 30, MOST_PER_PAGE);
  }

  /**
   * @param {View} view
   * @param {number} before an id; Infinity for the first page
   */
  async #list({ state, type }, before) {
    const query = new URLSearchParams({ limit: String(this.#pageSize()) });
    if (before !== Infinity) query.set('before', String(before));
    if (state === 'unread') query.set('read', 'false');
    if (state === 'archived') query.set('state', 'archived');
    if (type) query.set('type', type);
    return (await this.#rest.get(`notifications/?${query}`)).data;
  }

  // The page around it

  #listenToPage() {
    this.#unlisten = listenToPage({
      options: this.#options,
      visibility: () => {
        if (!this.#isVisible()) return this.#kept.save(this.#identity, this.#replica);
        if (this.#site.who() !== this.#identity) return this.#begin();
        this.#link?.nudge('visible');
        this.#moved();
      },
      network: (isOnline) => {
        this.#online = isOnline;
        if (isOnline) this.#timers.hurry('load');
        this.#link?.nudge(isOnline ? 'online' : 'offline');
        this.#changed();
      },
      left: () => {
        this.#wishes.letGo();
        this.#kept.save(this.#identity, this.#replica);
        // A page that keeps a socket cannot be kept itself, and another tab shall lead at once.
        this.#link?.close();
        this.#session = '';
        this.#resumeLater();
      },
      back: () => this.#begin(),
      arrived: () => {
        this.#timers.hurry('load');
        this.#link?.nudge('online');
      },
      read: (id) => this.mark({ state: 'read', ids: [id] }),
    });
  }

  #ticket() {
    const { ticket, token } = this.#options;
    if (typeof ticket === 'function') return ticket;
    if (!ticket && !token) return null;
    return async () => /** @type {string} */ ((await this.#rest.post('ws-ticket/')).data.ticket);
  }

  #sharing() {
    const { share = typeof document !== 'undefined' } = this.#options;
    const locks = this.#options.locks ?? globalThis.navigator?.locks;
    const BroadcastChannel = this.#options.BroadcastChannel ?? globalThis.BroadcastChannel;
    // Without knowing whose tabs they are, one user's frames could reach another's tab.
    if (!share || !locks || !BroadcastChannel || this.#options.locks === null) return null;
    if (!this.#identity) return null;
    const name = `django-notification-hub ${this.#site.socket} ${this.#identity}`;
    return { name, locks, BroadcastChannel };
  }
}

const PASSING = new Set(['network', 'timeout', 'throttled', 'server_error', 'unavailable']);

/**
 * @param {Filter} filter
 * @returns {View}
 */
function viewOf({ state = 'inbox', type = '' }) {
  return Object.freeze({ state, type });
}

/**
 * @param {View} view
 * @param {number} before
 */
function keyOf({ state, type }, before) {
  return `${state}:${type}:${before}`;
}

/** @param {readonly number[]} ids */
function checked(ids) {
  if (ids.length > MOST_IDS) throw new RangeError(`at most ${MOST_IDS} ids at once`);
  return [...ids];
}
