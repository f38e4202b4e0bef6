// What this browser remembers of its push. The service worker reads and writes the same database.

/** @import { PushRecord, PushStore } from '../types/push.js' */

const DATABASE = 'django-notification-hub';
const STORE = 'push';
const DEVICE = 'device';
/** Notifications that were opened while the hub could not be told: `mark:<id>` → `{ user }`. */
const MARK = 'mark:';

/** @implements {PushStore} */
export class BrowserStore {
  /** @returns {Promise<PushRecord | null>} */
  async get() {
    return (await run('readonly', (store) => store.get(DEVICE))) ?? null;
  }

  /** @param {PushRecord} record */
  async set(record) {
    await run('readwrite', (store) => store.put(record, DEVICE));
  }

  async delete() {
    await run('readwrite', (store) => store.delete(DEVICE));
  }

  /**
   * Ids that are still to be marked read, and whose they are; they are taken out.
   * @returns {Promise<{ id: number, user: string }[]>}
   */
  async takeMarks() {
    const range = IDBKeyRange.bound(MARK, `${MARK}\uffff`);
    /** @type {{ id: number, user: string }[]} */
    const found = [];
    await run('readwrite', (store) => {
      const request = store.openCursor(range);
      request.onsuccess = () => {
        const cursor = request.result;
        if (!cursor) return;
        const id = Number(String(cursor.key).slice(MARK.length));
        found.push({ id, user: cursor.value?.user ?? '' });
        cursor.delete();
        cursor.continue();
      };
      return request;
    });
    return found;
  }
}

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} use
 * @returns {Promise<T>}
 */
async function run(mode, use) {
  const database = await open();
  try {
    return await new Promise((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = use(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result);
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

/** @returns {Promise<IDBDatabase>} */
function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
