// What HubClient does, one fact at a time, against a hub in memory.

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';

import { HubClient } from '../src/index.js';
import { FakeHub, pause, until } from './fake-hub.js';

const TIMING = {
  retryFirst: 10,
  retryLongest: 40,
  connect: 200,
  silence: 60_000,
  answer: 300,
  request: 500,
  poll: 20,
  pollHidden: 20,
  ack: 10,
};

const clients = [];

afterEach(() => {
  for (const client of clients.splice(0)) client.stop();
});

function connect(hub, options = {}) {
  const client = new HubClient({
    baseUrl: 'https://hub.test/',
    fetch: hub.fetch,
    WebSocket: hub.WebSocket,
    ...options,
    timing: { ...TIMING, ...options.timing },
  });
  clients.push(client);
  client.start();
  return client;
}

const ids = (client) => client.getState().items.map((row) => row.id);
const isLive = (client) => () => client.getState().status === 'live';

async function equals(client, hub) {
  await until(
    () => {
      const { items, unread, unseen, position } = client.getState();
      return (
        position?.version === hub.version &&
        JSON.stringify(items) === JSON.stringify(hub.open.slice(0, items.length)) &&
        JSON.stringify({ unread, unseen }) === JSON.stringify(hub.counters)
      );
    },
    'the client equals the hub',
  ).catch((problem) => {
    assert.deepEqual(client.getState().items, hub.open);
    assert.deepEqual(client.getState().position, { epoch: hub.epoch, version: hub.version });
    throw problem;
  });
}

test('position first, then the list, then the socket from where the list stood', async () => {
  const hub = new FakeHub();
  hub.fill(3);
  const client = connect(hub);
  await until(isLive(client));
  assert.deepEqual(hub.requests, ['GET notifications/summary/', 'GET notifications/']);
  assert.equal(hub.connects[0].url.search, '?since=3&epoch=e1');
  assert.equal(client.getState().unread, 3);
  await equals(client, hub);
});

test('what arrives is there, and is told', async () => {
  const hub = new FakeHub();
  const client = connect(hub);
  const told = [];
  client.onArrival((row) => told.push(row.event.title));
  await until(isLive(client));
  hub.send({ title: 'One' });
  hub.mark({ state: 'read', up_to: 1 });
  hub.send({ title: 'Two' });
  await equals(client, hub);
  assert.deepEqual(told, ['One', 'Two']);
});

test('a snapshot keeps its identity until something changes', async () => {
  const hub = new FakeHub();
  hub.fill(2);
  const client = connect(hub);
  await until(isLive(client));
  await pause(20);
  const before = client.getState();
  assert.equal(client.getState(), before);
  hub.send();
  await equals(client, hub);
  const after = client.getState();
  assert.notEqual(after, before);
  assert.equal(after.items[1], before.items[0]);
});

test('a lost frame is asked for', async () => {
  const hub = new FakeHub();
  const client = connect(hub);
  await until(isLive(client));
  hub.wire = () => [];
  hub.send({ title: 'Lost' });
  hub.wire = (frame) => [frame];
  hub.send({ title: 'Not lost' });
  await equals(client, hub);
  assert.equal(hub.heard.filter((frame) => frame.action === 'sync').length, 1);
});

test('frames that were lost before a sync of the hub are asked for', async () => {
  const hub = new FakeHub();
  hub.fill(1);
  const client = connect(hub);
  await until(isLive(client));
  hub.wire = () => [];
  hub.send({ title: 'Lost' });
  hub.wire = (frame) => [frame];
  hub.send({ title: 'Read by the hub', quiet: true });
  for (const socket of hub.sockets) socket.say(hub.sync(2));
  await equals(client, hub);
});

test('the last frame, lost, is missed at the next ping', async () => {
  const hub = new FakeHub();
  const client = connect(hub);
  await until(isLive(client));
  hub.wire = () => [];
  hub.send({ title: 'Lost' });
  hub.wire = (frame) => [frame];
  for (const socket of hub.sockets) socket.say({ action: 'ping' });
  await equals(client, hub);
});

test('doubled frames change nothing', async () => {
  const hub = new FakeHub();
  const client = connect(hub);
  await until(isLive(client));
  hub.wire = (frame) => [frame, frame];
  const row = hub.send();
  hub.send();
  hub.mark({ state: 'read', ids: [row.id] });
  hub.delete([row.id]);
  await equals(client, hub);
});

