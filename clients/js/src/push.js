// Web Push in this browser: turned on and off by its owner, and kept as the hub has it.

import { nameOf, obstacle, permissionOf } from './push-browser.js';
import { BrowserStore } from './push-store.js';
import { BrowserSubscription } from './push-subscription.js';
import { HubError } from './rest.js';
import { Site } from './site.js';

/** @import { PushDevice as Declared, PushOptions, PushRecord, PushState } from '../types/push.js' */
/** @import { Browser } from './push-browser.js' */

const REQUEST = 15_000;
/** How long a browser may take for its worker, and to ask its push service for an address. */
const PATIENCE = 30_000;
/** Tabs take turns: two that subscribe at once would undo each other. */
const LOCK = 'django-notification-hub push';

/** @implements {Declared} */
export class PushDevice {
  /** @type {PushOptions} */
  #options;
  /** @type {Browser} */
  #browser;
  #store;
  #subscription;
  #site;
  #rest;
  /** @type {PushRecord | null} */
  #record = null;
  #looked = false;
  #busy = 0;
  /** @type {PushState['error']} */
  #error = null;
  /** @type {PushState | null} */
  #state = null;
  /** @type {Set<() => void>} */
  #listeners = new Set();
  /** @type {(() => void)[]} */
  #unlisten = [];
  /** What is under way: one thing after another. @type {Promise<unknown>} */
  #last = Promise.resolve();

  /** @param {PushOptions} [options] */
  constructor(options = {}) {
    this.#options = options;
    this.#browser = options.browser ?? globalThis;
    this.#store = options.store ?? new BrowserStore();
    const { patience = PATIENCE, timeout = REQUEST } = options;
    this.#subscription = new BrowserSubscription({ ...options, patience }, this.#browser.navigator);
    this.#site = new Site(options);
    this.#rest = this.#site.rest(timeout);
  }

  // For whoever uses it

  /** Follows the browser until `stop()`; compares with the hub once. */
  start = () => {
    if (this.#unlisten.length > 0 || obstacle(this.#browser)) return;
    const { navigator } = this.#browser;
    this.#listen(navigator.serviceWorker, 'message', ({ data }) => {
      if (data?.type === 'hub-push' && data.action === 'changed') void this.sync();
    });
    if (typeof document !== 'undefined') {
      // Another tab may have turned it on or off, or the person changed the browser's settings.
      this.#listen(document, 'visibilitychange', () => void this.#look());
    }
    navigator.permissions
      ?.query({ name: 'notifications' })
      .then((status) => this.#listen(status, 'change', () => void this.sync()))
      .catch(() => {}); // Not every browser tells.
    void this.sync();
  };

  stop = () => {
    for (const unlisten of this.#unlisten.splice(0)) unlisten();
  };

  /** @param {() => void} listener */
  subscribe = (listener) => {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  };

  getState = () => {
    this.#state ??= Object.freeze({
      status: this.#status(),
      permission: permissionOf(this.#browser),
      busy: this.#busy > 0,
      device: this.#record?.device ?? null,
      error: this.#error,
    });
    return this.#state;
  };

