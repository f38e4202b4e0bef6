// The copy of the inbox by itself: golden frames, the row rule, and what may be shown as a link.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { safeUrl } from '../src/dom.js';
import { Replica, select } from '../src/replica.js';
import { Words } from '../src/texts.js';

const GOLDEN = new URL('../../../tests/golden/', import.meta.url);
const golden = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, GOLDEN), 'utf8'));
const ALL = { state: 'inbox', type: '' };

function loaded(version) {
  const replica = new Replica();
  replica.replace({ ...golden('rest_list'), next: null, version }, ALL);
  return replica;
}

const shown = (replica, view = ALL) => [...select(replica, view)].map((row) => row.id);

test('golden frames are applied in their order', () => {
  const replica = new Replica();
  replica.replace({ results: [], next: null, epoch: 'k3v9-7312.1', version: 16 }, ALL);
  assert.equal(replica.apply(golden('frame_new')), 'applied');
  assert.deepEqual(replica.counters, { unread: 5, unseen: 2 });
  assert.equal(replica.apply(golden('frame_marked_ids')), 'applied');
  assert.equal(replica.rows.get(4211).read_at, '2026-03-02T08:16:02.330918Z');
  assert.equal(replica.rows.get(4211).version, 18);
  assert.equal(replica.apply(golden('frame_marked_up_to')), 'applied');
  assert.equal(replica.apply(golden('frame_marked_up_to_type')), 'applied');
  assert.equal(replica.rows.get(4211).version, 18, 'a row that is not altered keeps its version');
  assert.equal(replica.apply(golden('frame_new_silent')), 'applied');
  assert.equal(replica.apply(golden('frame_marked_expired')), 'applied');
  assert.equal(replica.apply(golden('frame_deleted')), 'applied');
  assert.equal(replica.cursor.version, 23);
  assert.deepEqual(shown(replica), [4230, 4211]);
});

test('live frames: doubled is ignored, one too far is a gap', () => {
  const replica = loaded(16);
  assert.equal(replica.apply({ ...golden('frame_new'), version: 16 }), 'ignored');
  assert.equal(replica.apply({ ...golden('frame_new'), version: 18 }), 'gap');
  assert.equal(replica.cursor.version, 16);
});

test('an unfinished sync is resumed at its page', () => {
  const replica = loaded(17);
  assert.equal(replica.apply(golden('frame_sync_more')), 'applied');
  assert.deepEqual(replica.cursor, { epoch: 'k3v9-7312.1', version: 18, page: '19.4187' });
  assert.equal(replica.apply({ ...golden('frame_new'), version: 19 }), 'gap');
  const last = { ...golden('frame_sync'), since: '19.4187', changes: [] };
  assert.equal(replica.apply({ ...last, since: '18.1' }), 'gap', 'the page before it got lost');
  assert.equal(replica.apply(last), 'applied');
  assert.deepEqual(replica.cursor, { epoch: 'k3v9-7312.1', version: 19, page: null });
});

test('a sync that begins too late is a gap, though its rows count', () => {
  const replica = loaded(12);
  assert.equal(replica.apply(golden('frame_sync')), 'gap');
  assert.equal(replica.cursor.version, 12);
  assert.equal(replica.rows.get(4211).version, 18);
  assert.equal(replica.apply({ ...golden('frame_sync'), since: 12 }), 'applied');
  assert.equal(replica.cursor.version, 19);
});

test('a sync of another epoch is a reset', () => {
  const replica = loaded(17);
  const other = { ...golden('frame_sync'), epoch: 'other' };
  assert.equal(replica.apply(other), 'reset');
});

test('a row that REST brought is not set back by an older frame', () => {
  const replica = loaded(15);
  const [row] = golden('rest_list').results;
  replica.rows.set(row.id, { ...row, version: 17, read_at: '2026-03-02T09:00:00Z' });
  const unread = { ...golden('frame_marked_ids'), version: 16, state: 'unread' };
  assert.equal(replica.apply(unread), 'applied');
  assert.equal(replica.rows.get(row.id).read_at, '2026-03-02T09:00:00Z');
});

test('what is older than the loaded pages is kept, but not shown as if there were no gap', () => {
  const replica = new Replica();
  replica.replace({ ...golden('rest_list'), version: 17 }, ALL); // there is a next page
  const [row] = golden('rest_list').results;
  const old = { ...row, id: 12, arrived: 2, version: 18 };
  const sync = { ...golden('frame_sync_empty'), version: 18, changes: [old] };
  assert.equal(replica.apply(sync), 'applied');
  assert.deepEqual(shown(replica), [4211, 4198]);
  const page = { results: [old], next: null, epoch: 'k3v9-7312.1', version: 18 };
  assert.equal(replica.merge(page, ALL, replica.begin()), true);
  assert.deepEqual(shown(replica), [4211, 4198, 12]);
});

test('an action or a state of a later hub does no harm', () => {
  const replica = loaded(17);
  const later = { ...golden('frame_marked_ids'), version: 18, state: 'starred' };
  assert.equal(replica.apply(later), 'applied');
  assert.equal(replica.rows.get(4211).version, 17);
});

test('a link is http, https or a path of this host', () => {
  for (const url of ['http://a.test/', 'HTTPS://a.test', '/posts/12/', '/']) {
    assert.equal(safeUrl(url), url);
  }
  const bad = ['', 'javascript:alert(1)', ' javascript:alert(1)', '//evil.test', '/\\evil.test'];
  for (const url of [...bad, 'data:text/html,x', 'posts/12', 'ftp://a.test', 'https:evil']) {
    assert.equal(safeUrl(url), null, url);
  }
});

test('words: gaps, plural forms, other languages', () => {
  const english = new Words({}, 'en');
  assert.equal(english.count('bell', 0), 'Notifications');
  assert.equal(english.count('fresh', 1), '1 new notification');
  assert.equal(english.count('fresh', 2), '2 new notifications');
  assert.equal(english.say('arrived', { title: 'A {count}' }), 'New notification: A {count}');
  const polish = new Words({ fresh_few: '{count} nowe', fresh_other: '{count} nowych' }, 'pl');
  assert.equal(polish.count('fresh', 3), '3 nowe');
  assert.equal(polish.count('fresh', 5), '5 nowych');
  assert.equal(new Words({}, 'not a language!').say('undo'), 'Undo');
});
