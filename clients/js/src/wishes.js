// Wishes: marks and deletions, shown before they are made, and taken back if the hub refuses.

import { reaches, withState } from './replica.js';
import { HubError } from './rest.js';
import { newRef } from './uplink.js';

/** @import { Marked, Notification } from '../types/index.js' */
/** @import { Replica } from './replica.js' */

/**
 * Something asked for that the inbox does not show yet. `version` is set once the hub has done it.
 * @typedef {object} Wish
 * @property {any} frame
 * @property {string} at
 * @property {ReadonlySet<number> | null} ids
 * @property {number | null} version
 * @property {number} sentAt 0: not sent
 * @property {boolean} held
 * @property {(marked: Marked) => void} resolve
 * @property {(problem: HubError) => void} reject
 */
/**
 * @typedef {object} WishesOptions
 * @property {(frame: any) => boolean} send false if there is no way at the moment
 * @property {() => void} changed
 * @property {number} patience milliseconds until what has no answer is sent again
 */

/** Stands for a row that will be deleted. */
const GONE = /** @type {Notification} */ (/** @type {unknown} */ ({}));

export class Wishes {
  #options;
  /** By ref. @type {Map<string, Wish>} */
  #wishes = new Map();
  /** Rows with wishes applied; thrown away when these change. @type {WeakMap<Notification, Notification>} */
  #foreseen = new WeakMap();
  /** @type {ReturnType<typeof setTimeout> | null} */
  #timer = null;

  /** @param {WishesOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /**
   * @param {any} frame
   * @param {number} [hold] milliseconds in which the signal calls it off
   * @param {AbortSignal} [signal]
   * @returns {Promise<Marked>}
   */
  make(frame, hold = 0, signal) {
    const ref = newRef('wish');
    return new Promise((resolve, reject) => {
      /** @type {Wish} */
      const wish = {
        frame: { ...frame, ref },
        at: new Date().toISOString(),
        ids: frame.ids ? new Set(frame.ids) : null,
        version: null,
        sentAt: 0,
        held: hold > 0,
        resolve,
        reject,
      };
      this.#wishes.set(ref, wish);
      this.#foreseen = new WeakMap();
      this.#options.changed();
      if (hold === 0) return this.#send(wish);
      setTimeout(() => this.letGo([wish]), hold);
      signal?.addEventListener('abort', () => {
        if (wish.held) this.#settle(wish, cancelled('Called off.'));
      });
    });
  }

  /** What is held is held no longer. @param {Iterable<Wish>} [wishes] */
  letGo(wishes = this.#wishes.values()) {
    for (const wish of wishes) {
      if (!wish.held) continue;
      wish.held = false;
      this.#send(wish);
    }
  }

  /** There is a way again: whatever has no answer may have got lost. */
  sendAll() {
    for (const wish of this.#wishes.values()) this.#send(wish);
  }

  /** @param {string} why */
  callOff(why) {
    for (const wish of [...this.#wishes.values()]) this.#settle(wish, cancelled(why));
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** @param {{ ref: string, changed: number, version: number }} answer */
  done({ ref, changed, version }) {
    const wish = this.#wishes.get(ref);
    if (!wish || wish.version !== null) return;
    // It stays until the inbox shows it; what alters nothing is there already.
    wish.version = changed === 0 ? 0 : version;
    wish.resolve({ changed, version });
  }

  /**
   * @param {string} ref
   * @param {HubError} problem
   */
  refused(ref, problem) {
    const wish = this.#wishes.get(ref);
    if (wish && wish.version === null) this.#settle(wish, problem);
  }

  /** The inbox shows everything up to this version. @param {number} version */
  shown(version) {
    for (const wish of [...this.#wishes.values()]) {
      if (wish.version !== null && wish.version <= version) this.#settle(wish);
    }
  }

  /**
   * The row as it will be; null if it will be gone.
   * @param {Notification} row
   * @returns {Notification | null}
   */
  foresee = (row) => {
    if (this.#wishes.size === 0) return row;
    let seen = this.#foreseen.get(row);
    if (!seen) {
      seen = this.#applied(row);
      this.#foreseen.set(row, seen);
    }
    return seen === GONE ? null : seen;
  };

  /** The hub's counters, and what the wishes will make of them. @param {Replica} replica */
  counters(replica) {
    let { unread, unseen } = replica.counters;
    if (this.#wishes.size === 0) return { unread, unseen };
    for (const row of replica.rows.values()) {
      const seen = this.foresee(row);
      if (seen === row) continue;
      unread += Number(counts(seen, 'read_at')) - Number(counts(row, 'read_at'));
      unseen += Number(counts(seen, 'seen_at')) - Number(counts(row, 'seen_at'));
    }
    // A mark of everything also means what was never loaded.
    const version = replica.cursor?.version ?? 0;
    for (const { frame } of this.#wishes.values()) {
      if (frame.up_to === undefined || frame.type || frame.up_to < version) continue;
      if (frame.state === 'read' || frame.state === 'archived') unread = 0;
      if (frame.state !== 'unread' && frame.state !== 'unarchived') unseen = 0;
    }
    return { unread: Math.max(0, unread), unseen: Math.max(0, unseen) };
  }

  /** @param {Notification} row */
  #applied(row) {
    let seen = row;
    for (const { frame, at, ids } of this.#wishes.values()) {
      if (!(ids ? ids.has(row.id) : reaches(frame, seen))) continue;
      if (frame.action === 'delete') return GONE;
      seen = withState(seen, frame.state, at);
    }
    return seen;
  }

  /** @param {Wish} wish */
  #send(wish) {
    if (wish.held || wish.version !== null || !this.#wishes.has(wish.frame.ref)) return;
    if (!this.#options.send(wish.frame)) return;
    wish.sentAt = Date.now();
    this.#watch();
  }

  /** What stays without an answer is sent again: to mark or delete twice alters nothing. */
  #watch() {
    this.#timer ??= setTimeout(() => {
      this.#timer = null;
      const sent = [...this.#wishes.values()].filter(
        ({ version, sentAt }) => version === null && sentAt > 0,
      );
      for (const wish of sent) {
        if (Date.now() - wish.sentAt >= this.#options.patience) this.#send(wish);
      }
      if (sent.length > 0) this.#watch();
    }, this.#options.patience);
  }

  /**
   * @param {Wish} wish
   * @param {HubError} [problem]
   */
  #settle(wish, problem) {
    wish.held = false;
    this.#wishes.delete(wish.frame.ref);
    this.#foreseen = new WeakMap();
    if (problem) wish.reject(problem);
    this.#options.changed();
  }
}

/** @param {string} detail */
function cancelled(detail) {
  return new HubError({ code: 'cancelled', detail });
}

/**
 * @param {Notification | null} row
 * @param {'read_at' | 'seen_at'} time
 */
function counts(row, time) {
  return row !== null && !row[time] && !row.archived_at && !row.expired_at;
}
