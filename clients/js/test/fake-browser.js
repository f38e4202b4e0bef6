// A browser with a push service, and the hub's operations for devices, in memory.

import { webcrypto } from 'node:crypto';

const plain = (bytes) => Buffer.from(bytes).toString('base64url');

export const newKey = () => plain(webcrypto.getRandomValues(new Uint8Array(65)));

class FakeSubscription {
  constructor(manager, endpoint, key) {
    this.manager = manager;
    this.endpoint = endpoint;
    this.options = { userVisibleOnly: true, applicationServerKey: key.buffer };
  }

  toJSON() {
    const keys = { p256dh: 'p', auth: 'a' };
    return { endpoint: this.endpoint, expirationTime: null, keys };
  }

  async unsubscribe() {
    this.manager.gone.push(this.endpoint);
    if (this.manager.subscription === this) this.manager.subscription = null;
    return true;
  }
}

class FakePushManager {
  subscription = null;
  gone = [];
  made = 0;
  /** What `subscribe` does instead. */
  instead = null;

  async getSubscription() {
    return this.subscription;
  }

  async subscribe({ userVisibleOnly, applicationServerKey }) {
    if (this.instead) return this.instead();
    if (!userVisibleOnly || !(applicationServerKey instanceof Uint8Array)) throw new TypeError();
    this.made += 1;
    const endpoint = `https://push.test/${this.made}`;
    this.subscription = new FakeSubscription(this, endpoint, applicationServerKey);
    return this.subscription;
  }
}

export class FakeBrowser {
  constructor({ permission = 'default', answer = 'granted', userAgent = 'Firefox/1 Linux' } = {}) {
    const browser = this;
    this.isSecureContext = true;
    this.questions = 0;
    this.registered = [];
    this.shown = [];
    this.badge = 1;
    this.pushManager = new FakePushManager();
    const getNotifications = async () => this.shown;
    this.registration = { active: {}, pushManager: this.pushManager, getNotifications };
    this.PushManager = FakePushManager;
    this.Notification = {
      permission,
      async requestPermission() {
        browser.questions += 1;
        if (this.permission === 'default') this.permission = answer;
        return this.permission;
      },
    };
    const serviceWorker = new EventTarget();
    this.navigator = {
      userAgent,
      language: 'en',
      clearAppBadge: async () => void (this.badge = 0),
      serviceWorker: Object.assign(serviceWorker, {
        register: async (url, options) => {
          this.registered.push([url, options.scope]);
          return this.registration;
        },
        getRegistration: async () => this.registration,
      }),
    };
  }

  /** A notification on the screen. */
  show(data) {
    const notification = { data, closed: false, close: () => (notification.closed = true) };
    this.shown.push(notification);
    return notification;
  }
}

export class FakeStore {
  record = null;

  async get() {
    return this.record;
  }

  async set(record) {
    this.record = record;
  }

  async delete() {
    this.record = null;
  }
}

/** What the push road answers about one user's devices. */
export class FakeDevices {
  key = newKey();
  devices = new Map();
  requests = [];
  /** `refuse(method, path)` gives a status, or nothing. */
  refuse = () => undefined;
  user = 'alice';

  fetch = async (url, { method, body }) => {
    const path = new URL(url).pathname.replace('/api/', '');
    const said = body ? JSON.parse(body) : null;
    this.requests.push([`${method} ${path}`, said]);
    const status = this.refuse(method, path, said);
    if (status === 0) throw new TypeError('no network');
    if (status) return answer(status, { code: CODES[status], detail: 'No.', ...FIELDS[status] });
    if (path === 'push/vapid-public-key/') return answer(200, { key: this.key });
    if (path === 'devices/') return this.register(said);
    const device = this.devices.get(Number(path.split('/')[1]));
    if (device?.user !== this.user) return answer(404, { code: 'not_found', detail: 'No.' });
    if (method === 'DELETE') this.devices.delete(device.id);
    if (method === 'PATCH') Object.assign(device, said);
    return method === 'DELETE' ? answer(204) : answer(200, device);
  };

  register(said) {
    const { user } = this;
    const known = [...this.devices.values()].find(
      (row) => row.user === user && [said.endpoint, said.old_token].includes(row.endpoint),
    );
    const device = known ?? { id: this.devices.size + 1, user };
    Object.assign(device, said, { active: true });
    this.devices.set(device.id, device);
    return answer(known ? 200 : 201, device);
  }

  get asked() {
    return this.requests.map(([what]) => what);
  }
}

const CODES = { 400: 'invalid', 401: 'not_authenticated', 404: 'not_found', 500: 'server_error' };
const FIELDS = { 400: { fields: { time_zone: ['is not known'] } } };

function answer(status, body) {
  return new Response(body === undefined ? null : JSON.stringify(body), { status });
}
