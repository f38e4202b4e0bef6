// The way to the hub: one WebSocket that comes back by itself, or polling where none gets through.
//
// Towards the client both look the same: frames of docs/protocol.md in both directions.

import { Backoff } from './backoff.js';
import { HubError } from './rest.js';
import { Timers } from './timers.js';

/** @import { Rest } from './rest.js' */
/** @import { Cursor } from './replica.js' */
/** @import { Timing } from '../types/index.js' */

/** @typedef {{ code: string, detail: string }} Problem */
/**
 * `session` is new with each `hello`, and when polling begins: what was sent before may be lost.
 * `resumes`: a sync follows by itself, from where the tab that leads stood.
 * @typedef {object} LinkStatus
 * @property {'connecting' | 'open' | 'polling' | 'waiting' | 'ended'} phase
 * @property {string} session
 * @property {boolean} resumes
 * @property {string | null} epoch
 * @property {Problem | null} error
 */
/** @typedef {'visible' | 'online' | 'offline' | 'retry'} Nudge */
/**
 * @typedef {object} Listeners
 * @property {(frame: any) => void} onFrame
 * @property {(status: LinkStatus) => void} onStatus
 */
/**
 * @typedef {object} UplinkOptions
 * @property {string} socketUrl
 * @property {typeof globalThis.WebSocket | undefined} WebSocket
 * @property {Rest} rest
 * @property {(() => Promise<string>) | null} ticket
 * @property {() => Cursor | null} cursor where to resume
 * @property {() => boolean} isVisible
 * @property {Timing} timing
 */

/** After so many connects without a `hello` it polls too. */
const BLOCKED = 3;
/** After so many 4501 in a row, though REST says that all is well, it gives up. */
const UNWELCOME = 5;
/** The hub allows 100 frames in 10 s. */
const FRAMES = 80;
const FRAMES_WITHIN = 10_000;

/** @type {Record<number, Problem>} */
const FINAL = {
  1009: { code: 'too_large', detail: 'A frame was too large.' },
  4500: { code: 'too_many_errors', detail: 'The hub refused too many frames.' },
  4501: { code: 'not_authenticated', detail: 'Sign in again.' },
  4502: { code: 'too_many_sockets', detail: 'Open in too many places at once.' },
  4503: { code: 'too_large', detail: 'A frame was too large.' },
};

/** @param {string} prefix */
export function newRef(prefix) {
  const random = Math.floor(Math.random() * 2 ** 40).toString(36);
  return `${prefix}.${random}`;
}

export class Uplink {
  /** @type {UplinkOptions & Listeners} */
  #options;
  /** @type {LinkStatus} */
  #status = { phase: 'connecting', session: '', resumes: false, epoch: null, error: null };
  /** Counts connects: whatever belongs to an older one is ignored. */
  #attempt = 0;
  /** @type {WebSocket | null} */
  #socket = null;
  #greeted = false;
  /** @type {number | null} */
  #retryAfter = null;
  #unwelcome = 0;
  #backoff;

  /** The version that the socket was sent; null if unknown. @type {number | null} */
  #position = null;
  #acked = 0;
  /** A sync follows `hello`. */
  #resumes = false;

  /** @type {any[]} */
  #outgoing = [];
  /** @type {number[]} */
  #sent = [];
  #heard = 0;
  /** @type {number | null} */
  #probed = null;

  #timers = new Timers();
  #polling = false;
  /** @type {Promise<void> | null} */
  #round = null;
  /** @type {string | null} */
  #etag = null;

  /** @param {UplinkOptions & Listeners} options */
  constructor(options) {
    this.#options = options;
    const { retryFirst, retryLongest } = options.timing;
    this.#backoff = new Backoff({ first: retryFirst, longest: retryLongest });
  }

  get status() {
    return this.#status;
  }

  open() {
    void this.#connect();
  }

  close() {
    this.#attempt += 1;
    this.#polling = false;
    this.#timers.clear();
    this.#drop(1000);
  }

  /** Connects anew, at the cursor there is now. */
  restart() {
    this.#drop(1000);
    void this.#connect();
  }