test('a late sync brings nothing back that was deleted since', async () => {
  const hub = new FakeHub();
  hub.fill(2);
  const client = connect(hub);
  await until(isLive(client));
  const late = { ...hub.sync(0) };
  hub.delete([101]);
  await equals(client, hub);
  for (const socket of hub.sockets) socket.say(late);
  await pause(20);
  await equals(client, hub);
});

test('resumes where it stood, also after several breaks', async () => {
  const hub = new FakeHub();
  hub.fill(1);
  const client = connect(hub);
  await until(isLive(client));
  for (let i = 0; i < 3; i += 1) {
    hub.cut();
    await until(() => hub.sockets.size === 0);
    hub.send({ quiet: true });
    await until(isLive(client));
    await equals(client, hub);
  }
  assert.equal(hub.requests.filter((request) => request === 'GET notifications/').length, 1);
});

test('reset: loads the list anew and goes on', async () => {
  const hub = new FakeHub();
  hub.fill(3);
  const client = connect(hub);
  await until(isLive(client));
  hub.delete([101], { quiet: true });
  hub.tell({ action: 'reset', retry_after: 0.01 });
  hub.send();
  await equals(client, hub);
  hub.send();
  await equals(client, hub);
});

test('another epoch: connects anew with it', async () => {
  const hub = new FakeHub();
  hub.fill(3);
  const client = connect(hub);
  await until(isLive(client));
  hub.epoch = 'e2';
  hub.version = 1;
  hub.rows.delete(102);
  hub.rows.delete(103);
  hub.cut();
  await equals(client, hub);
  await until(isLive(client));
  hub.send();
  await equals(client, hub);
});

test('unarchived elsewhere: a row that was never loaded is fetched', async () => {
  const hub = new FakeHub();
  hub.fill(3);
  hub.mark({ state: 'archived', ids: [102] });
  const client = connect(hub);
  await until(isLive(client));
  assert.deepEqual(ids(client), [103, 101]);
  hub.mark({ state: 'unarchived', ids: [102] });
  await equals(client, hub);
  assert.deepEqual(ids(client), [103, 102, 101]);
});

test('pages: endless, and never set back by an old answer', async () => {
  const hub = new FakeHub();
  hub.fill(25);
  const client = connect(hub, { pageSize: 10 });
  await until(isLive(client));
  assert.equal(client.getState().hasMore, true);
  // The answer was read before a mark, and comes after it.
  const answers = [];
  hub.intercept = async ({ path, search }) => {
    if (path !== 'notifications/' || !search.get('before')) return undefined;
    const old = { epoch: hub.epoch, version: hub.version };
    const results = hub.open.filter((row) => row.id < Number(search.get('before'))).slice(0, 10);
    await new Promise((resolve) => answers.push(resolve));
    return [200, { ...old, results, next: results.at(-1).id > 101 ? 'next' : null, count: null }];
  };
  const more = client.loadMore();
  await until(() => answers.length === 1);
  hub.mark({ state: 'read', ids: [110] });
  hub.mark({ state: 'seen', up_to: 7 });
  hub.delete([108]);
  await pause(20);
  answers.shift()();
  await more;
  await equals(client, hub);
  assert.equal(ids(client).includes(108), false);
  const last = client.loadMore();
  await until(() => answers.length === 1);
  answers.shift()();
  await last;
  assert.equal(client.getState().hasMore, false);
  assert.equal(ids(client).length, 24);
  await equals(client, hub);
});

test('filters: by type at once from what is here, archived from the hub', async () => {
  const hub = new FakeHub();
  hub.send({ type: 'post_comment' });
  hub.send({ type: 'post_like' });
  const put = hub.send({ type: 'post_like' });
  hub.mark({ state: 'archived', ids: [put.id] });
  const client = connect(hub);
  await until(isLive(client));
  client.setFilter({ type: 'post_comment' });
  assert.deepEqual(ids(client), [101]);
  client.setFilter({ state: 'archived' });
  assert.equal(client.getState().loaded, false);
  await until(() => client.getState().loaded);
  assert.deepEqual(ids(client), [103]);
  client.setFilter({ state: 'unread' });
  hub.mark({ state: 'read', ids: [101] });
  await until(() => ids(client).length === 1);
  hub.mark({ state: 'unread', ids: [101] });
  await until(() => ids(client).length === 2);
});