  /** To be called in a click: browsers refuse the question otherwise. */
  turnOn = () => {
    if (obstacle(this.#browser)) return Promise.resolve(this.getState());
    // Before anything is waited for, or the click is over.
    const answer = this.#browser.Notification.requestPermission();
    return this.#alone(async () => {
      if ((await answer) !== 'granted') {
        const isDenied = permissionOf(this.#browser) === 'denied';
        throw new HubError({
          code: isDenied ? 'denied' : 'dismissed',
          detail: 'Nobody allowed this page to show notifications.',
        });
      }
      await this.#register(await this.#store.get());
    });
  };

  turnOff = () => this.#alone(async () => this.#end(await this.#store.get()));

  /** The device stays in the list and is pushed to again when its owner is back. */
  logOut = () =>
    this.#alone(async () => {
      const record = await this.#store.get();
      if (!record) return;
      try {
        await this.#rest.patch(`devices/${record.device}/`, { active: false });
      } catch (problem) {
        // Whoever uses this browser next must not see what comes.
        await this.#drop();
        throw problem;
      }
      await this.#subscription.clear();
    });

  /** Makes browser and hub say the same, without a question to the person. */
  sync = () =>
    this.#alone(async () => {
      const record = await this.#store.get();
      if (!record) return;
      if (permissionOf(this.#browser) !== 'granted') return this.#end(record);
      const device = await this.#device(record.device);
      // Removed in the list of devices, or somebody else is signed in now.
      if (!device) return this.#drop();
      // Each session is told which device its browser is: its end pauses that one.
      await this.#register(record, device.active && record.login === this.#site.who());
    });

  // How it is done

  /**
   * Subscribes where that is needed, and tells the hub where it does not know yet.
   * @param {PushRecord | null} record
   * @param {boolean} [isKnown] whether the hub has all it needs of this device
   */
  async #register(record, isKnown = false) {
    const key = await this.#key();
    const subscription = await this.#subscription.under(key);
    const { endpoint } = subscription;
    if (isKnown && record?.endpoint === endpoint && record.key === key) return;
    try {
      const device = await this.#tell(subscription, record);
      const { user = '', workerUrl, scope } = this.#options;
      const whose = { user: String(user), login: this.#site.who() };
      await this.#store.set({ device, endpoint, key, ...whose, workerUrl, scope });
    } catch (problem) {
      // What the hub does not know of is nothing that could be turned off.
      if (!record) await subscription.unsubscribe();
      throw problem;
    }
  }

  /**
   * @param {PushSubscription} subscription
   * @param {PushRecord | null} record what the hub was told before
   * @returns {Promise<number>} the device's id
   */
  async #tell(subscription, record) {
    const { navigator } = this.#browser;
    /** @type {Record<string, unknown>} */
    const body = { ...subscription.toJSON(), type: 'web' };
    if (record && record.endpoint !== subscription.endpoint) body.old_token = record.endpoint;
    // Later its owner may have given it another name.
    if (!record) body.name = (this.#options.name ?? nameOf(navigator)).slice(0, 100);
    const more = {
      locale: navigator.language?.slice(0, 35),
      time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    };
    try {
      return (await this.#rest.post('devices/', { ...body, ...more })).data.id;
    } catch (problem) {
      // A zone that the hub's machine does not know is no reason to have no push.
      if (!(problem instanceof HubError) || !problem.fields.time_zone) throw problem;
      return (await this.#rest.post('devices/', body)).data.id;
    }
  }

  /** Off, at the hub and here: here also when the hub cannot be asked. @param {PushRecord | null} record */
  async #end(record) {
    try {
      if (record) await this.#rest.delete(`devices/${record.device}/`);
    } catch (problem) {
      // Not there any more, or not ours: as wanted. Else the push service will tell the hub.
      if (!(problem instanceof HubError) || problem.status !== 404) throw problem;
    } finally {
      await this.#drop();
    }
  }

  /** What this browser has. */
  async #drop() {
    await this.#store.delete();
    await this.#subscription.end();
  }

  /** @param {number} id @returns {Promise<{ active: boolean } | null>} */
  async #device(id) {
    try {
      return (await this.#rest.get(`devices/${id}/`)).data;
    } catch (problem) {
      if (problem instanceof HubError && problem.status === 404) return null;
      throw problem;
    }
  }

  /** @returns {Promise<string>} */
  async #key() {
    try {
      return (await this.#rest.get('push/vapid-public-key/')).data.key;
    } catch (problem) {
      if (!(problem instanceof HubError) || problem.status !== 404) throw problem;
      throw new HubError({ code: 'no_web_push', detail: 'The hub has no Web Push.', status: 404 });
    }
  }

  // State

  /** @returns {PushState['status']} */
  #status() {
    const why = obstacle(this.#browser);
    if (why) return why;
    if (permissionOf(this.#browser) === 'denied') return 'denied';
    if (!this.#looked) return 'starting';
    return this.#record ? 'on' : 'off';
  }

  /**
   * Does one thing at a time, in this tab and in all; what went wrong is in the state.
   * @param {() => Promise<void>} work
   * @returns {Promise<PushState>}
   */
  #alone(work) {
    if (obstacle(this.#browser)) return Promise.resolve(this.getState());
    const { locks } = this.#browser.navigator;
    this.#busy += 1;
    this.#changed();
    const done = this.#last.then(async () => {
      try {
        await (locks ? locks.request(LOCK, work) : work());
        this.#error = null;
      } catch (problem) {
        if (!(problem instanceof HubError)) globalThis.reportError?.(problem);
        const { code = 'failed', detail = String(problem) } = /** @type {any} */ (problem);
        this.#error = { code, detail };
      }
      this.#busy -= 1;
      await this.#look();
      return this.getState();
    });
    this.#last = done;
    return done;
  }

  async #look() {
    this.#record = await this.#store.get().catch(() => null);
    this.#looked = true;
    this.#changed();
  }

  #changed() {
    this.#state = null;
    for (const listener of [...this.#listeners]) listener();
  }

  /** @param {EventTarget} target @param {string} type @param {(event: any) => void} listener */
  #listen(target, type, listener) {
    target.addEventListener(type, listener);
    this.#unlisten.push(() => target.removeEventListener(type, listener));
  }
}
