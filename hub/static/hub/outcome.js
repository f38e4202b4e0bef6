/* How something went, said where it was asked for. */

const SHOWN = 4_000; // ms that good news stay

/** Shows the outcome of one part of a page: in its `.outcome`, politely, or its `.wrong`, at once. */
export class Outcome {
  #good;
  #bad;
  #timer = 0;

  constructor(good, bad) {
    this.#good = good;
    this.#bad = bad;
  }

  waits(words) {
    this.#say(words, 'outcome waiting');
  }

  good(words, { stays = false } = {}) {
    this.#say(words, 'outcome');
    if (!stays) this.#timer = setTimeout(() => this.clear(), SHOWN);
  }

  bad(error) {
    this.clear();
    this.#bad.replaceChildren(...words(error));
    this.#bad.hidden = false;
  }

  clear() {
    this.#say('', 'outcome');
  }

  #say(text, look) {
    clearTimeout(this.#timer);
    this.#good.className = look;
    this.#good.textContent = text;
    this.#bad.hidden = true;
  }
}

const SIGNED_OUT = new Set(['not_authenticated', 'authentication_failed']);

/** An error in words; in a part of its own where something can be done about it. */
function words(error) {
  if (SIGNED_OUT.has(error.code)) {
    const link = document.createElement('a');
    link.href = location.href;
    link.textContent = 'Log in again';
    return ['You are logged out. ', link, '.'];
  }
  if (error.status === 0) return ['The hub cannot be reached. Nothing was changed; try again.'];
  if (error.code === 'throttled') {
    return [`That was too often. Try again in ${Math.ceil(error.retryAfter ?? 60)} seconds.`];
  }
  return [error.detail || error.message];
}
