// What the service worker does, one fact at a time, without a browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FakePage, FakeWorker, subscription } from './fake-worker.js';

/** The values that cross the border between two realms, as plain ones. */
const plain = (value) => JSON.parse(JSON.stringify(value ?? null));

const SAID = {
  title: 'Bob',
  body: 'likes your post',
  icon: '/icon.png',
  image: '/post.png',
  url: '/posts/4',
  tag: 'event-12',
  data: { post: 4 },
  badge: 3,
  actions: [
    { action: 'reply', title: 'Reply', url: '/posts/4/reply', icon: '/reply.png' },
    { title: 'Later' },
  ],
  event: 12,
  type: 'post_like',
};

test('what the hub sends is shown as it says', async () => {
  const worker = new FakeWorker();
  await worker.push(SAID);
  const [shown] = worker.shown;
  const { title, body, icon, image, tag, actions, data, renotify, silent, badge } = shown;
  assert.deepEqual([title, body, icon, image, tag], ['Bob', 'likes your post', '/icon.png', '/post.png', 'event-12']);
  assert.deepEqual(plain(actions), [
    { action: 'reply', title: 'Reply', icon: '/reply.png' },
    { action: 'action-1', title: 'Later' },
  ]);
  assert.deepEqual(plain(data.own), { post: 4 });
  assert.deepEqual([renotify, silent, badge], [false, undefined, undefined]);
  assert.equal(worker.badge, 3);
});

test('plain text, other JSON, and no body at all are shown too', async () => {
  const worker = new FakeWorker({ title: 'Example', icon: '/own.png' });
  for (const said of ['Just words', '"quoted"', '[1, 2]', '42', '{broken', undefined, {}]) {
    await worker.push(said);
  }
  const words = worker.shown.map(({ title, body = '' }) => `${title}: ${body}`);
  assert.deepEqual(words, [
    'Example: Just words',
    'Example: quoted',
    'Example: [1, 2]',
    'Example: 42',
    'Example: {broken',
    'Example: ',
    'Example: ',
  ]);
  assert.ok(worker.shown.every(({ icon }) => icon === '/own.png'));
  assert.equal(worker.badge, null);
});

test('payloads of others are understood: message, badge as a picture', async () => {
  const worker = new FakeWorker();
  await worker.push({ title: 'A', message: 'B', badge: '/mono.png', vibrate: [100, 50], lang: 'de' });
  const [{ body, badge, vibrate, lang }] = worker.shown;
  assert.deepEqual([body, badge, plain(vibrate), lang], ['B', '/mono.png', [100, 50], 'de']);
  assert.equal(worker.badge, null);
});

test('what a browser refuses does not keep the words from being shown', async () => {
  const worker = new FakeWorker();
  await worker.push({ title: 'A', body: 'B', tag: { not: 'text' }, actions: 'none', event: 'x' });
  await worker.push({ title: 'C', silent: true, vibrate: [1] });
  assert.deepEqual(
    worker.shown.map(({ title, silent }) => [title, silent]),
    [['A', undefined], ['C', true]],
  );
});

test('the same push twice is shown once and alerts once', async () => {
  const worker = new FakeWorker();
  await worker.push(SAID);
  await worker.push(SAID);
  assert.deepEqual(worker.shown.map(({ renotify }) => renotify), [false]);
  await worker.push({ title: 'No tag', event: 13 });
  await worker.push({ title: 'No tag', event: 13 });
  assert.deepEqual(worker.shown.map(({ tag }) => tag), ['event-12', 'event-13']);
});

test('a later event under the same tag takes its place, and alerts', async () => {
  const worker = new FakeWorker();
  await worker.push({ title: 'Score 1:0', tag: 'match', event: 1 });
  await worker.push({ title: 'Score 2:0', tag: 'match', event: 2 });
  assert.deepEqual(worker.shown.map(({ title, renotify }) => [title, renotify]), [['Score 2:0', true]]);
  await worker.push({ title: 'Score 3:0', tag: 'match', event: 3, renotify: false });
  await worker.push({ title: 'Score 4:0', tag: 'match', event: 4, silent: true });
  assert.deepEqual(worker.shown.map(({ title, renotify }) => [title, renotify]), [['Score 4:0', false]]);
});

test('pushes that come together are shown one after another', async () => {
  const worker = new FakeWorker();
  await Promise.all([1, 2].map((event) => worker.push({ title: `${event}`, tag: 'match', event })));
  assert.deepEqual(
    worker.shown.map(({ title, renotify }) => [title, renotify]),
    [['2', true]],
  );
});

test('the app’s badge follows, down to none', async () => {
  const worker = new FakeWorker();
  await worker.push({ title: 'A', badge: 0 });
  assert.equal(worker.badge, 0);
});

test('open pages hear of it', async () => {
  const worker = new FakeWorker();
  worker.pages = [new FakePage('https://site.test/'), new FakePage('https://site.test/inbox')];
  await worker.push(SAID);
  for (const { heard } of worker.pages) {
    const [{ type, action, event, title, body, url, data }] = plain(heard);
    assert.deepEqual(
      { type, action, event, title, body, url, data },
      { type: 'hub-push', action: 'arrived', event: 12, title: 'Bob', body: SAID.body, url: SAID.url, data: { post: 4 } },
    );
  }
});

test('a click opens the address and marks it read', async () => {
  const worker = new FakeWorker();
  await worker.push(SAID);
  await worker.click(worker.shown[0]);
  assert.deepEqual([worker.opened, worker.shown], [['https://site.test/posts/4'], []]);
  const [{ url, method, headers, body, credentials }] = worker.requests;
  assert.deepEqual(
    [method, url, body, credentials],
    ['POST', 'https://site.test/api/notifications/mark/', { state: 'read', ids: [12] }, 'same-origin'],
  );
  assert.equal(headers['X-CSRFToken'], 'secret');
});

