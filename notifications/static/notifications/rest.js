// Asks the hub by HTTP: signs requests in, and turns every failure into a HubError.

/** @import { HubError as DeclaredError } from '../types/index.js' */

/** @implements {DeclaredError} */
export class HubError extends Error {
  /**
   * @param {{ code: string, detail: string, status?: number, retryAfter?: number | null,
   *   fields?: Record<string, string[]> }} what
   */
  constructor({ code, detail, status = 0, retryAfter = null, fields = {} }) {
    super(detail);
    this.name = 'HubError';
    this.code = code;
    this.detail = detail;
    this.status = status;
    this.retryAfter = retryAfter;
    this.fields = fields;
  }

  /** Nobody answered, or somebody who cannot just now: worth asking again. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** @typedef {{ status: number, data: any, etag: string | null }} Answer */

/**
 * @typedef {object} RestOptions
 * @property {string} apiUrl ends with a slash
 * @property {typeof globalThis.fetch} fetch
 * @property {(() => string | Promise<string>) | null} token
 * @property {() => string} csrf
 * @property {RequestCredentials} credentials
 * @property {number} timeout in milliseconds
 */

export class Rest {
  /** @type {RestOptions} */
  #options;
  /** Requests under way, so that `cancel` can end them. @type {Set<AbortController>} */
  #running = new Set();

  /** @param {RestOptions} options */
  constructor(options) {
    this.#options = options;
  }

  /**
   * @param {string} path relative to the API
   * @param {{ etag?: string | null }} [options]
   */
  get(path, { etag = null } = {}) {
    return this.#ask('GET', path, undefined, etag ? { 'If-None-Match': etag } : {});
  }

  /**
   * @param {string} path
   * @param {unknown} [body]
   */
  post(path, body) {
    return this.#ask('POST', path, body);
  }

  /**
   * @param {string} path
   * @param {unknown} body
   */
  patch(path, body) {
    return this.#ask('PATCH', path, body);
  }

  /** @param {string} path */
  delete(path) {
    return this.#ask('DELETE', path);
  }

  cancel() {
    for (const controller of this.#running) controller.abort();
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @param {Record<string, string>} [headers]
   * @returns {Promise<Answer>}
   */
  async #ask(method, path, body, headers = {}) {
    const { apiUrl, fetch, token, csrf, credentials, timeout } = this.#options;
    headers = { Accept: 'application/json', ...headers };
    if (token) headers.Authorization = `Bearer ${await token()}`;
    else if (method !== 'GET') headers['X-CSRFToken'] = csrf();
    if (body !== undefined) headers['Content-Type'] = 'application/json';

    const controller = new AbortController();
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      controller.abort();
    }, timeout);
    this.#running.add(controller);
    try {
      const response = await fetch(apiUrl + path, {
        method,
        headers,
        credentials,
        body: body === undefined ? null : JSON.stringify(body),
        signal: controller.signal,
        // What is sent while a page is left arrives all the same.
        keepalive: method !== 'GET',
      });
      if (response.status === 304) return { status: 304, data: null, etag: null };
      const text = await response.text();
      if (!response.ok) throw refusal(response, text);
      const data = text ? JSON.parse(text) : null;
      return { status: response.status, data, etag: response.headers.get('ETag') };
    } catch (problem) {
      if (problem instanceof HubError) throw problem;
      const code = late ? 'timeout' : controller.signal.aborted ? 'cancelled' : 'network';
      throw new HubError({ code, detail: 'The hub did not answer.' });
    } finally {
      clearTimeout(timer);
      this.#running.delete(controller);
    }
  }
}

/**
 * @param {Response} response
 * @param {string} text
 */
function refusal(response, text) {
  /** @type {any} */
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy's page, not the hub's answer.
  }
  const seconds = Number.parseFloat(response.headers.get('Retry-After') ?? '');
  return new HubError({
    code: typeof body?.code === 'string' ? body.code : 'server_error',
    detail: typeof body?.detail === 'string' ? body.detail : `HTTP status ${response.status}`,
    status: response.status,
    retryAfter: Number.isFinite(seconds) ? seconds : null,
    fields: body?.fields ?? {},
  });
}
