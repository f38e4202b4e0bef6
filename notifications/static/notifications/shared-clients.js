// Components of a page that say the same of the hub share one client.

import { HubClient } from './client.js';

/** @import { ClientOptions } from '../types/index.js' */

/** @type {Map<string, { client: HubClient, users: number }>} */
const clients = new Map();

/**
 * @param {ClientOptions} options
 * @param {string | null} group another group has a client of its own, and so another filter
 * @returns {{ client: HubClient, giveBack: () => void }}
 */
export function borrow(options, group) {
  const name = JSON.stringify([options, group]);
  const shared = clients.get(name) ?? { client: new HubClient(options), users: 0 };
  shared.users += 1;
  clients.set(name, shared);
  const giveBack = () => {
    shared.users -= 1;
    // Only moved in the document? Then it is back at once.
    setTimeout(() => {
      if (shared.users > 0 || clients.get(name) !== shared) return;
      clients.delete(name);
      shared.client.stop();
    });
  };
  return { client: shared.client, giveBack };
}
