// Timers by name: a new one of a name takes the place of the one before.

export class Timers {
  /** @type {Map<string, ReturnType<typeof setTimeout>>} */
  #running = new Map();
  /** Those that somebody awaits. @type {Map<string, () => void>} */
  #pauses = new Map();

  /** @param {string} name */
  has(name) {
    return this.#running.has(name);
  }

  /**
   * @param {string} name
   * @param {number} wait in milliseconds
   * @param {() => void} then
   */
  after(name, wait, then) {
    this.stop(name);
    const timer = setTimeout(() => {
      this.#running.delete(name);
      then();
    }, wait);
    this.#running.set(name, timer);
  }

  /** @param {string} name */
  stop(name) {
    clearTimeout(this.#running.get(name));
    this.#running.delete(name);
  }

  clear() {
    for (const name of [...this.#running.keys()]) this.stop(name);
  }

  /**
   * Resolves after a while, or at `hurry`; never, if it is stopped.
   * @param {string} name
   * @param {number} wait in milliseconds
   * @returns {Promise<void>}
   */
  pause(name, wait) {
    return new Promise((resolve) => {
      this.#pauses.set(name, resolve);
      this.after(name, wait, resolve);
    });
  }

  /** @param {string} name */
  hurry(name) {
    if (!this.has(name)) return;
    this.stop(name);
    this.#pauses.get(name)?.();
  }
}
