// What the service worker and an open page have to say to each other.

import { BrowserStore } from './push-store.js';

/** @import { ClientOptions } from '../types/index.js' */

/**
 * @typedef {object} Page
 * @property {ClientOptions} options where the hub is, and whose inbox this page shows
 * @property {() => void} hurry something has arrived
 * @property {(id: number) => Promise<unknown>} read marks a notification as read
 */

/**
 * Listens until the function that it answers is called.
 * @param {Page} page
 */
export function listenToWorker(page) {
  const container = globalThis.navigator?.serviceWorker;
  if (!container) return () => {};
  /** @param {MessageEvent} event */
  const hear = ({ data, ports }) => {
    if (data?.type !== 'hub-push') return;
    if (data.action === 'arrived') page.hurry();
    if (data.action !== 'read' || !Number.isSafeInteger(data.id)) return;
    // Without an answer the worker asks somebody else.
    page.read(data.id).then(
      () => ports[0]?.postMessage(true),
      () => {},
    );
  };
  container.addEventListener('message', hear);
  void catchUp(page, container);
  return () => container.removeEventListener('message', hear);
}

/**
 * What happened while no page was open.
 * @param {Page} page
 * @param {ServiceWorkerContainer} container
 */
async function catchUp({ options, read }, container) {
  try {
    // Where there is no worker nothing was kept, and no database is made.
    if (!(await container.getRegistration())) return;
    const store = new BrowserStore();
    // What was opened while nobody could tell the hub; another person's is dropped.
    for (const { id, user } of await store.takeMarks()) {
      if (user === String(options.user ?? '')) read(id).catch(() => {});
    }
    const record = await store.get();
    if (!record) return;
    // On any page, not only on that with the button: somebody else may have signed in.
    const { PushDevice } = await import('./push.js');
    const { workerUrl, scope } = record;
    await new PushDevice({ ...options, workerUrl, scope }).sync();
  } catch {
    // No database, as in some private windows: nothing was kept either.
  }
}
