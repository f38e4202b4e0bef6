// The client's copy of the inbox, kept equal as section 7 of docs/protocol.md says. Does no I/O.

/** @import { Notification, MarkState } from '../types/index.js' */

/**
 * Where the copy stands. `page` names the next page while a sync is unfinished.
 * @typedef {{ epoch: string, version: number, page: string | null }} Cursor
 */
/** @typedef {'inbox' | 'unread' | 'archived'} Shelf */
/** @typedef {{ state: Shelf, type: string }} View */
/** @typedef {MarkState | 'expired'} State */
/**
 * Which rows a mark means.
 * @typedef {{ ids?: readonly number[], up_to?: number, type?: string }} Reach
 */
/** @typedef {Reach & { state: State, at: string, version: number }} Mark */
/**
 * What became of a frame: `gap` means that something before it is missing, `reset` that its
 * history is another one.
 * @typedef {'applied' | 'ignored' | 'gap' | 'reset'} Outcome
 */
/** A list that is being asked for. @typedef {{ marks: Mark[], generation: number }} Request */

/** Marks after which a row may belong on a shelf where it was not before. */
const BRINGS = /** @type {const} */ ({
  inbox: ['unarchived'],
  unread: ['unarchived', 'unread'],
  archived: ['archived'],
});

/** Deleted ids that are remembered. */
const MOST_REMOVED = 10_000;

export class Replica {
  /** @type {Map<number, Notification>} */
  rows = new Map();
  /** @type {Cursor | null} */
  cursor = null;
  counters = { unread: 0, unseen: 0 };
  /** Counts loads from scratch: an answer that was asked for before one is dropped. */
  generation = 0;
  /** Rows that arrived with the last frame. @type {Notification[]} */
  arrivals = [];

  /** From which id on a view is complete; 0: all of it. @type {Map<string, number>} */
  #horizons = new Map();
  /** Under way; frames that come in the meantime are newer than their answers. @type {Set<Request>} */
  #requests = new Set();
  /** Ids that are gone for good: an answer or a frame that is late must not bring them back. */
  #removed = /** @type {Set<number>} */ (new Set());
  /** @type {number[] | null} */
  #order = null;
  #epoch = '';

  // What can be shown

  /** All ids, newest first. */
  get order() {
    this.#order ??= [...this.rows.keys()].sort((a, b) => b - a);
    return this.#order;
  }

