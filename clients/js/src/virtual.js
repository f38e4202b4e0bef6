// A list that keeps only what is near the viewport in the document, of rows of any height.
//
// What somebody reads stays where it is while rows are added, removed or measured above it.
// Positions are numbers kept here: the browser is asked for them once per frame, as each question
// after a change makes it lay the page out.

/** @import { Notification } from '../types/index.js' */

/** Rows kept beyond each edge of the viewport. */
const BEYOND = 4;
/** Pixels from the top within which new rows push the others down. */
const AT_TOP = 8;
/** Rows that are remembered at the upper edge, should some of them be gone. */
const ANCHORS = 50;

/**
 * @typedef {object} VirtualOptions
 * @property {HTMLElement} scroller
 * @property {HTMLElement} list what is scrolled, beginning at the very top
 * @property {(row: Notification) => HTMLElement} create
 * @property {(element: HTMLElement, row: Notification) => void} update
 * @property {(element: HTMLElement, index: number) => void} place it has another index
 * @property {number} estimate pixels, of a row that was never measured
 */
/** @typedef {{ element: HTMLElement, row: Notification, index: number, top: number }} Shown */

export class VirtualList {
  /** @type {VirtualOptions} */
  #options;
  /** @type {readonly Notification[]} */
  #rows = [];
  /** Measured. @type {Map<number, number>} */
  #heights = new Map();
  /** Height and beginning of each row, by index; of the latter one more for the end. */
  #sizes = new Float64Array(0);
  #offsets = new Float64Array(1);
  /** @type {Map<number, Shown>} */
  #shown = new Map();
  #height = -1;

  /** Stays in the document wherever it is: it has the focus. @type {number | null} */
  pinned = null;
  /** Index of the last row that is in or near the viewport. */
  last = -1;

  /** @param {VirtualOptions} options */
  constructor(options) {
    this.#options = options;
  }

  get rows() {
    return this.#rows;
  }

  /** @param {number} id */
  element(id) {
    return this.#shown.get(id)?.element ?? null;
  }

