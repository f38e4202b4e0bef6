// What PushDevice does, one fact at a time, in a browser and against a hub in memory.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { nameOf } from '../src/push-browser.js';
import { PushDevice } from '../src/push.js';
import { FakeBrowser, FakeDevices, FakeStore, newKey } from './fake-browser.js';
import { until } from './fake-hub.js';

function set({ hub = new FakeDevices(), store = new FakeStore(), ...browserOptions } = {}) {
  const browser = new FakeBrowser(browserOptions);
  const make = (options = {}) =>
    new PushDevice({
      baseUrl: 'https://hub.test/',
      workerUrl: 'https://hub.test/service-worker.js',
      fetch: hub.fetch,
      browser,
      store,
      patience: 200,
      user: 'alice',
      ...options,
    });
  return { browser, hub, store, make, push: make() };
}

/** A browser in which push is on. */
async function turnedOn(options) {
  const found = set(options);
  assert.equal((await found.push.turnOn()).status, 'on');
  found.hub.requests.length = 0;
  return found;
}

test('nothing is asked of anybody before a click', async () => {
  const { browser, hub, push } = set();
  push.start();
  await until(() => push.getState().status === 'off');
  push.stop();
  assert.deepEqual([browser.questions, browser.registered, hub.requests], [0, [], []]);
});

test('a click asks, subscribes under the hub’s key and registers the device', async () => {
  const { browser, hub, push, store } = set();
  const states = [];
  push.subscribe(() => states.push(push.getState().busy));
  const state = await push.turnOn();
  assert.deepEqual(
    { ...state },
    { status: 'on', permission: 'granted', busy: false, device: 1, error: null },
  );
  assert.deepEqual(states, [true, false]);
  assert.deepEqual(browser.registered, [['https://hub.test/service-worker.js', undefined]]);
  const { endpoint, keys, type, name, locale, time_zone, old_token } = hub.devices.get(1);
  assert.deepEqual(
    { endpoint, keys, type, name, locale, old_token },
    {
      endpoint: 'https://push.test/1',
      keys: { p256dh: 'p', auth: 'a' },
      type: 'web',
      name: 'Firefox, Linux',
      locale: 'en',
      old_token: undefined,
    },
  );
  assert.ok(time_zone);
  const { key } = hub;
  const { login, workerUrl, scope, ...record } = store.record;
  assert.deepEqual(record, { device: 1, endpoint, key, user: 'alice' });
  assert.deepEqual([workerUrl, scope], ['https://hub.test/service-worker.js', undefined]);
  assert.ok(login.startsWith('alice.'));
  const made = new Uint8Array(browser.pushManager.subscription.options.applicationServerKey);
  assert.equal(Buffer.from(made).toString('base64url'), key);
});

test('the question comes within the click, before anything is waited for', () => {
  const { browser, push } = set();
  void push.turnOn();
  assert.equal(browser.questions, 1);
});

test('turning on twice makes one device', async () => {
  const { browser, hub, push } = set();
  await Promise.all([push.turnOn(), push.turnOn()]);
  assert.deepEqual([hub.devices.size, browser.pushManager.made], [1, 1]);
});

test('whoever says no is not asked again, and nothing is left', async () => {
  const { browser, hub, push } = set({ answer: 'denied' });
  const state = await push.turnOn();
  assert.deepEqual([state.status, state.permission, state.error.code], ['denied', 'denied', 'denied']);
  assert.deepEqual([hub.requests, browser.registered], [[], []]);
});

test('whoever closes the question may be asked again', async () => {
  const { browser, push } = set({ answer: 'default' });
  const state = await push.turnOn();
  assert.deepEqual([state.status, state.error.code], ['off', 'dismissed']);
  browser.Notification.permission = 'granted';
  assert.equal((await push.turnOn()).status, 'on');
  assert.equal(push.getState().error, null);
});

test('what a browser lacks is said', async () => {
  const iPad = 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18 Safari/605';
  const cases = [
    [{}, 'unsupported'],
    [{ isSecureContext: false }, 'insecure'],
    [{ navigator: { userAgent: 'iPhone' } }, 'home-screen'],
    [{ navigator: { userAgent: iPad, maxTouchPoints: 5 } }, 'home-screen'],
    [{ navigator: { userAgent: iPad, maxTouchPoints: 0 } }, 'unsupported'],
    [{ navigator: { userAgent: 'iPhone', standalone: true } }, 'unsupported'],
  ];
  for (const [browser, status] of cases) {
    const push = set().make({ browser: { navigator: { userAgent: 'X' }, ...browser } });
    push.start();
    for (const state of [push.getState(), await push.turnOn(), await push.sync()]) {
      assert.deepEqual([state.status, state.permission], [status, 'unsupported']);
    }
  }
});