test('a page that shows the address already comes to the front', async () => {
  const worker = new FakeWorker();
  const page = new FakePage('https://site.test/posts/4#comments');
  worker.pages = [new FakePage('https://site.test/', { visible: true }), page];
  await worker.push(SAID);
  await worker.click(worker.shown[0]);
  assert.deepEqual([page.focused, worker.opened], [1, []]);
});

test('without an address any open page will do, the visible one first', async () => {
  const worker = new FakeWorker({ home: '/inbox/' });
  await worker.push('words');
  await worker.push('words');
  await worker.click(worker.shown[0]);
  assert.deepEqual(worker.opened, ['https://site.test/inbox/']);
  const visible = new FakePage('https://site.test/b', { visible: true });
  worker.pages = [new FakePage('https://site.test/a'), visible];
  await worker.click(worker.shown[0]);
  assert.deepEqual([visible.focused, worker.opened.length], [1, 1]);
  assert.deepEqual(worker.requests, []);
});

test('actions have addresses of their own, or share it', async () => {
  const worker = new FakeWorker();
  for (const action of ['reply', 'action-1', 'unknown']) {
    await worker.push(SAID);
    await worker.click(worker.shown[0], action);
  }
  const { origin } = new URL('https://site.test');
  assert.deepEqual(worker.opened, [`${origin}/posts/4/reply`, `${origin}/posts/4`, `${origin}/posts/4`]);
});

test('nothing but web addresses is opened', async () => {
  const worker = new FakeWorker();
  for (const url of ['javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd', 'https://[']) {
    await worker.push({ title: 'A', url });
    await worker.click(worker.shown[0]);
  }
  assert.deepEqual(new Set(worker.opened), new Set(['https://site.test/']));
  await worker.push({ title: 'A', url: 'https://elsewhere.test/x' });
  await worker.click(worker.shown[0]);
  assert.equal(worker.opened.at(-1), 'https://elsewhere.test/x');
});

test('where the cookie cannot be read the token comes from where the script does', async () => {
  const worker = new FakeWorker();
  worker.cookies = {};
  worker.csrf = '{"token": "masked"}';
  await worker.push(SAID);
  await worker.click(worker.shown[0]);
  assert.equal(worker.requests[0].headers['X-CSRFToken'], 'masked');
});

test('where there is no token a page marks it', async () => {
  const worker = new FakeWorker();
  worker.cookies = {};
  const page = new FakePage('https://site.test/', { answers: true });
  worker.pages = [page];
  await worker.push(SAID);
  await worker.click(worker.shown[0]);
  assert.deepEqual(plain(page.heard.at(-1)), { type: 'hub-push', action: 'read', id: 12 });
  assert.deepEqual([worker.requests, [...worker.database]], [[], []]);
});

for (const [why, status] of [['refuses', 403], ['is away', 0]]) {
  test(`where the hub ${why} the next page of the same person marks it`, async () => {
    const worker = new FakeWorker();
    worker.status = status;
    worker.database.set('device', { device: 1, endpoint: 'https://push.test/1', user: '42' });
    await worker.push(SAID);
    await worker.click(worker.shown[0]);
    assert.equal(worker.requests.length, 1);
    assert.deepEqual(plain(worker.database.get('mark:12')), { user: '42' });
  });
}

const RECORD = { device: 1, endpoint: 'https://push.test/1', key: 'BKey', user: '42', login: 'x' };

test('an address that the push service replaces is told to the hub', async () => {
  const worker = new FakeWorker({ api: '/hub/api/' });
  worker.database.set('device', RECORD);
  const page = new FakePage('https://site.test/');
  worker.pages = [page];
  const newSubscription = subscription('https://push.test/2', 'key');
  await worker.dispatch('pushsubscriptionchange', { oldSubscription: null, newSubscription });
  const [{ url, body }] = worker.requests;
  assert.equal(url, 'https://site.test/hub/api/devices/');
  assert.deepEqual([body.endpoint, body.old_token], ['https://push.test/2', RECORD.endpoint]);
  assert.deepEqual(plain(worker.database.get('device')), {
    ...RECORD,
    device: 7,
    endpoint: 'https://push.test/2',
  });
  assert.deepEqual(plain(page.heard), [{ type: 'hub-push', action: 'changed' }]);
});

test('an address that was taken away is replaced by another, under the same key', async () => {
  const worker = new FakeWorker();
  worker.database.set('device', RECORD);
  await worker.dispatch('pushsubscriptionchange', {
    oldSubscription: subscription('https://push.test/1', 'the key'),
    newSubscription: null,
  });
  assert.equal(worker.requests[0].body.endpoint, 'https://push.test/again-1');
});

test('where the hub cannot be told, the next page finds the difference', async () => {
  const worker = new FakeWorker();
  worker.database.set('device', RECORD);
  worker.status = 401;
  await worker.dispatch('pushsubscriptionchange', {});
  assert.deepEqual(worker.database.get('device'), RECORD);
});

test('for somebody else who is signed in now nothing is registered', async () => {
  const worker = new FakeWorker();
  worker.database.set('device', RECORD);
  worker.known = 404;
  await worker.dispatch('pushsubscriptionchange', {});
  assert.deepEqual([worker.requests, worker.database.get('device')], [[], RECORD]);
});

test('what was turned off stays off', async () => {
  const worker = new FakeWorker();
  await worker.dispatch('pushsubscriptionchange', {});
  assert.deepEqual([worker.made, worker.requests], [0, []]);
});