test('a mark shows at once and stays', async () => {
  const hub = new FakeHub();
  hub.fill(3);
  const client = connect(hub);
  await until(isLive(client));
  const marked = client.mark({ state: 'read', ids: [101] });
  assert.ok(client.getState().items[2].read_at);
  assert.equal(client.getState().unread, 2);
  assert.deepEqual(await marked, { changed: 1, version: 4 });
  await equals(client, hub);
  await client.markAll('archived');
  assert.deepEqual(ids(client), []);
  await equals(client, hub);
});

test('a refused mark is rolled back', async () => {
  const hub = new FakeHub();
  hub.fill(2);
  const client = connect(hub);
  await until(isLive(client));
  const refused = client.mark({ state: 'archived', ids: [102, 666] });
  assert.deepEqual(ids(client), [101]);
  await assert.rejects(refused, { name: 'HubError', code: 'invalid' });
  assert.deepEqual(ids(client), [102, 101]);
  await equals(client, hub);
});

test('marks made without a connection are sent with the next', async () => {
  const hub = new FakeHub();
  hub.fill(2);
  const client = connect(hub);
  await until(isLive(client));
  hub.door = 'refuse';
  hub.intercept = () => {
    throw new TypeError('network');
  };
  hub.cut();
  await until(() => client.getState().status === 'reconnecting');
  const marked = client.mark({ state: 'read', ids: [101] });
  const deleted = client.delete([102]);
  assert.deepEqual(ids(client), [101]);
  hub.door = 'open';
  hub.intercept = () => undefined;
  await Promise.all([marked, deleted]);
  await equals(client, hub);
});

test('a mark without an answer is sent again', async () => {
  const hub = new FakeHub();
  hub.fill(1);
  const client = connect(hub);
  await until(isLive(client));
  await pause(20);
  hub.answers = false;
  const marked = client.mark({ state: 'read', ids: [101] });
  await pause(20);
  hub.answers = true;
  assert.equal((await marked).changed, 1);
});

test('a deletion that is held can be called off', async () => {
  const hub = new FakeHub();
  hub.fill(2);
  const client = connect(hub);
  await until(isLive(client));
  const off = new AbortController();
  const deleted = client.delete([101], { hold: 50, signal: off.signal });
  assert.deepEqual(ids(client), [102]);
  off.abort();
  await assert.rejects(deleted, { code: 'cancelled' });
  assert.deepEqual(ids(client), [102, 101]);
  await client.delete([101], { hold: 10 });
  await equals(client, hub);
  assert.equal(hub.rows.size, 1);
});

test('ack: only while somebody looks, and only what was sent', async () => {
  const hub = new FakeHub();
  let visible = false;
  const client = connect(hub, { isVisible: () => visible });
  await until(isLive(client));
  hub.send();
  await equals(client, hub);
  await pause(30);
  assert.deepEqual(hub.heard.filter((frame) => frame.action === 'ack'), []);
  visible = true;
  hub.send();
  hub.send();
  await equals(client, hub);
  await pause(30);
  const acks = hub.heard.filter((frame) => frame.action === 'ack');
  assert.deepEqual(acks, [{ action: 'ack', version: 3 }]);
});

test('bye: comes back when it was told to', async () => {
  const hub = new FakeHub();
  const client = connect(hub);
  await until(isLive(client));
  const before = Date.now();
  hub.cut(1012, 0.15);
  await until(() => hub.connects.length === 2);
  assert.ok(Date.now() - before >= 145, 'not before retry_after');
  await until(isLive(client));
});

test('close codes from 4500 on: stays away, and says why', async () => {
  for (const code of [4500, 4502, 4503, 1009]) {
    const hub = new FakeHub();
    const client = connect(hub);
    await until(isLive(client));
    hub.cut(code);
    await until(() => client.getState().status === 'ended');
    await pause(60);
    assert.equal(hub.connects.length, 1, String(code));
    assert.ok(client.getState().error.code);
    client.retry();
    await until(isLive(client));
  }
});

test('4000 to 4499 and broken connections: comes back', async () => {
  for (const code of [4000, 4001, 4002, 4003, 4321, 1006, 1000]) {
    const hub = new FakeHub();
    const client = connect(hub);
    await until(isLive(client));
    hub.cut(code);
    await until(() => hub.connects.length === 2);
    await until(isLive(client));
    client.stop();
  }
});

test('4501: ends if REST says so too, else comes back', async () => {
  const hub = new FakeHub();
  const client = connect(hub);
  await until(isLive(client));
  hub.cut(4501);
  await until(() => hub.connects.length === 2);
  await until(isLive(client));
  hub.intercept = () => [401, { code: 'not_authenticated', detail: 'Sign in first.' }];
  hub.cut(4501);
  await until(() => client.getState().status === 'ended');
  assert.equal(client.getState().error.code, 'not_authenticated');
});