test('turning off takes the device from the hub, the browser and the screen', async () => {
  const { browser, hub, push, store } = await turnedOn();
  const ours = browser.show({ hub: { event: 1 } });
  const another = browser.show({ kind: 'of the project' });
  const state = await push.turnOff();
  assert.deepEqual([state.status, state.device, state.error], ['off', null, null]);
  assert.deepEqual([hub.asked, hub.devices.size], [['DELETE devices/1/'], 0]);
  assert.deepEqual([browser.pushManager.subscription, store.record], [null, null]);
  assert.deepEqual([ours.closed, another.closed, browser.badge], [true, false, 0]);
});

test('turning off works where the hub does not answer: the address is dead', async () => {
  const { browser, hub, push } = await turnedOn();
  hub.refuse = () => 0;
  const state = await push.turnOff();
  assert.deepEqual([state.status, state.error.code], ['off', 'network']);
  assert.deepEqual(browser.pushManager.gone, ['https://push.test/1']);
});

test('a device that is gone already is turned off without a word', async () => {
  const { hub, push } = await turnedOn();
  hub.devices.clear();
  const state = await push.turnOff();
  assert.deepEqual([state.status, state.error], ['off', null]);
});

test('a page load compares, and changes nothing where nothing has changed', async () => {
  const { browser, hub, make } = await turnedOn();
  const push = make();
  push.start();
  await until(() => push.getState().status === 'on' && !push.getState().busy);
  push.stop();
  assert.deepEqual(hub.asked, ['GET devices/1/', 'GET push/vapid-public-key/']);
  assert.deepEqual([browser.questions, browser.pushManager.made], [1, 1]);
});

test('each login tells the hub which device this is, so that its end can pause it', async () => {
  const { browser, hub, make } = await turnedOn();
  const state = await make({ csrfToken: '', token: 'another' }).sync();
  assert.equal(state.device, 1);
  assert.deepEqual(hub.asked.slice(-1), ['POST devices/']);
  assert.equal(browser.pushManager.made, 1);
});

test('another key: subscribed anew, and the hub is told which device that is', async () => {
  const { browser, hub, make } = await turnedOn();
  hub.devices.get(1).name = 'On my desk';
  hub.key = newKey();
  const state = await make().sync();
  assert.deepEqual([state.status, state.device], ['on', 1]);
  assert.deepEqual(browser.pushManager.gone, ['https://push.test/1']);
  const [, said] = hub.requests.at(-1);
  assert.deepEqual([said.endpoint, said.old_token], ['https://push.test/2', 'https://push.test/1']);
  // Its owner's name for it stays.
  assert.deepEqual([hub.devices.size, hub.devices.get(1).name], [1, 'On my desk']);
});

test('a subscription that the browser lost is made again without a question', async () => {
  const { browser, hub, make } = await turnedOn();
  browser.pushManager.subscription = null;
  assert.equal((await make().sync()).status, 'on');
  assert.equal(hub.devices.get(1).endpoint, 'https://push.test/2');
  assert.equal(browser.questions, 1);
});

test('a device that was removed in the list is turned off here too', async () => {
  const { browser, hub, make, store } = await turnedOn();
  hub.devices.clear();
  assert.equal((await make().sync()).status, 'off');
  assert.deepEqual([browser.pushManager.subscription, store.record], [null, null]);
  assert.equal(hub.devices.size, 0);
});

test('whoever signs in next gets nothing of the one before, and nothing unasked', async () => {
  const { browser, hub, make } = await turnedOn();
  const notification = browser.show({ hub: { event: 1 } });
  hub.user = 'bob';
  assert.equal((await make({ user: 'bob' }).sync()).status, 'off');
  assert.deepEqual(browser.pushManager.gone, ['https://push.test/1']);
  assert.equal(notification.closed, true);
  assert.ok(!hub.asked.includes('POST devices/'));
});

