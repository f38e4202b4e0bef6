// What a page keeps for the next one: the first rows of the list, and whose they are.

const MOST = 60;

export class Kept {
  #storage;
  #key;

  /**
   * @param {Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> | null | undefined} storage
   * @param {string} api where the hub is
   */
  constructor(storage, api) {
    this.#storage = storage;
    this.#key = `django-notification-hub ${api}`;
  }

  /**
   * @param {string} who whose inbox it is; of nobody in particular nothing is kept
   * @param {import('./replica.js').Replica} replica
   */
  save(who, replica) {
    const saved = this.#storage && who ? replica.save(MOST) : null;
    if (!this.#storage || !saved) return;
    try {
      this.#storage.setItem(this.#key, JSON.stringify({ who, saved }));
    } catch {
      // Full, or forbidden: the next page loads the list.
    }
  }

  /**
   * @param {string} who
   * @param {import('./replica.js').Replica} replica
   */
  restore(who, replica) {
    if (!this.#storage) return;
    try {
      const found = JSON.parse(this.#storage.getItem(this.#key) ?? '{}');
      if (found.saved && found.who === who && who !== '') replica.restore(found.saved);
      else this.#storage.removeItem(this.#key);
    } catch {
      // Not ours, or spoilt.
    }
  }
}
