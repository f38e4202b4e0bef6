// The service worker: shows what is pushed, opens it, and keeps the browser's address at the hub.
//
// A classic script, so that every browser takes it, also within another worker by importScripts.
// `self.HUB_PUSH`, set before it, replaces what CONFIG says.

(() => {
  /** @typedef {{ action: string, title: string, icon?: string, url: string }} Action */
  /** @typedef {{ device: number, endpoint: string, key: string, user: string, login: string }} PushRecord */

  const worker = /** @type {ServiceWorkerGlobalScope & { HUB_PUSH?: Partial<typeof CONFIG> }} */ (
    /** @type {unknown} */ (self)
  );
  const CONFIG = {
    api: '/api/',
    /** What a click opens that names nothing. */
    home: '/',
    csrfCookie: 'csrftoken',
    title: 'New notification',
    icon: '',
    /** A small picture in one colour, for Android's status bar. */
    badge: '',
  };
  Object.assign(CONFIG, worker.HUB_PUSH);

  /** Options of a browser's that are given to it as they are. */
  const PASSED = ['renotify', 'requireInteraction', 'vibrate', 'lang', 'dir', 'timestamp'];
  /** Milliseconds that an open page has to answer. */
  const ANSWER = 1_500;

  worker.addEventListener('install', () => void worker.skipWaiting());
  worker.addEventListener('activate', (event) => event.waitUntil(worker.clients.claim()));
  worker.addEventListener('push', (event) => event.waitUntil(arrived(read(event.data))));
  worker.addEventListener('notificationclick', (event) => event.waitUntil(clicked(event)));
  worker.addEventListener('pushsubscriptionchange', (event) => {
    const { oldSubscription, newSubscription } = /** @type {any} */ (event);
    /** @type {ExtendableEvent} */ (event).waitUntil(renew(oldSubscription, newSubscription));
  });

  // What arrives

  let last = Promise.resolve();

  /**
   * JSON as the hub sends it, any other JSON, plain text, or nothing.
   * @param {PushMessageData | null} data
   * @returns {Record<string, any>}
   */
  function read(data) {
    const text = data?.text() ?? '';
    try {
      const said = JSON.parse(text);
      if (said && typeof said === 'object' && !Array.isArray(said)) return said;
      return { body: typeof said === 'string' ? said : text };
    } catch {
      return { body: text };
    }
  }

  /**
   * Something is shown in any case: browsers take the permission from whoever shows nothing.
   * @param {Record<string, any>} said
   */
  async function arrived(said) {
    // One after another: what is being shown is not found yet, and browsers may lose it.
    const shown = (last = last.then(() => show(said), () => show(said)));
    await Promise.allSettled([shown, setBadge(said.badge), announce(said)]);
    await shown;
  }

  /** @param {Record<string, any>} said */
  async function show(said) {
    const title = text(said.title) || CONFIG.title;
    const options = optionsOf(said);
    try {
      await worker.registration.showNotification(title, await quiet(options));
    } catch {
      // Some option that this browser refuses: the words alone are better than nothing.
      const { body, tag, data } = options;
      await worker.registration.showNotification(title, { body, tag, data });
    }
  }

  /** @param {Record<string, any>} said */
  function optionsOf(said) {
    const event = Number.isSafeInteger(said.event) ? said.event : null;
    const actions = actionsOf(said.actions);
    /** @type {Record<string, any>} */
    const options = {
      body: text(said.body) || text(said.message),
      icon: text(said.icon) || CONFIG.icon,
      image: text(said.image),
      badge: text(said.badge) || CONFIG.badge,
      tag: text(said.tag) || (event === null ? '' : `event-${event}`),
      silent: said.silent === true,
      actions: actions.map(({ action, title, icon }) => ({ action, title, ...(icon && { icon }) })),
      data: { hub: { event, type: text(said.type), url: text(said.url), actions }, own: said.data },
    };
    for (const [name, value] of Object.entries(options)) if (!value) delete options[name];
    for (const name of PASSED) if (said[name] !== undefined) options[name] = said[name];
    if (options.silent) delete options.vibrate;
    return options;
  }

  /**
   * Under one tag a later notification takes the place of the one before. It alerts again; the same
   * one, which may come twice, does not.
   * @param {Record<string, any>} options
   */
  async function quiet(options) {
    const { tag, renotify, silent, data } = options;
    delete options.renotify;
    if (!tag || silent || renotify === false) return options;
    const [before] = await worker.registration.getNotifications({ tag });
    const known = before?.data?.hub?.event ?? null;
    const isSame = known !== null && known === data.hub.event;
    return before && !isSame ? { ...options, renotify: true } : options;
  }

  /** @param {unknown} given @returns {Action[]} */
  function actionsOf(given) {
    if (!Array.isArray(given)) return [];
    const most = /** @type {any} */ (Notification).maxActions ?? 2;
    return given
      .filter((action) => text(action?.title))
      .slice(0, most)
      .map(({ action, title, icon, url }, i) => ({
        action: text(action) || `action-${i}`,
        title,
        icon: text(icon),
        url: text(url),
      }));
  }

  /** @param {unknown} unread */
  async function setBadge(unread) {
    const { navigator } = /** @type {any} */ (worker);
    if (typeof unread !== 'number' || !navigator.setAppBadge) return;
    await (unread > 0 ? navigator.setAppBadge(unread) : navigator.clearAppBadge());
  }

  /** So that open pages ask the hub at once. @param {Record<string, any>} said */
  async function announce({ event, type, title, body, message, url, data }) {
    const word = { event, name: type, title, body: body ?? message, url, data };
    for (const page of await pages()) page.postMessage({ type: 'hub-push', action: 'arrived', ...word });
  }

  // What is clicked

  /** @param {NotificationEvent} event */
  async function clicked({ notification, action }) {
    notification.close();
    const hub = notification.data?.hub ?? {};
    const chosen = hub.actions?.find((/** @type {Action} */ one) => one.action === action);
    const url = chosen?.url || hub.url;
    // First: a browser lets a worker open pages only right after a click.
    await go(url).catch(() => {});
    if (hub.event) await markRead(hub.event);
  }

  /** @param {string | undefined} url */
  async function go(url) {
    const home = new URL(CONFIG.home, worker.registration.scope).href;
    const target = safe(url) ?? home;
    const open = await pages();
    const same = open.find((page) => bare(page.url) === bare(target));
    const visible = open.find(({ visibilityState }) => visibilityState === 'visible');
    // Without an address any page of ours will do, but none that shows something is turned over.
    const page = same ?? (safe(url) ? undefined : (visible ?? open[0]));
    if (page) await page.focus();
    else await worker.clients.openWindow(target);
  }

  /** Http, https, or a path on this host; null for all others. @param {string | undefined} url */
  function safe(url) {
    if (!url) return null;
    try {
      const found = new URL(url, worker.registration.scope);
      return /^https?:$/.test(found.protocol) ? found.href : null;
    } catch {
      return null;
    }
  }

  /** @param {string} url */
  const bare = (url) => url.split('#', 1)[0];

  /**
   * With the session's cookie, or by a page that is signed in otherwise; else the next page does it.
   * @param {number} id
   */
  async function markRead(id) {
    if (await ask('notifications/mark/', { state: 'read', ids: [id] })) return;
    for (const page of await pages()) if (await askPage(page, id)) return;
    const { user = '' } = (await record()) ?? {};
    await keep(`mark:${id}`, { user }).catch(() => {});
  }

  /** @param {WindowClient} page @param {number} id @returns {Promise<boolean>} */
  function askPage(page, id) {
    return new Promise((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = ({ data }) => resolve(data === true);
      setTimeout(resolve, ANSWER, false);
      page.postMessage({ type: 'hub-push', action: 'read', id }, [port2]);
    });
  }

  // The browser's address

  /**
   * The push service gives another address, or took the old one away.
   * @param {PushSubscription | null | undefined} old
   * @param {PushSubscription | null | undefined} fresh
   */
  async function renew(old, fresh) {
    const known = await record();
    // Turned off, or never ours.
    if (!known) return;
    const applicationServerKey = old?.options?.applicationServerKey ?? known.key;
    const { pushManager } = worker.registration;
    const options = { userVisibleOnly: true, applicationServerKey };
    const found = fresh ?? (await pushManager.subscribe(options));
    const told = { ...found.toJSON(), old_token: old?.endpoint ?? known.endpoint, type: 'web' };
    // Somebody else who is signed in now has asked for nothing.
    const isTheirs = (await ask(`devices/${known.device}/`)) !== null;
    const device = isTheirs ? await ask('devices/', told) : null;
    // Else the next page compares what it remembers with what the browser has, and tells.
    if (device) await keep('device', { ...known, device: device.id, endpoint: found.endpoint });
    for (const page of await pages()) page.postMessage({ type: 'hub-push', action: 'changed' });
  }

  // Around it

  /** Open pages of this origin, the last used one first. */
  const pages = () => worker.clients.matchAll({ type: 'window', includeUncontrolled: true });

  /** @param {unknown} value */
  const text = (value) => (typeof value === 'string' ? value : '');

  /**
   * Asks the hub, or tells it something, with the session's cookie; null where it does not do it.
   * @param {string} path
   * @param {unknown} [said]
   * @returns {Promise<any>}
   */
  async function ask(path, said) {
    try {
      /** @type {RequestInit} */
      const request = { credentials: 'same-origin' };
      if (said) {
        const headers = { 'Content-Type': 'application/json', 'X-CSRFToken': await csrfToken() };
        Object.assign(request, { method: 'POST', headers, body: JSON.stringify(said) });
      }
      const answer = await fetch(new URL(CONFIG.api, worker.location.origin) + path, request);
      return answer.ok ? await answer.json() : null;
    } catch {
      return null;
    }
  }

  /**
   * From the cookie where the browser lets a worker read it, else from whoever serves this script.
   * @returns {Promise<string>}
   */
  async function csrfToken() {
    const { cookieStore } = /** @type {any} */ (worker);
    const cookie = await cookieStore?.get(CONFIG.csrfCookie).catch(() => null);
    if (cookie?.value) return decodeURIComponent(cookie.value);
    const answer = await fetch(`${worker.location.pathname}?csrf`, { credentials: 'same-origin' });
    return (await answer.json()).token;
  }

  /** What src/push-store.js has kept. @returns {Promise<PushRecord | null>} */
  const record = () =>
    stored('readonly', (store) => store.get('device')).then((found) => found ?? null, () => null);

  /** @param {string} name @param {unknown} value */
  const keep = (name, value) => stored('readwrite', (store) => store.put(value, name));

  /**
   * @param {IDBTransactionMode} mode
   * @param {(store: IDBObjectStore) => IDBRequest} use
   * @returns {Promise<any>}
   */
  function stored(mode, use) {
    return new Promise((resolve, reject) => {
      const opening = indexedDB.open('django-notification-hub', 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore('push');
      opening.onerror = () => reject(opening.error);
      opening.onsuccess = () => {
        const transaction = opening.result.transaction('push', mode);
        const request = use(transaction.objectStore('push'));
        transaction.oncomplete = () => resolve(request.result);
        transaction.onabort = () => reject(transaction.error);
        opening.result.close();
      };
    });
  }
})();