test('signing out pauses the device; the same person finds it on again', async () => {
  const { browser, hub, make, push } = await turnedOn();
  const notification = browser.show({ hub: { event: 1 } });
  await push.logOut();
  assert.equal(hub.devices.get(1).active, false);
  assert.equal(notification.closed, true);
  assert.equal((await make().sync()).status, 'on');
  assert.deepEqual([hub.devices.get(1).active, browser.pushManager.made], [true, 1]);
});

test('signing out where the hub does not answer leaves no address', async () => {
  const { browser, hub, push } = await turnedOn();
  hub.refuse = () => 500;
  assert.equal((await push.logOut()).status, 'off');
  assert.equal(browser.pushManager.subscription, null);
});

test('a session that has ended turns nothing off', async () => {
  const { browser, hub, make } = await turnedOn();
  hub.refuse = () => 401;
  const state = await make().sync();
  assert.deepEqual([state.status, state.error.code], ['on', 'not_authenticated']);
  assert.notEqual(browser.pushManager.subscription, null);
});

test('a permission that was taken back takes the device from the hub', async () => {
  const { browser, hub, make } = await turnedOn();
  browser.Notification.permission = 'denied';
  assert.equal((await make().sync()).status, 'denied');
  assert.equal(hub.devices.size, 0);
});

test('a registration that fails leaves no subscription behind', async () => {
  const { browser, hub, push, store } = set();
  hub.refuse = (method) => (method === 'POST' ? 500 : undefined);
  const state = await push.turnOn();
  assert.deepEqual([state.status, state.error.code], ['off', 'server_error']);
  assert.deepEqual([browser.pushManager.subscription, store.record], [null, null]);
});

test('a time zone that the hub does not know does not matter', async () => {
  const { hub, push } = set();
  hub.refuse = (method, _path, said) => (said?.time_zone ? 400 : undefined);
  assert.equal((await push.turnOn()).status, 'on');
});

test('a hub without Web Push, and a push service out of reach', async () => {
  const { browser, hub, push } = set();
  hub.refuse = (_method, path) => (path.startsWith('push/') ? 404 : undefined);
  assert.equal((await push.turnOn()).error.code, 'no_web_push');
  hub.refuse = () => undefined;
  browser.pushManager.instead = () => Promise.reject(new DOMException('no', 'AbortError'));
  assert.equal((await push.turnOn()).error.code, 'push_service');
  browser.pushManager.instead = () => new Promise(() => {});
  assert.equal((await push.turnOn()).error.code, 'push_service');
  assert.equal(push.getState().busy, false);
});

test('a worker that does not install is an error, not a wait without an end', async () => {
  const { browser, push } = set();
  const installing = new EventTarget();
  Object.assign(browser.registration, { active: null, installing });
  const done = push.turnOn();
  await until(() => browser.registered.length === 1);
  await new Promise((resolve) => setTimeout(resolve));
  installing.state = 'redundant';
  installing.dispatchEvent(new Event('statechange'));
  assert.equal((await done).error.code, 'worker');
});

test('tabs take turns', async () => {
  const { browser, push } = set();
  const held = [];
  browser.navigator.locks = {
    request: async (name, work) => {
      held.push(name);
      return work();
    },
  };
  await push.turnOn();
  assert.deepEqual(held, ['django-notification-hub push']);
});

test('the worker tells that the address has changed', async () => {
  const { browser, hub, push } = await turnedOn();
  push.start();
  await until(() => hub.requests.length === 2);
  const event = new MessageEvent('message', { data: { type: 'hub-push', action: 'changed' } });
  browser.navigator.serviceWorker.dispatchEvent(event);
  await until(() => hub.requests.length === 4);
  push.stop();
});

test('devices have names by which people know them', () => {
  const agents = {
    'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0': 'Firefox, Linux',
    'Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537 Chrome/140 Safari/537 Edg/140': 'Edge, Windows',
    'Mozilla/5.0 (Linux; Android 16) AppleWebKit/537 Chrome/140 Mobile Safari/537': 'Chrome, Android',
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18 Safari/604': 'Safari, iPhone',
    'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18 Safari/605': 'Safari, macOS',
    'curl/8': '',
  };
  for (const [userAgent, name] of Object.entries(agents)) assert.equal(nameOf({ userAgent }), name);
});
