// Where a service worker runs: its events, its notifications, its pages and its database.

import { readFileSync } from 'node:fs';
import { runInContext, createContext } from 'node:vm';

const SOURCE = new URL('../src/service-worker.js', import.meta.url);

class FakeNotification {
  static maxActions = 2;

  constructor(scope, title, options) {
    // As browsers do.
    if (options.renotify && !options.tag) throw new TypeError('renotify needs a tag');
    if (options.silent && options.vibrate) throw new TypeError('silent ones do not vibrate');
    Object.assign(this, { tag: '', data: null, renotify: false }, options, { title });
    this.close = () => scope.shown.splice(scope.shown.indexOf(this), 1);
  }
}

/** An open page; `answers` says whether it reads what the worker asks. */
export class FakePage {
  constructor(url, { visible = false, answers = false } = {}) {
    Object.assign(this, { url, answers, focused: 0, heard: [] });
    this.visibilityState = visible ? 'visible' : 'hidden';
  }

  postMessage(data, [port] = []) {
    this.heard.push(data);
    if (port && this.answers) port.postMessage(true);
    port?.close();
  }

  async focus() {
    this.focused += 1;
  }
}

export class FakeWorker {
  shown = [];
  pages = [];
  opened = [];
  badge = null;
  cookies = { csrftoken: 'secret' };
  requests = [];
  /** What serves the script answers about the CSRF token; by default it knows nothing of it. */
  csrf = 'self.HUB_PUSH = {};';
  database = new Map();
  status = 200;
  /** What the hub answers whoever is signed in about the device. */
  known = 200;
  made = 0;
  #listeners = {};

  /** @param {Record<string, unknown>} [config] */
  constructor(config) {
    const scope = this;
    const registration = {
      scope: 'https://site.test/',
      async showNotification(title, options) {
        const fresh = new FakeNotification(scope, title, options);
        const before = scope.shown.findIndex((one) => fresh.tag && one.tag === fresh.tag);
        if (before !== -1) scope.shown.splice(before, 1);
        scope.shown.push(fresh);
      },
      getNotifications: async ({ tag } = {}) =>
        scope.shown.filter((one) => !tag || one.tag === tag),
      pushManager: {
        async subscribe({ userVisibleOnly, applicationServerKey }) {
          scope.made += 1;
          if (!userVisibleOnly || !applicationServerKey) throw new TypeError();
          return subscription(`https://push.test/again-${scope.made}`, applicationServerKey);
        },
      },
    };
    const self = {
      HUB_PUSH: config,
      registration,
      location: new URL('https://site.test/service-worker.js'),
      addEventListener: (type, listener) => (this.#listeners[type] = listener),
      skipWaiting: async () => {},
      clients: {
        claim: async () => {},
        matchAll: async () => this.pages,
        openWindow: async (url) => void this.opened.push(url),
      },
      navigator: {
        setAppBadge: async (count) => void (this.badge = count),
        clearAppBadge: async () => void (this.badge = 0),
      },
      cookieStore: {
        get: async (name) => (this.cookies[name] ? { value: this.cookies[name] } : null),
      },
    };
    const fetch = async (url, options) => {
      if (url === '/service-worker.js?csrf') return new Response(this.csrf);
      const said = options.body ? JSON.parse(options.body) : null;
      if (said) this.requests.push({ url: String(url), ...options, body: said });
      if (this.status === 0) throw new TypeError('no network');
      const status = said ? this.status : this.known;
      return new Response('{"id": 7}', { status });
    };
    const Notification = FakeNotification;
    const indexedDB = fakeDatabase(this.database);
    const globals = { self, fetch, URL, MessageChannel, setTimeout, Notification, indexedDB };
    runInContext(readFileSync(SOURCE, 'utf8'), createContext(globals));
  }

  /** Waits until the worker has done all of it. @param {string} type */
  async dispatch(type, event) {
    let done;
    this.#listeners[type]({ ...event, waitUntil: (promise) => (done = promise) });
    await done;
  }

  push(said) {
    const text = typeof said === 'string' ? said : JSON.stringify(said);
    return this.dispatch('push', { data: said === undefined ? null : { text: () => text } });
  }

  click(notification, action = '') {
    return this.dispatch('notificationclick', { notification, action });
  }
}

export function subscription(endpoint, applicationServerKey) {
  const toJSON = () => ({ endpoint, keys: { p256dh: 'p', auth: 'a' } });
  return { endpoint, options: { applicationServerKey }, toJSON };
}

/** As much of IndexedDB as the worker uses. */
function fakeDatabase(map) {
  const store = {
    get: (key) => ({ result: map.get(key) }),
    put: (value, key) => ({ result: void map.set(key, value) }),
  };
  const open = () => {
    const request = {};
    const database = {
      close() {},
      transaction() {
        const transaction = { objectStore: () => store };
        setTimeout(() => transaction.oncomplete());
        return transaction;
      },
    };
    setTimeout(() => {
      request.result = database;
      request.onsuccess();
    });
    return request;
  };
  return { open };
}