  /** Rows are by id, newest first; -1 if there is none. @param {number} id */
  indexOf(id) {
    let low = 0;
    let high = this.#rows.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (this.#rows[middle].id === id) return middle;
      if (this.#rows[middle].id > id) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  /** @param {readonly Notification[]} rows */
  set(rows) {
    if (rows === this.#rows) return;
    const top = this.#options.scroller.scrollTop;
    const anchor = this.#anchor(top);
    this.#rows = rows;
    this.#sizes = new Float64Array(rows.length);
    this.#offsets = new Float64Array(rows.length + 1);
    for (let index = 0; index < rows.length; index += 1) {
      this.#sizes[index] = this.#heights.get(rows[index].id) ?? this.#options.estimate;
    }
    this.#lay();
    this.#draw(this.#held(anchor, top), top);
  }

  render() {
    const top = this.#options.scroller.scrollTop;
    this.#draw(top, top);
  }

  /** A row that grew or shrank by itself; left out: all, as the width has changed. @param {number} [id] */
  remeasure(id) {
    if (id === undefined) this.#heights.clear();
    else this.#heights.delete(id);
    this.render();
  }

  /** Brings a row into view. @param {number} index */
  reveal(index) {
    const { scroller } = this.#options;
    const room = scroller.clientHeight;
    // Twice: rows on the way may turn out to have another height than was thought.
    for (let round = 0; round < 2; round += 1) {
      const top = scroller.scrollTop;
      const from = this.#offsets[index];
      const to = this.#offsets[index + 1];
      this.#draw(from < top ? from : Math.max(top, to - room), top);
    }
  }

  /**
   * @param {number} top what is to be at the upper edge
   * @param {number} scrolled where the scroller is
   */
  #draw(top, scrolled) {
    const { scroller, list } = this.#options;
    const room = scroller.clientHeight;
    if (room === 0 && this.#rows.length > 0) return; // not laid out at all
    for (let round = 0; round < 3; round += 1) {
      const first = Math.max(0, this.#indexAt(top) - BEYOND);
      this.last = Math.min(this.#rows.length - 1, this.#indexAt(top + room) + BEYOND);
      this.#show(first, this.last);
      const anchor = this.#anchor(top);
      if (!this.#measure()) break;
      this.#lay();
      top = this.#held(anchor, top);
    }
    const height = this.#offsets[this.#rows.length];
    if (height !== this.#height) list.style.height = `${height}px`;
    this.#height = height;
    for (const shown of this.#shown.values()) {
      const from = this.#offsets[shown.index];
      if (from === shown.top) continue;
      shown.top = from;
      shown.element.style.transform = `translateY(${from}px)`;
    }
    if (Math.abs(top - scrolled) >= 1) scroller.scrollTop = top;
  }

  /**
   * @param {number} first
   * @param {number} last
   */
  #show(first, last) {
    const { list, create, update, place } = this.#options;
    const indexes = [];
    for (let index = first; index <= last; index += 1) indexes.push(index);
    const pinned = this.pinned === null ? -1 : this.indexOf(this.pinned);
    if (pinned !== -1 && pinned < first) indexes.unshift(pinned);
    if (pinned > last) indexes.push(pinned);

    const wanted = new Set(indexes.map((index) => this.#rows[index].id));
    for (const [id, { element }] of this.#shown) {
      if (wanted.has(id)) continue;
      this.#shown.delete(id);
      element.remove();
    }
    // In the document in the order in which they are seen; none that stays is ever moved.
    let next = list.firstElementChild;
    for (const index of indexes) {
      const row = this.#rows[index];
      const shown = this.#shown.get(row.id);
      if (!shown) {
        const element = create(row);
        this.#shown.set(row.id, { element, row, index, top: -1 });
        update(element, row);
        place(element, index);
        list.insertBefore(element, next);
        continue;
      }
      if (shown.row !== row) {
        this.#heights.delete(row.id);
        shown.row = row;
        update(shown.element, row);
      }
      if (shown.index !== index) {
        shown.index = index;
        place(shown.element, index);
      }
      next = shown.element.nextElementSibling;
    }
  }

  /** True if something has another height than was thought. */
  #measure() {
    let changed = false;
    for (const [id, { element, index }] of this.#shown) {
      if (this.#heights.has(id)) continue;
      const height = element.offsetHeight;
      this.#heights.set(id, height);
      changed ||= this.#sizes[index] !== height;
      this.#sizes[index] = height;
    }
    return changed;
  }

  #lay() {
    const sizes = this.#sizes;
    const offsets = this.#offsets;
    for (let index = 0; index < sizes.length; index += 1) {
      offsets[index + 1] = offsets[index] + sizes[index];
    }
  }

  /** The row at this height. @param {number} y */
  #indexAt(y) {
    let low = 0;
    let high = this.#rows.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#offsets[middle] <= y) low = middle;
      else high = middle - 1;
    }
    return Math.max(0, low);
  }

  /** What is at the upper edge, and what follows it. @param {number} top */
  #anchor(top) {
    if (top <= AT_TOP || this.#rows.length === 0) return null;
    const index = this.#indexAt(top);
    const ids = this.#rows.slice(index, index + ANCHORS).map((row) => row.id);
    return { ids, offsets: this.#offsets.slice(index, index + ANCHORS) };
  }

  /**
   * The scroll position at which that is where it was.
   * @param {{ ids: number[], offsets: Float64Array } | null} anchor
   * @param {number} top
   */
  #held(anchor, top) {
    for (const [i, id] of anchor?.ids.entries() ?? []) {
      const index = this.indexOf(id);
      if (index !== -1) return top + this.#offsets[index] - (anchor?.offsets[i] ?? 0);
    }
    return top;
  }
}