  /** Something has changed outside: do not wait any longer. @param {Nudge} why */
  nudge(why) {
    const { phase, error } = this.#status;
    if (phase === 'open') {
      const { answer } = this.#options.timing;
      if (why !== 'visible' || Date.now() - this.#heard > answer) this.#probe(answer / 3);
    } else if (phase === 'ended') {
      const again = why === 'visible' && error?.code === 'too_many_sockets';
      if (why === 'retry' || again) this.#comeBack();
    } else if (why !== 'offline' && !this.#socket) {
      this.#comeBack();
    }
    if (this.#polling && why !== 'offline') void this.#poll();
  }

  /** Sends a client frame; false if there is no way at the moment. @param {any} frame */
  send(frame) {
    if (this.#status.phase === 'polling') {
      void this.#byRest(frame);
      return true;
    }
    if (this.#status.phase !== 'open') return false;
    if (frame.action !== 'ack') {
      this.#write(frame);
    } else if (frame.version > this.#acked && frame.version <= (this.#position ?? 0)) {
      this.#acked = frame.version;
      this.#write(frame);
    }
    return true;
  }

  // Connecting

  #comeBack() {
    this.#backoff.reset();
    this.#unwelcome = 0;
    void this.#connect();
  }

  async #connect() {
    const attempt = ++this.#attempt;
    const { WebSocket, ticket, timing } = this.#options;
    this.#timers.stop('retry');
    this.#drop(1000);
    if (!this.#polling) this.#become({ phase: 'connecting' });
    if (!WebSocket) return this.#lost();
    /** @type {string[]} */
    let protocols = [];
    try {
      if (ticket) protocols = ['hub.v1', `ticket.${await ticket()}`];
    } catch (problem) {
      if (attempt !== this.#attempt) return;
      if (problem instanceof HubError && !problem.passing) return this.#end(problem);
      return this.#lost(problem instanceof HubError ? problem.retryAfter : null);
    }
    if (attempt !== this.#attempt) return;
    const cursor = this.#options.cursor();
    this.#resumes = cursor !== null;
    const url = new URL(this.#options.socketUrl);
    if (cursor) {
      url.searchParams.set('since', cursor.page ?? String(cursor.version));
      url.searchParams.set('epoch', cursor.epoch);
    }
    const socket = new WebSocket(url.href, protocols);
    this.#socket = socket;
    this.#greeted = false;
    this.#retryAfter = null;
    socket.onmessage = (message) => {
      if (attempt === this.#attempt) this.#hear(message.data);
    };
    socket.onclose = (close) => {
      if (attempt === this.#attempt) void this.#closed(close.code);
    };
    this.#timers.after('connect', timing.connect, () => this.#give(1000));
  }

  /** Lets go of the socket, without a word to anybody. @param {number} code */
  #drop(code) {
    const socket = this.#socket;
    this.#socket = null;
    this.#timers.stop('connect');
    this.#timers.stop('heartbeat');
    this.#timers.stop('drain');
    this.#position = this.#probed = null;
    this.#acked = 0;
    this.#outgoing = [];
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    // Closing one that is still connecting is an "error" event, of which nobody wants to know.
    socket.onerror = () => {};
    socket.close(code);
  }

  /** Gives this connection up, as if it had broken. @param {number} code */
  #give(code) {
    this.#attempt += 1;
    this.#drop(code);
    this.#lost();
  }

  /** @param {number} code */
  async #closed(code) {
    const greeted = this.#greeted;
    const retryAfter = this.#retryAfter;
    this.#drop(1000);
    if (code === 4501) return this.#rejected(greeted);
    if (code === 1009 || (code >= 4500 && code < 5000)) {
      return this.#end(FINAL[code] ?? { code: String(code), detail: 'The hub closed the socket.' });
    }
    this.#lost(retryAfter);
  }

  /** Not signed in, says the socket: a ticket may have been too old, a session renewed elsewhere. */
  async #rejected(/** @type {boolean} */ greeted) {
    const attempt = this.#attempt;
    this.#unwelcome = greeted ? 1 : this.#unwelcome + 1;
    if (this.#unwelcome >= UNWELCOME) return this.#end(FINAL[4501]);
    try {
      await this.#options.rest.get('notifications/summary/');
    } catch (problem) {
      if (attempt !== this.#attempt) return;
      if (problem instanceof HubError && !problem.passing) return this.#end(problem);
    }
    if (attempt === this.#attempt) this.#lost();
  }

  /** @param {number | null} [retryAfter] */
  #lost(retryAfter = null) {
    const wait = this.#backoff.next(retryAfter);
    if (this.#backoff.failures >= BLOCKED && !this.#polling) {
      this.#polling = true;
      void this.#poll();
    }
    if (this.#status.phase !== 'polling') this.#become({ phase: 'waiting' });
    this.#timers.after('retry', wait, () => void this.#connect());
  }

  /** @param {Problem} problem */
  #end({ code, detail }) {
    this.close();
    this.#become({ phase: 'ended', error: { code, detail } });
  }

  /** @param {Partial<LinkStatus>} change */
  #become(change) {
    this.#status = { ...this.#status, error: null, resumes: false, ...change };
    this.#options.onStatus(this.#status);
  }

  // Frames of the server

  /** @param {unknown} text */
  #hear(text) {
    this.#heard = Date.now();
    /** @type {any} */
    let frame;
    try {
      frame = JSON.parse(String(text));
    } catch {
      return this.#give(1000); // something on the way has spoilt it
    }
    if (typeof frame?.action !== 'string') return;
    switch (frame.action) {
      case 'hello':
        return this.#greet(frame);
      case 'ping':
        // The answer says where the socket stands: whoever stands lower has missed something.
        return this.#write({ action: 'pong', ref: newRef('pong') });
      case 'bye':
        this.#retryAfter = frame.retry_after;
        return;
      case 'reset':
        this.#position = null;
        break;
      case 'new':
      case 'marked':
      case 'deleted':
      case 'sync':
        this.#position = Math.max(this.#position ?? 0, frame.version);
    }
    this.#options.onFrame(frame);
  }

  /** @param {any} hello */
  #greet(hello) {
    if (this.#greeted) return;
    this.#greeted = true;
    this.#unwelcome = 0;
    this.#backoff.reset();
    this.#timers.stop('connect');
    this.#polling = false;
    this.#timers.stop('poll');
    this.#position = this.#resumes ? null : hello.version;
    const session = newRef('socket');
    this.#become({ phase: 'open', session, epoch: hello.epoch, resumes: this.#resumes });
    this.#beat();
  }

  // Frames of the client

  /** @param {any} frame */
  #write(frame) {
    this.#outgoing.push(frame);
    this.#drain();
  }

  #drain() {
    const now = Date.now();
    this.#sent = this.#sent.filter((at) => now - at < FRAMES_WITHIN);
    while (this.#outgoing.length > 0 && this.#sent.length < FRAMES) {
      if (this.#socket?.readyState !== 1) return;
      this.#socket.send(JSON.stringify(this.#outgoing.shift()));
      this.#sent.push(now);
    }
    if (this.#outgoing.length > 0) this.#timers.after('drain', 500, () => this.#drain());
  }

  // Is it still there?

  #beat() {
    const { silence, answer } = this.#options.timing;
    this.#timers.after('heartbeat', Math.min(silence, answer), () => {
      // A machine that slept comes here late: it asks first, before it gives anything up.
      if (this.#probed === null && Date.now() - this.#heard >= silence) this.#probe();
      else this.#beat();
    });
  }

  /** @param {number} [wait] */
  #probe(wait = this.#options.timing.answer) {
    if (this.#probed !== null) return;
    const probed = (this.#probed = Date.now());
    this.#write({ action: 'pong', ref: newRef('pong') });
    this.#timers.after('heartbeat', wait, () => {
      this.#probed = null;
      if (this.#heard >= probed) return this.#beat();
      this.#give(1000);
    });
  }

  // Polling

  #poll() {
    this.#round ??= this.#pollOnce().finally(() => {
      this.#round = null;
      if (!this.#polling) return;
      const { poll, pollHidden } = this.#options.timing;
      const wait = this.#options.isVisible() ? poll : pollHidden;
      this.#timers.after('poll', wait * (0.75 + Math.random() / 2), () => void this.#poll());
    });
    return this.#round;
  }

  async #pollOnce() {
    try {
      const summary = await this.#options.rest.get('notifications/summary/', { etag: this.#etag });
      if (!this.#polling) return;
      if (this.#status.phase !== 'polling') {
        // Whoever waits for an answer asks again; that also reads what has changed.
        this.#etag = null;
        this.#become({ phase: 'polling', session: newRef('poll'), epoch: null });
      } else if (summary.status !== 304) {
        await this.#changes();
      }
      if (summary.status !== 304) this.#etag = summary.etag;
    } catch (problem) {
      if (!this.#polling) return;
      if (problem instanceof HubError && !problem.passing) return this.#end(problem);
      this.#etag = null;
      this.#become({ phase: 'waiting' });
    }
  }

  /**
   * What `changes/` answers, as sync frames.
   * @param {number | string} [from] where to begin; left out: the client's own cursor
   */
  async #changes(from) {
    const cursor = this.#options.cursor();
    if (!cursor) return;
    let since = from ?? cursor.page ?? cursor.version;
    const { rest } = this.#options;
    for (;;) {
      const query = new URLSearchParams({ epoch: cursor.epoch, since: String(since) });
      const { data } = await rest.get(`notifications/changes/?${query}`);
      const { data: now } = await rest.get('notifications/summary/');
      if (!this.#polling) return;
      if (data.reset) return this.#options.onFrame({ action: 'reset', retry_after: data.retry_after });
      const { unread, unseen } = now;
      this.#options.onFrame({ action: 'sync', since, ...data, unread, unseen });
      // The counters are those of the moment they were read: go on until nothing lies between.
      if (!data.more && (now.version === data.version || now.epoch !== data.epoch)) return;
      since = data.cursor ?? data.version;
    }
  }

  /** @param {any} frame */
  async #byRest(frame) {
    const { action, ref, ...body } = frame;
    const { rest } = this.#options;
    try {
      let changed = 0;
      if (action === 'mark') {
        changed = (await rest.post('notifications/mark/', body)).data.changed;
      } else if (action === 'delete') {
        for (const id of body.ids) changed += await this.#deleteOne(id);
      } else if (action !== 'sync') {
        return;
      }
      await this.#changes(body.since);
      const version = this.#options.cursor()?.version ?? 0;
      this.#options.onFrame({ action: 'done', ref, changed, version });
    } catch (problem) {
      // Without an answer the client asks again.
      if (!(problem instanceof HubError) || problem.passing || ref === undefined) return;
      this.#options.onFrame({ action: 'error', ref, code: problem.code, detail: problem.detail });
    }
  }

  /** @param {number} id */
  async #deleteOne(id) {
    try {
      await this.#options.rest.delete(`notifications/${id}/`);
      return 1;
    } catch (problem) {
      if (problem instanceof HubError && problem.status === 404) return 0;
      throw problem;
    }
  }
}
