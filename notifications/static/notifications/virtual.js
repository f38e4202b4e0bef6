// A list that keeps only what is near the viewport in the document, of rows of any height.
//
// What somebody reads stays where it is while rows are added, removed or measured above it.

/** @import { Notification } from '../types/index.js' */

/** Rows kept beyond each edge of the viewport. */
const BEYOND = 8;
/** Pixels from the top within which new rows push the others down. */
const AT_TOP = 8;

/**
 * @typedef {object} VirtualOptions
 * @property {HTMLElement} scroller
 * @property {HTMLElement} list the only thing inside that scrolls, at its top
 * @property {(row: Notification) => HTMLElement} create
 * @property {(element: HTMLElement, row: Notification, index: number) => void} update
 * @property {(row: Notification, element: HTMLElement) => void} [leave]
 * @property {number} estimate pixels, of a row that was never measured
 */

export class VirtualList {
  /** @type {VirtualOptions} */
  #options;
  /** @type {readonly Notification[]} */
  #rows = [];
  /** @type {Map<number, number>} */
  #heights = new Map();
  /** Where each row begins; one more for the end. */
  #offsets = new Float64Array(1);
  /** @type {Map<number, { element: HTMLElement, row: Notification, index: number }>} */
  #shown = new Map();
  /** Stays in the document wherever it is: it has the focus. @type {number | null} */
  pinned = null;

  /** @param {VirtualOptions} options */
  constructor(options) {
    this.#options = options;
  }

  get rows() {
    return this.#rows;
  }

  /** Index of the last row that is in or near the viewport. */
  last = -1;

  /** @param {readonly Notification[]} rows */
  set(rows) {
    const anchor = this.#anchor();
    this.#rows = rows;
    this.#lay();
    this.#hold(anchor);
    this.render();
  }

  /** Everything has another height: the width has changed. */
  forget() {
    const anchor = this.#anchor();
    this.#heights.clear();
    for (const [id, { element }] of this.#shown) this.#heights.set(id, element.offsetHeight);
    this.#lay();
    this.#hold(anchor);
    this.render();
  }

  /** @param {number} id */
  element(id) {
    return this.#shown.get(id)?.element ?? null;
  }

  render() {
    const { scroller, list } = this.#options;
    for (let round = 0; round < 3; round += 1) {
      const top = scroller.scrollTop;
      const first = Math.max(0, this.#indexAt(top) - BEYOND);
      this.last = Math.min(
        this.#rows.length - 1,
        this.#indexAt(top + scroller.clientHeight) + BEYOND,
      );
      this.#show(first, this.last);
      const anchor = this.#anchor();
      if (!this.#measure()) break;
      this.#lay();
      this.#hold(anchor);
    }
    list.style.height = `${this.#offsets[this.#rows.length]}px`;
    for (const { element, index } of this.#shown.values()) {
      element.style.transform = `translateY(${this.#offsets[index]}px)`;
    }
  }

  /** Brings a row into view. @param {number} index */
  reveal(index) {
    const { scroller } = this.#options;
    // Twice: rows on the way may turn out to have another height than was thought.
    for (let round = 0; round < 2; round += 1) {
      const top = this.#offsets[index];
      const bottom = this.#offsets[index + 1];
      if (top < scroller.scrollTop) scroller.scrollTop = top;
      else if (bottom > scroller.scrollTop + scroller.clientHeight) {
        scroller.scrollTop = bottom - scroller.clientHeight;
      }
      this.render();
    }
  }

  /**
   * @param {number} first
   * @param {number} last
   */
  #show(first, last) {
    const { list, create, update, leave } = this.#options;
    const indexes = [];
    for (let index = first; index <= last; index += 1) indexes.push(index);
    const pinned = this.pinned === null ? -1 : this.indexOf(this.pinned);
    if (pinned !== -1 && pinned < first) indexes.unshift(pinned);
    if (pinned > last) indexes.push(pinned);

    const wanted = new Set(indexes.map((index) => this.#rows[index].id));
    for (const [id, { element, row }] of this.#shown) {
      if (wanted.has(id)) continue;
      leave?.(row, element);
      element.remove();
      this.#shown.delete(id);
    }
    // In the document in the order in which they are seen; none that stays is ever moved.
    let next = list.firstElementChild;
    for (const index of indexes) {
      const row = this.#rows[index];
      let shown = this.#shown.get(row.id);
      if (!shown) {
        shown = { element: create(row), row, index };
        this.#shown.set(row.id, shown);
        update(shown.element, row, index);
        list.insertBefore(shown.element, next);
        continue;
      }
      if (shown.row !== row || shown.index !== index) {
        if (shown.row !== row) this.#heights.delete(row.id);
        shown.row = row;
        shown.index = index;
        update(shown.element, row, index);
      }
      next = shown.element.nextElementSibling;
    }
  }

  /** True if something has another height than was thought. */
  #measure() {
    let changed = false;
    for (const [id, { element }] of this.#shown) {
      if (this.#heights.has(id)) continue;
      const height = element.offsetHeight;
      if (height === 0) continue; // not laid out at all
      this.#heights.set(id, height);
      changed = true;
    }
    return changed;
  }

  /** A row that grew or shrank by itself. @param {number} id */
  remeasure(id) {
    this.#heights.delete(id);
    this.render();
  }

  #lay() {
    const { estimate } = this.#options;
    const offsets = new Float64Array(this.#rows.length + 1);
    for (let index = 0; index < this.#rows.length; index += 1) {
      offsets[index + 1] = offsets[index] + (this.#heights.get(this.#rows[index].id) ?? estimate);
    }
    this.#offsets = offsets;
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
    return low;
  }

  /** What is at the upper edge, and what follows it, should it be gone. */
  #anchor() {
    const { scrollTop } = this.#options.scroller;
    if (scrollTop <= AT_TOP || this.#rows.length === 0) return null;
    const index = this.#indexAt(scrollTop);
    const ids = this.#rows.slice(index, index + 50).map((row) => row.id);
    return { ids, top: scrollTop, offsets: this.#offsets.slice(index, index + 50) };
  }

  /** @param {{ ids: number[], top: number, offsets: Float64Array } | null} anchor */
  #hold(anchor) {
    if (!anchor) return;
    const { scroller, list } = this.#options;
    for (const [i, id] of anchor.ids.entries()) {
      const index = this.indexOf(id);
      if (index === -1) continue;
      const top = anchor.top + this.#offsets[index] - anchor.offsets[i];
      list.style.height = `${this.#offsets[this.#rows.length]}px`;
      if (Math.abs(top - scroller.scrollTop) >= 1) scroller.scrollTop = top;
      return;
    }
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
}
