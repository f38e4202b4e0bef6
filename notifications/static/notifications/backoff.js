// How long to wait before trying again: doubled at each failure, with full jitter.

export class Backoff {
  #failures = 0;
  #first;
  #longest;

  /** @param {{ first: number, longest: number }} options in milliseconds */
  constructor({ first, longest }) {
    this.#first = first;
    this.#longest = longest;
  }

  get failures() {
    return this.#failures;
  }

  /**
   * Milliseconds to wait after one more failure. What the server asked for is already drawn at
   * random and is taken as it is.
   * @param {number | null} [retryAfter] seconds
   */
  next(retryAfter = null) {
    const ceiling = Math.min(this.#longest, this.#first * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    if (retryAfter !== null) return retryAfter * 1000;
    return Math.max(this.#first / 20, Math.random() * ceiling);
  }

  reset() {
    this.#failures = 0;
  }
}