  /**
   * From which id on every row of this view is here; Infinity if nothing was loaded.
   * @param {View} view
   */
  horizon(view) {
    // A narrower view is complete wherever a wider one is.
    const wider = [view, { ...view, type: '' }];
    if (view.state === 'unread') {
      wider.push({ state: 'inbox', type: view.type }, { state: 'inbox', type: '' });
    }
    return Math.min(...wider.map((each) => this.#horizons.get(key(each)) ?? Infinity));
  }

  // Lists from REST

  /** Call before asking for a list. @returns {Request} */
  begin() {
    const request = { marks: [], generation: this.generation };
    this.#requests.add(request);
    return request;
  }

  /** Call when its answer was taken in, or none came. @param {Request} request */
  end(request) {
    this.#requests.delete(request);
  }

  /**
   * Start from a list: nothing that was here before counts.
   * @param {{ results: Notification[], next: string | null, epoch: string, version: number }} list
   * @param {View} view that was asked for
   */
  replace(list, view) {
    // In another history of the database they may be there again.
    if (list.epoch !== this.#epoch) this.#removed.clear();
    this.#epoch = list.epoch;
    this.rows = new Map(list.results.map((row) => [row.id, row]));
    this.cursor = { epoch: list.epoch, version: list.version, page: null };
    this.generation += 1;
    this.#order = null;
    this.#horizons = new Map([[key(view), lowest(list)]]);
  }

  /**
   * Add a page of a list. False if it came too late to be of use.
   * @param {{ results: Notification[], next: string | null, epoch: string, version: number }} list
   * @param {View} view that was asked for
   * @param {Request} request
   */
  merge(list, view, request) {
    if (request.generation !== this.generation || list.epoch !== this.cursor?.epoch) return false;
    for (const row of list.results) {
      if (this.#put(row)) {
        // The list may have been read before frames that came before it.
        for (const mark of request.marks) {
          if (mark.version > list.version) this.#mark(mark, [row.id]);
        }
      }
    }
    this.#horizons.set(key(view), Math.min(lowest(list), this.horizon(view)));
    return true;
  }

  // Frames

  /**
   * @param {any} frame `new`, `marked`, `deleted` or `sync`
   * @returns {Outcome}
   */
  apply(frame) {
    this.arrivals = [];
    if (!this.cursor) return 'ignored';
    if (frame.action === 'sync') return this.#applySync(frame);
    if (frame.version <= this.cursor.version) return 'ignored';
    if (frame.version > this.cursor.version + 1 || this.cursor.page !== null) return 'gap';
    if (frame.action === 'marked') {
      if (this.#bringsUnknown(frame)) return 'gap';
      this.#mark(frame);
      for (const request of this.#requests) request.marks.push(frame);
    } else if (frame.action === 'deleted') {
      for (const id of frame.ids) this.#remove(id);
    } else {
      this.#arrive(frame.notification);
    }
    this.cursor = { ...this.cursor, version: frame.version };
    this.counters = { unread: frame.unread, unseen: frame.unseen };
    return 'applied';
  }

  /**
   * @param {any} frame
   * @returns {Outcome}
   */
  #applySync(frame) {
    const cursor = /** @type {Cursor} */ (this.cursor);
    if (frame.epoch !== cursor.epoch) return 'reset';
    for (const change of frame.changes) {
      if (change.deleted) this.#remove(change.id);
      else if (change.arrived > cursor.version) this.#arrive(change);
      else this.#put(change);
    }
    // Read from beyond where this copy stands, or the page after one that got lost.
    const { since } = frame;
    if (typeof since === 'string' ? since !== cursor.page : since > cursor.version) return 'gap';
    // Doubled or late on the way: everything in it is known, and its counters are old.
    if (frame.version < cursor.version) return 'applied';
    this.cursor = {
      epoch: frame.epoch,
      version: frame.version,
      page: frame.more ? frame.cursor : null,
    };
    this.counters = { unread: frame.unread, unseen: frame.unseen };
    return 'applied';
  }

  /** @param {Notification} row */
  #arrive(row) {
    const isNew = !this.rows.has(row.id);
    if (this.#put(row) && isNew && !row.archived_at && !row.expired_at) this.arrivals.push(row);
  }

  /** The row rule. @param {Notification} row */
  #put(row) {
    const known = this.rows.get(row.id);
    if (this.#removed.has(row.id)) return false;
    if (known && known.version >= row.version) return false;
    if (!known) this.#order = null;
    this.rows.set(row.id, row);
    return true;
  }

  /** @param {number} id */
  #remove(id) {
    this.#removed.add(id);
    if (this.#removed.size > MOST_REMOVED) {
      this.#removed.delete(/** @type {number} */ (this.#removed.values().next().value));
    }
    if (this.rows.delete(id)) this.#order = null;
  }

  /**
   * @param {Mark} mark
   * @param {Iterable<number>} [ids] only these
   */
  #mark(mark, ids = mark.ids ?? this.rows.keys()) {
    const reached = mark.ids ? new Set(mark.ids) : null;
    for (const id of ids) {
      const row = this.rows.get(id);
      if (!row || row.version >= mark.version) continue;
      if (!(reached ? reached.has(id) : reaches(mark, row))) continue;
      const marked = withState(row, mark.state, mark.at);
      if (marked !== row) this.rows.set(id, { ...marked, version: mark.version });
    }
  }

  /**
   * True if the mark may bring rows into a loaded view that are not here: whoever loaded the list
   * while they were archived never got them.
   * @param {Mark} mark
   */
  #bringsUnknown(mark) {
    let horizon = Infinity;
    for (const [name, from] of this.#horizons) {
      const shelf = /** @type {Shelf} */ (name.slice(0, name.indexOf(':')));
      if (/** @type {readonly string[]} */ (BRINGS[shelf]).includes(mark.state)) {
        horizon = Math.min(horizon, from);
      }
    }
    if (horizon === Infinity) return false;
    return mark.ids ? mark.ids.some((id) => id >= horizon && !this.rows.has(id)) : true;
  }

  // Across page loads

  /** @param {number} most rows */
  save(most) {
    const view = /** @type {View} */ ({ state: 'inbox', type: '' });
    const horizon = this.horizon(view);
    if (!this.cursor || horizon === Infinity) return null;
    const rows = [...select(this, view)].slice(0, most);
    const whole = horizon === 0 && rows.length < most;
    const from = whole ? 0 : (rows.at(-1)?.id ?? horizon);
    return { cursor: this.cursor, counters: this.counters, rows, from };
  }

  /** @param {NonNullable<ReturnType<Replica['save']>>} saved */
  restore({ cursor, counters, rows, from }) {
    this.rows = new Map(rows.map((row) => [row.id, row]));
    this.cursor = cursor;
    this.#epoch = cursor.epoch;
    this.counters = counters;
    this.#order = null;
    this.#horizons = new Map([[key({ state: 'inbox', type: '' }), from]]);
  }
}

/** @param {View} view */
function key({ state, type }) {
  return `${state}:${type}`;
}

/** @param {{ results: Notification[], next: string | null }} list */
function lowest({ results, next }) {
  return next === null ? 0 : (results.at(-1)?.id ?? 0);
}

/**
 * The rows of a view, newest first, as far as it is complete.
 * @param {Replica} replica
 * @param {View} view
 * @param {(row: Notification) => Notification | null} [shown]
 */
export function* select(replica, view, shown = (row) => row) {
  const horizon = replica.horizon(view);
  for (const id of replica.order) {
    if (id < horizon) return;
    const row = shown(/** @type {Notification} */ (replica.rows.get(id)));
    if (row && isOn(view, row)) yield row;
  }
}

/**
 * @param {View} view
 * @param {Notification} row
 */
function isOn({ state, type }, row) {
  if (row.expired_at || (row.archived_at !== null) !== (state === 'archived')) return false;
  if (state === 'unread' && row.read_at) return false;
  return type === '' || row.event.type.name === type;
}

/**
 * Whether a mark by `up_to` means this row.
 * @param {Reach & { state: State }} mark
 * @param {Notification} row
 */
export function reaches({ state, up_to = 0, type }, row) {
  if (row.arrived > up_to || row.expired_at) return false;
  if ((row.archived_at !== null) !== (state === 'unarchived')) return false;
  return type === undefined || row.event.type.name === type;
}

/**
 * The row with this state set: the same object if that alters nothing.
 * @param {Notification} row
 * @param {State} state
 * @param {string} at
 * @returns {Notification}
 */
export function withState(row, state, at) {
  switch (state) {
    case 'seen':
      return row.seen_at ? row : { ...row, seen_at: at };
    case 'read':
      if (row.read_at && row.seen_at) return row;
      return { ...row, read_at: row.read_at ?? at, seen_at: row.seen_at ?? at };
    case 'unread':
      return row.read_at ? { ...row, read_at: null } : row;
    case 'archived':
      return row.archived_at ? row : { ...row, archived_at: at };
    case 'unarchived':
      return row.archived_at ? { ...row, archived_at: null } : row;
    case 'expired':
      return row.expired_at ? row : { ...row, expired_at: at };
    default:
      return row; // a state of a later version of the hub
  }
}
