// What the service worker says to an open page: look at once, and mark what was opened as read.

import { BrowserStore } from './push-store.js';

/**
 * @typedef {object} Page
 * @property {string} user whose inbox this page shows
 * @property {() => void} hurry something has arrived
 * @property {(id: number) => Promise<unknown>} read marks a notification as read
 */

/**
 * Listens until the function that it answers is called.
 * @param {Page} page
 */
export function listenToWorker({ user, hurry, read }) {
  const container = globalThis.navigator?.serviceWorker;
  if (!container) return () => {};
  /** @param {MessageEvent} event */
  const hear = ({ data, ports }) => {
    if (data?.type !== 'hub-push') return;
    if (data.action === 'arrived') hurry();
    if (data.action !== 'read' || !Number.isSafeInteger(data.id)) return;
    // Without an answer the worker asks somebody else.
    read(data.id).then(
      () => ports[0]?.postMessage(true),
      () => {},
    );
  };
  container.addEventListener('message', hear);
  void takeMarks(user, read, container);
  return () => container.removeEventListener('message', hear);
}

/**
 * What was opened while nobody could tell the hub. Another person's is dropped.
 * @param {string} user
 * @param {Page['read']} read
 * @param {ServiceWorkerContainer} container
 */
async function takeMarks(user, read, container) {
  try {
    // Where there is no worker there are no marks, and no database is made.
    if (!(await container.getRegistration())) return;
    const marks = await new BrowserStore().takeMarks();
    for (const mark of marks) if (mark.user === user) read(mark.id).catch(() => {});
  } catch {
    // No database, as in some private windows: nothing was kept either.
  }
}
