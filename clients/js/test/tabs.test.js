// One socket for all tabs: who leads, what is shared, and what happens when a tab goes or sleeps.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';

import { HubClient } from '../src/index.js';
import { FakeHub, pause, until } from './fake-hub.js';
import { FakeLocks } from './fake-locks.js';

const TIMING = { retryFirst: 10, retryLongest: 40, answer: 300, ack: 10, takeOver: 60, poll: 20 };

/** A channel that can fall asleep with its tab. */
const asleep = new Set();
class TabChannel extends BroadcastChannel {
  constructor(name, tab) {
    super(name);
    this.tab = tab;
  }
  set onmessage(listen) {
    super.onmessage = (event) => asleep.has(this.tab) || listen(event);
  }
  postMessage(word) {
    if (!asleep.has(this.tab)) super.postMessage(word);
  }
}

const tabs = [];
let browsers = 0;

afterEach(() => {
  for (const tab of tabs.splice(0)) tab.stop();
  asleep.clear();
});

function browser(hub) {
  const locks = new FakeLocks();
  const user = `user-${(browsers += 1)}`;
  return (tab, options = {}) => {
    const client = new HubClient({
      baseUrl: 'https://hub.test/',
      fetch: hub.fetch,
      WebSocket: hub.WebSocket,
      BroadcastChannel: class extends TabChannel {
        constructor(name) {
          super(name, tab);
        }
      },
      locks,
      user,
      share: true,
      isVisible: () => true,
      ...options,
      timing: TIMING,
    });
    tabs.push(client);
    client.start();
    return client;
  };
}

async function equal(hub, ...clients) {
  for (const client of clients) {
    await until(() => client.getState().status === 'live', 'live');
    await until(() => {
      const { items, unread, unseen, position } = client.getState();
      return (
        position?.version === hub.version &&
        JSON.stringify(items) === JSON.stringify(hub.open) &&
        JSON.stringify({ unread, unseen }) === JSON.stringify(hub.counters)
      );
    }, 'the tab equals the hub');
  }
}

test('three tabs, one socket', async () => {
  const hub = new FakeHub();
  hub.fill(3);
  const open = browser(hub);
  const clients = [open('a'), open('b'), open('c')];
  await equal(hub, ...clients);
  hub.send();
  await clients[2].mark({ state: 'read', ids: [101] });
  await clients[1].delete([102]);
  await equal(hub, ...clients);
  assert.equal(hub.connects.length, 1);
});

test('a tab that comes later is brought up to date', async () => {
  const hub = new FakeHub();
  hub.fill(1);
  const open = browser(hub);
  const first = open('a');
  await equal(hub, first);
  hub.intercept = ({ path }) => {
    if (path !== 'notifications/') return undefined;
    const answer = { epoch: hub.epoch, version: hub.version, results: hub.open, next: null };
    hub.send({ title: 'between list and socket' });
    return [200, answer];
  };
  await equal(hub, open('b'), first);
});

test('the tab that leads is closed: another one leads, and nothing is lost', async () => {
  const hub = new FakeHub();
  hub.fill(2);
  const open = browser(hub);
  const [first, second, third] = [open('a'), open('b'), open('c')];
  await equal(hub, first, second, third);
  first.stop();
  hub.send({ quiet: true });
  const marked = second.mark({ state: 'read', ids: [101] });
  await equal(hub, second, third);
  await marked;
  await until(() => hub.connects.length === 2);
  hub.send();
  await equal(hub, second, third);
});

test('the tab that leads sleeps: one that is looked at takes over', async () => {
  const hub = new FakeHub();
  const open = browser(hub);
  const first = open('a');
  await equal(hub, first);
  asleep.add('a');
  const second = open('b');
  await equal(hub, second);
  assert.equal(hub.connects.length, 2);
  asleep.clear();
  hub.send();
  await equal(hub, second);
  await until(() => hub.sockets.size === 1, 'the first has let go of its socket');
  await equal(hub, first, second);
});

test('the connection breaks: all tabs resume', async () => {
  const hub = new FakeHub();
  hub.fill(2);
  const open = browser(hub);
  const clients = [open('a'), open('b')];
  await equal(hub, ...clients);
  hub.cut();
  await until(() => hub.sockets.size === 0);
  hub.send({ quiet: true });
  hub.delete([101], { quiet: true });
  await equal(hub, ...clients);
  hub.tell({ action: 'reset', retry_after: 0.01 });
  hub.send();
  await equal(hub, ...clients);
});

test('refused and blocked, as with one tab', async () => {
  const hub = new FakeHub();
  hub.fill(2);
  const open = browser(hub);
  const clients = [open('a'), open('b')];
  await equal(hub, ...clients);
  await assert.rejects(clients[1].mark({ state: 'read', ids: [101, 666] }), { code: 'invalid' });
  await equal(hub, ...clients);
  hub.door = 'refuse';
  hub.cut();
  for (const client of clients) await until(() => client.getState().status === 'polling');
  hub.send();
  await clients[1].mark({ state: 'read', ids: [101] });
  for (const client of clients) await until(() => client.getState().position.version === 4);
  hub.door = 'open';
  await equal(hub, ...clients);
});

test("another user's tab never shares, nor one of which nobody knows whose it is", async () => {
  const hub = new FakeHub();
  const open = browser(hub);
  const clients = [open('a'), open('b', { user: 'somebody else' }), open('c', { user: '' })];
  await equal(hub, ...clients);
  assert.equal(hub.connects.length, 3);
});

test('acknowledges in the name of the tab that is looked at', async () => {
  const hub = new FakeHub();
  const open = browser(hub);
  const leads = open('a', { isVisible: () => false });
  await equal(hub, leads);
  const looked = open('b');
  await equal(hub, looked);
  hub.send();
  await equal(hub, leads, looked);
  await pause(40);
  assert.deepEqual(
    hub.heard.filter((frame) => frame.action === 'ack').map((frame) => frame.version),
    [1],
  );
});
