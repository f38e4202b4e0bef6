// What happens around a client: the page comes and goes, and so does the network.

import { listenToWorker } from './push-bridge.js';

/** @import { ClientOptions } from '../types/index.js' */

/**
 * @typedef {object} Around
 * @property {ClientOptions} options where the hub is, and whose inbox the page shows
 * @property {() => void} visibility
 * @property {(isOnline: boolean) => void} network
 * @property {() => void} left the page is left, perhaps to come back
 * @property {() => void} back
 * @property {() => void} arrived the service worker has shown something
 * @property {(id: number) => Promise<unknown>} read marks a notification as read
 */

/**
 * Listens until the function that it answers is called; not at all outside of a page.
 * @param {Around} around
 */
export function listenToPage({ options, visibility, network, left, back, arrived, read }) {
  if (typeof window === 'undefined' || typeof document === 'undefined') return () => {};
  const ended = new AbortController();
  const { signal } = ended;
  document.addEventListener('visibilitychange', visibility, { signal });
  window.addEventListener('online', () => network(true), { signal });
  window.addEventListener('offline', () => network(false), { signal });
  window.addEventListener('pagehide', left, { signal });
  window.addEventListener('pageshow', ({ persisted }) => persisted && back(), { signal });
  const unlisten = listenToWorker({ options, hurry: arrived, read });
  return () => {
    ended.abort();
    unlisten();
  };
}
