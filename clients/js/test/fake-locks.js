// Web Locks, as much as the client uses of them.

export class FakeLocks {
  #held = null;
  #queue = [];

  request(name, { signal, steal = false }, work) {
    return new Promise((resolve, reject) => {
      const wish = { work, resolve, reject };
      signal?.addEventListener('abort', () => {
        this.#queue = this.#queue.filter((each) => each !== wish);
        if (this.#held !== wish) reject(new DOMException('aborted', 'AbortError'));
      });
      if (steal && this.#held) {
        const old = this.#held;
        this.#grant(wish);
        old.reject(new DOMException('stolen', 'AbortError'));
      } else if (this.#held) {
        this.#queue.push(wish);
      } else {
        this.#grant(wish);
      }
    });
  }

  async #grant(wish) {
    this.#held = wish;
    await Promise.resolve();
    await wish.work();
    if (this.#held !== wish) return;
    this.#held = null;
    wish.resolve();
    const next = this.#queue.shift();
    if (next) this.#grant(next);
  }
}