test('4501 for ever ends too', async () => {
  const hub = new FakeHub();
  hub.door = 4501;
  const client = connect(hub);
  await until(() => client.getState().status === 'ended');
  assert.ok(hub.connects.length < 10);
});

test('not signed in at the start: ends', async () => {
  const hub = new FakeHub();
  hub.intercept = () => [401, { code: 'not_authenticated', detail: 'Sign in first.' }];
  const client = connect(hub);
  await until(() => client.getState().status === 'ended');
  assert.deepEqual(hub.connects, []);
});

test('the hub is away at the start: tries until it is there', async () => {
  const hub = new FakeHub();
  hub.fill(1);
  let asked = 0;
  hub.intercept = () => ((asked += 1) < 4 ? [503, { code: 'unavailable', detail: '' }] : undefined);
  const client = connect(hub);
  await until(() => client.getState().status === 'reconnecting');
  await equals(client, hub);
});

test('silence: asks for a sign of life, then connects anew', async () => {
  const hub = new FakeHub();
  const client = connect(hub, { timing: { silence: 40, answer: 40 } });
  await until(isLive(client));
  await pause(150);
  assert.equal(hub.connects.length, 1, 'an answer is a sign of life');
  hub.answers = false;
  await until(() => hub.connects.length >= 2);
});

test('blocked sockets: polls, marks by REST, and goes back to the socket', async () => {
  const hub = new FakeHub();
  hub.fill(2);
  hub.door = 'refuse';
  const client = connect(hub);
  await until(() => client.getState().status === 'polling');
  hub.send();
  await equals(client, hub);
  assert.equal((await client.mark({ state: 'read', ids: [101] })).changed, 1);
  assert.equal((await client.delete([102])).changed, 1);
  await equals(client, hub);
  hub.door = 'open';
  await until(isLive(client));
  hub.send();
  await equals(client, hub);
});

test('polling: reset', async () => {
  const hub = new FakeHub();
  hub.fill(2);
  hub.door = 'refuse';
  const client = connect(hub);
  await until(() => client.getState().status === 'polling');
  hub.epoch = 'e2';
  hub.rows.delete(101);
  await equals(client, hub);
});

test('never more than the hub allows: 100 frames in 10 s', async () => {
  const hub = new FakeHub();
  hub.fill(1);
  const client = connect(hub);
  await until(isLive(client));
  for (let i = 0; i < 150; i += 1) client.mark({ state: 'seen', ids: [101] }).catch(() => {});
  await pause(200);
  assert.ok(hub.heard.length <= 90, `${hub.heard.length} frames`);
});

test('a bearer token: in the header, and a ticket for the socket', async () => {
  const hub = new FakeHub();
  const seen = [];
  hub.intercept = ({ headers }) => void seen.push(headers.Authorization);
  const client = connect(hub, { token: async () => 'hub_secret' });
  await until(isLive(client));
  assert.deepEqual([...new Set(seen)], ['Bearer hub_secret']);
  assert.deepEqual(hub.connects[0].protocols, ['hub.v1', 'ticket.t0']);
  assert.ok(!hub.connects[0].url.href.includes('secret'));
});

test('what was kept is there at once, for the same user only', async () => {
  const hub = new FakeHub();
  hub.fill(3);
  const kept = new Map();
  const storage = {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => kept.set(key, value),
    removeItem: (key) => kept.delete(key),
  };
  const page = fakePage();
  const first = connect(hub, { storage, user: 'alice' });
  await until(isLive(first));
  page.hide();
  first.stop();
  page.close();
  hub.send({ quiet: true });
  hub.requests.length = 0;
  const second = connect(hub, { storage, user: 'alice' });
  assert.deepEqual(ids(second), [103, 102, 101]);
  await equals(second, hub);
  assert.deepEqual(hub.requests, []);
  const other = connect(hub, { storage, user: 'bob' });
  assert.deepEqual(ids(other), []);
});

/** A document and a window, as much as the client asks of them. */
function fakePage() {
  const page = new EventTarget();
  const document = Object.assign(new EventTarget(), { visibilityState: 'visible', cookie: '' });
  Object.assign(globalThis, { window: page, document });
  return {
    hide: () => page.dispatchEvent(new Event('pagehide')),
    close: () => {
      delete globalThis.window;
      delete globalThis.document;
    },
  };
}
