// Clients on a real hub behind a cruel proxy: after every run they show what the database holds.
//
//   HUB_URL=http://127.0.0.1:8000 HUB_TOKEN=... HUB_SENDER=... HUB_SEED=7 node --test test/real.chaos.js
//
// tests/clients/test_against_the_hub.py starts the hub and runs this.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { HubClient } from '../src/index.js';
import { FakeLocks } from './fake-locks.js';
import { Proxy, seeded } from './proxy.js';

const { HUB_URL, HUB_TOKEN, HUB_SENDER, HUB_USER } = process.env;
const SEED = Number(process.env.HUB_SEED ?? Date.now() % 100_000);
const SECONDS = Number(process.env.HUB_SECONDS ?? 6);
const HEALED = 30_000;

const TIMING = {
  retryFirst: 50,
  retryLongest: 500,
  connect: 1_500,
  silence: 1_000,
  answer: 700,
  request: 2_000,
  poll: 150,
  pollHidden: 150,
  ack: 20,
  takeOver: 500,
};

class NoSocket {
  constructor() {
    setTimeout(() => this.onclose?.({ code: 1006 }));
  }
  close() {}
}

async function rest(token, method, path, body) {
  const response = await fetch(`${HUB_URL}/api/${path}`, {
    method,
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok && response.status !== 404) throw new Error(`${method} ${path}: ${text}`);
  return text ? JSON.parse(text) : null;
}

async function inbox() {
  for (;;) {
    const before = await rest(HUB_TOKEN, 'GET', 'notifications/summary/');
    const items = [];
    for (let last = ''; ; last = `&before=${items.at(-1).id}`) {
      const page = await rest(HUB_TOKEN, 'GET', `notifications/?limit=200${last}`);
      items.push(...page.results);
      if (page.next === null) break;
    }
    const after = await rest(HUB_TOKEN, 'GET', 'notifications/summary/');
    if (after.version === before.version) return { items, ...after };
  }
}

test(`seed ${SEED}: after ${SECONDS} s of faults every client equals the database`, async (t) => {
  const random = seeded(SEED);
  const pick = (list) => list[Math.floor(random() * list.length)];
  const proxy = new Proxy(HUB_URL, random);
  const baseUrl = await proxy.open();
  const locks = new FakeLocks();
  const make = (name, options = {}) => {
    const client = new HubClient({
      baseUrl,
      token: HUB_TOKEN,
      pageSize: 10,
      share: false,
      isVisible: () => true,
      ...options,
      timing: TIMING,
    });
    client.start();
    return { name, client };
  };
  const shared = { share: true, locks, user: `user ${SEED}` };
  const clients = [
    make('alone'),
    make('first tab', shared),
    make('second tab', shared),
    make('polling', { WebSocket: NoSocket }),
    make('filtered', { filter: { state: 'unread', type: 'post_like' } }),
  ];
  const outcomes = { done: 0, refused: 0 };
  const count = (promise) =>
    promise.then(
      () => (outcomes.done += 1),
      () => (outcomes.refused += 1),
    );

  const everybody = () => rest(HUB_SENDER, 'POST', 'events/', event({ users: 'everyone' }));
  const event = (more) => ({
    type: pick(['post_like', 'post_comment', 'become_friends_request']),
    users: [HUB_USER],
    title: `Number ${Math.floor(random() * 1e6)}`,
    message: random() < 0.1 ? 'long '.repeat(700) : '',
    expires_at: random() < 0.15 ? new Date(Date.now() + random() * 3_000).toISOString() : null,
    ...more,
  });
  const ids = () => {
    const { items } = pick(clients).client.getState();
    const wanted = Array.from({ length: 1 + Math.floor(random() * 4) }, () => pick(items)?.id);
    return wanted.filter(Boolean);
  };
  const states = ['seen', 'read', 'unread', 'archived', 'unarchived'];
  const known = [];
  const send = async () => {
    known.push((await rest(HUB_SENDER, 'POST', 'events/', event())).id);
  };
  const deeds = [
    ...Array(6).fill(send),
    everybody,
    () => rest(HUB_TOKEN, 'POST', 'notifications/mark/', { state: pick(states), ids: ids() }),
    () => {
      const body = { state: pick(states), ids: known.filter(() => random() < 0.3).slice(0, 300) };
      return rest(HUB_TOKEN, 'POST', 'notifications/mark/', body);
    },
    async () => {
      const { version } = await rest(HUB_TOKEN, 'GET', 'notifications/summary/');
      const body = { state: pick(states), up_to: Math.floor(random() * version) };
      if (random() < 0.5) body.type = 'post_like';
      return rest(HUB_TOKEN, 'POST', 'notifications/mark/', body);
    },
    () => (random() < 0.5 && ids()[0] ? rest(HUB_TOKEN, 'DELETE', `notifications/${ids()[0]}/`) : 0),
    () => void count(pick(clients).client.mark({ state: pick(states), ids: ids() })),
    () => void count(pick(clients).client.delete(ids().slice(0, 1))),
    () => void count(pick(clients).client.markAll(pick(['seen', 'read']))),
    () => void pick(clients).client.loadMore().catch(() => {}),
  ];

  for (let i = 0; i < 25; i += 1) await send();
  proxy.faults = { drop: 0.06, double: 0.08, delay: 0.3, cut: 0.02 };
  const end = Date.now() + SECONDS * 1_000;
  while (Date.now() < end) {
    await pick(deeds)();
    await new Promise((resolve) => setTimeout(resolve, random() * 40));
  }
  proxy.faults = { drop: 0, double: 0, delay: 0, cut: 0 };
  t.diagnostic(JSON.stringify({ ...proxy.counts, ...outcomes, made: known.length }));

  try {
    for (const { name, client } of clients) {
      let wanted;
      const isEqual = async () => {
        const { status, hasMore, items, unread, unseen, position, filter } = client.getState();
        if (status !== (name === 'polling' ? 'polling' : 'live')) return `status ${status}`;
        if (hasMore) {
          await client.loadMore().catch(() => {});
          return 'pages';
        }
        wanted = await inbox();
        const rows = wanted.items.filter(
          (row) =>
            (filter.state !== 'unread' || !row.read_at) &&
            (!filter.type || row.event.type.name === filter.type),
        );
        if (position.version !== wanted.version) return `version ${position.version}`;
        if (unread !== wanted.unread || unseen !== wanted.unseen) return `${unread} ${unseen}`;
        return JSON.stringify(items) === JSON.stringify(rows) ? '' : 'rows';
      };
      const deadline = Date.now() + HEALED;
      for (let why = await isEqual(); why; why = await isEqual()) {
        if (Date.now() > deadline) {
          const brief = (rows = []) => rows.map(({ event, ...row }) => [row, event.type.name]);
          const { items, ...state } = client.getState();
          t.diagnostic(`${name} is not equal: ${why} ${JSON.stringify(state)}`);
          assert.deepEqual(brief(items), brief(wanted?.items));
          assert.fail(`${name}: ${why}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
    assert.equal(outcomes.refused, 0, 'no mark was refused');
  } finally {
    for (const { client } of clients) client.stop();
    proxy.close();
  }
});
