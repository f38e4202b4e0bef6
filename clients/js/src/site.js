// Where the hub is, and who is signed in there, as far as a page can know.

import { Rest } from './rest.js';

/** @import { ClientOptions } from '../types/index.js' */

export class Site {
  #options;
  /** Ends with a slash. */
  api;
  socket;

  /** @param {ClientOptions} options */
  constructor(options) {
    this.#options = options;
    const here = typeof location === 'undefined' ? undefined : location.href;
    const { baseUrl = '/', apiUrl, socketUrl } = options;
    const base = new URL(baseUrl.endsWith('/') ? baseUrl : `${baseUrl}/`, here);
    const socket = new URL(socketUrl ?? 'ws/notifications', base);
    socket.protocol = socket.protocol.replace('http', 'ws');
    this.api = new URL(apiUrl ?? 'api/', base).href.replace(/\/?$/, '/');
    this.socket = socket.href;
  }

  /** It has another origin than the page. */
  get isForeign() {
    return typeof location !== 'undefined' && new URL(this.api).origin !== location.origin;
  }

  /**
   * What asks this hub, signed in as the options say.
   * @param {number} timeout in milliseconds
   */
  rest(timeout) {
    const { fetch, token } = this.#options;
    return new Rest({
      apiUrl: this.api,
      fetch: fetch ?? ((...request) => globalThis.fetch(...request)),
      token: token === undefined ? null : typeof token === 'function' ? token : () => token,
      csrf: () => this.csrf(),
      credentials: token ? 'omit' : this.isForeign ? 'include' : 'same-origin',
      timeout,
    });
  }

  csrf() {
    const { csrfToken, csrfCookie = 'csrftoken' } = this.#options;
    if (csrfToken) return csrfToken;
    if (typeof document === 'undefined') return '';
    for (const pair of document.cookie.split('; ')) {
      const [name, ...value] = pair.split('=');
      if (name === csrfCookie) return decodeURIComponent(value.join('='));
    }
    return '';
  }

  /**
   * Changes when somebody else signs in, as Django then makes a new CSRF cookie; empty if the page
   * cannot know.
   */
  who() {
    const { user = '', token, csrfToken } = this.#options;
    const secret = typeof token === 'string' ? token : token || csrfToken ? '' : this.csrf();
    return user || secret ? `${user}.${digest(secret)}` : '';
  }
}

/**
 * A short name for a secret, of which nothing can be read back (53 bits of cyrb53).
 * @param {string} text
 */
function digest(text) {
  let a = 0xdeadbeef;
  let b = 0x41c6ce57;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    a = Math.imul(a ^ code, 2654435761);
    b = Math.imul(b ^ code, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return (4294967296 * (2097151 & b) + (a >>> 0)).toString(36);
}
