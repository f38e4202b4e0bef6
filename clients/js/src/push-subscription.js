// The browser's half of push: its service worker, and the address its push service gives.

import { bytesOf, isUnder } from './push-browser.js';
import { HubError } from './rest.js';

/** @import { PushOptions } from '../types/push.js' */

export class BrowserSubscription {
  #options;
  #navigator;

  /**
   * @param {Pick<PushOptions, 'workerUrl' | 'scope'> & { patience: number }} options
   * @param {Navigator} navigator
   */
  constructor(options, navigator) {
    this.#options = options;
    this.#navigator = navigator;
  }

  /**
   * The subscription under this key, made where there is none.
   * @param {string} key base64url
   */
  async under(key) {
    const { pushManager } = await this.#worker();
    const bytes = bytesOf(key);
    const found = await pushManager.getSubscription();
    if (found && isUnder(found, bytes)) return found;
    // Another key: nobody can push to the old address any more.
    await found?.unsubscribe();
    const asked = pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes });
    return this.#soon(asked, 'push_service', 'The browser could not reach its push service.');
  }

  async end() {
    const registration = await this.#registration();
    await (await registration?.pushManager.getSubscription())?.unsubscribe();
    await this.clear();
  }

  /** What is still shown was its owner's. */
  async clear() {
    const shown = (await (await this.#registration())?.getNotifications()) ?? [];
    for (const notification of shown) {
      if (notification.data?.hub) notification.close();
    }
    await this.#navigator.clearAppBadge?.().catch(() => {});
  }

  /** @returns {Promise<ServiceWorkerRegistration>} */
  #worker() {
    const { workerUrl = '/service-worker.js', scope } = this.#options;
    const options = { updateViaCache: /** @type {'none'} */ ('none'), ...(scope && { scope }) };
    const registered = this.#navigator.serviceWorker.register(workerUrl, options).then(active);
    return this.#soon(registered, 'worker', 'The service worker could not be installed.');
  }

  /** @returns {Promise<ServiceWorkerRegistration | undefined>} */
  #registration() {
    const { workerUrl = '/service-worker.js', scope } = this.#options;
    const here = typeof location === 'undefined' ? undefined : location.href;
    const folder = () => new URL('.', new URL(workerUrl, here)).href;
    return this.#navigator.serviceWorker.getRegistration(scope ?? folder());
  }

  /**
   * Some browsers never answer; and what they say is for developers.
   * @template T
   * @param {Promise<T>} promise
   * @param {string} code
   * @param {string} detail
   * @returns {Promise<T>}
   */
  async #soon(promise, code, detail) {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(reject, this.#options.patience, new Error('too late'));
    });
    try {
      return await /** @type {Promise<T>} */ (Promise.race([promise, late]));
    } catch (problem) {
      throw Object.assign(new HubError({ code, detail }), { cause: problem });
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * Waits until a registration has a worker that runs: only then can it subscribe.
 * @param {ServiceWorkerRegistration} registration
 * @returns {Promise<ServiceWorkerRegistration>}
 */
function active(registration) {
  return new Promise((resolve, reject) => {
    const worker = registration.installing ?? registration.waiting;
    if (registration.active || !worker) return resolve(registration);
    worker.addEventListener('statechange', () => {
      if (worker.state === 'activated') resolve(registration);
      if (worker.state === 'redundant') reject(new Error('The service worker did not install.'));
    });
  });
}
