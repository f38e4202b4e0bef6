// A hub in memory, as much of docs/protocol.md as the client's tests need, and faults on demand.

const TYPES = {
  post_like: { id: 1, name: 'post_like', title: 'Likes', description: '' },
  post_comment: { id: 2, name: 'post_comment', title: 'Comments', description: '' },
};

export class FakeHub {
  epoch = 'e1';
  version = 0;
  rows = new Map();
  tombstones = [];
  sockets = new Set();
  /** Requests that were made, as `GET notifications/`. */
  requests = [];
  /** Frames that clients sent. */
  heard = [];
  /** Connects that were tried. */
  connects = [];
  /** Answers to come, before the hub's own: `(request) => [status, body, headers] | undefined`. */
  intercept = () => undefined;
  /** `(frame) => frames that go out in its place`. */
  wire = (frame) => [frame];
  /** What a connect meets: `open`, `refuse`, or a close code. */
  door = 'open';
  /** False: marks are heard but neither done nor answered. */
  answers = true;
  #id = 100;

  // The inbox

  get list() {
    return [...this.rows.values()].sort((a, b) => b.id - a.id);
  }

  get open() {
    return this.list.filter((row) => !row.archived_at && !row.expired_at);
  }

  get counters() {
    return {
      unread: this.open.filter((row) => !row.read_at).length,
      unseen: this.open.filter((row) => !row.seen_at).length,
    };
  }

  send({ type = 'post_like', title = 'Hello', quiet = false, ...more } = {}) {
    const id = ++this.#id;
    const arrived = ++this.version;
    const event = {
      id,
      type: TYPES[type],
      author: null,
      title,
      message: '',
      url: '',
      data: null,
      tag: '',
      priority: 'normal',
      timestamp: new Date().toISOString(),
      expires_at: null,
      ...more,
    };
    const row = {
      id,
      arrived,
      version: arrived,
      seen_at: null,
      read_at: null,
      archived_at: null,
      expired_at: null,
      silent: false,
      event,
    };
    this.rows.set(id, row);
    if (!quiet) this.tell({ action: 'new', notification: row });
    return row;
  }

  fill(number) {
    for (let i = 0; i < number; i += 1) this.send({ quiet: true, title: `Old ${i}` });
  }

  mark({ state, ids, up_to, type }, { quiet = false } = {}) {
    const at = new Date().toISOString();
    const wanted = this.list.filter((row) => {
      if (ids) return ids.includes(row.id);
      const away = state === 'unarchived' ? !row.archived_at : row.archived_at;
      if (away || row.expired_at || row.arrived > up_to) return false;
      return !type || row.event.type.name === type;
    });
    const changes = {
      seen: (row) => ({ seen_at: row.seen_at ?? at }),
      read: (row) => ({ seen_at: row.seen_at ?? at, read_at: row.read_at ?? at }),
      unread: () => ({ read_at: null }),
      archived: (row) => ({ archived_at: row.archived_at ?? at }),
      unarchived: () => ({ archived_at: null }),
      expired: (row) => ({ expired_at: row.expired_at ?? at }),
    };
    const altered = [];
    for (const row of wanted) {
      const change = changes[state](row);
      if (Object.entries(change).some(([key, value]) => row[key] !== value)) {
        altered.push({ ...row, ...change });
      }
    }
    if (altered.length === 0) return { changed: 0, version: this.version };
    const version = ++this.version;
    for (const row of altered) this.rows.set(row.id, { ...row, version });
    const upTo = { up_to, ...(type ? { type } : {}) };
    const reach = ids ? { ids: altered.map((row) => row.id) } : upTo;
    if (!quiet) this.tell({ action: 'marked', state, at, ...reach });
    return { changed: altered.length, version };
  }

  delete(ids, { quiet = false } = {}) {
    const there = ids.filter((id) => this.rows.has(id));
    if (there.length === 0) return { changed: 0, version: this.version };
    const version = ++this.version;
    for (const id of there) {
      this.rows.delete(id);
      this.tombstones.push({ id, version, deleted: true });
    }
    if (!quiet) this.tell({ action: 'deleted', ids: there });
    return { changed: there.length, version };
  }

  changes(since) {
    const all = [...this.list, ...this.tombstones].filter((change) => change.version > since);
    return all.sort((a, b) => a.version - b.version || a.id - b.id);
  }

  sync(since) {
    const { epoch, version } = this;
    const changes = this.changes(since);
    const pages = { cursor: null, more: false };
    return { action: 'sync', epoch, since, version, ...pages, ...this.counters, changes };
  }

  // Sockets

  tell(frame) {
    const { version } = this;
    for (const socket of this.sockets) socket.say({ ...frame, version, ...this.counters });
  }

  /** A class to give to a client. */
  get WebSocket() {
    const hub = this;
    return class FakeSocket {
      readyState = 0;

      constructor(url, protocols) {
        this.url = new URL(url);
        this.protocols = protocols;
        hub.connects.push(this);
        setTimeout(() => this.#enter());
      }

      #enter() {
        if (this.readyState !== 0) return;
        if (hub.door === 'refuse') return this.end(1006);
        if (hub.door !== 'open') return this.end(hub.door);
        this.readyState = 1;
        hub.sockets.add(this);
        const { epoch, version } = hub;
        this.say({ action: 'hello', epoch, version, ...hub.counters });
        const since = this.url.searchParams.get('since');
        if (since === null) return;
        const fits = this.url.searchParams.get('epoch') === epoch && Number(since) <= version;
        this.say(fits ? hub.sync(Number(since)) : { action: 'reset', retry_after: 0.01 });
      }

      say(frame) {
        for (const each of hub.wire(frame)) {
          const data = JSON.stringify(each);
          setTimeout(() => this.readyState === 1 && this.onmessage?.({ data }));
        }
      }

      /** As the hub or the network ends it. */
      end(code, retryAfter) {
        if (retryAfter !== undefined) this.say({ action: 'bye', code, retry_after: retryAfter });
        setTimeout(() => {
          if (this.readyState === 3) return;
          this.readyState = 3;
          hub.sockets.delete(this);
          this.onclose?.({ code });
        });
      }

      close() {
        this.readyState = 3;
        hub.sockets.delete(this);
      }

      send(text) {
        const frame = JSON.parse(text);
        hub.heard.push(frame);
        setTimeout(() => this.#answer(frame));
      }

      #answer({ action, ref, ...body }) {
        if (!hub.answers) return;
        const done = (changed, version) =>
          ref !== undefined && this.say({ action: 'done', ref, changed, version });
        if (action === 'sync') {
          if (body.since > hub.version) this.say({ action: 'reset', retry_after: 0.01 });
          else this.say(hub.sync(body.since));
          done(0, hub.version);
        } else if (action === 'mark' || action === 'delete') {
          if (body.ids?.includes(666)) {
            return this.say({ action: 'error', code: 'invalid', detail: 'Not this.', ref });
          }
          const { changed, version } = action === 'mark' ? hub.mark(body) : hub.delete(body.ids);
          done(changed, version);
        } else {
          done(0, action === 'ack' ? body.version : hub.version);
        }
      }
    };
  }

  /** Ends every socket. */
  cut(code = 1006, retryAfter) {
    for (const socket of [...this.sockets]) socket.end(code, retryAfter);
  }

  // REST

  fetch = async (url, { method, body, headers }) => {
    const { pathname, searchParams } = new URL(url);
    const path = pathname.replace('/api/', '');
    this.requests.push(`${method} ${path}`);
    const request = { method, path, search: searchParams, headers, body: body && JSON.parse(body) };
    const [status, answer, more] = (await this.intercept(request)) ?? this.#rest(request);
    return new Response(status === 204 || status === 304 ? null : JSON.stringify(answer), {
      status,
      headers: more ?? {},
    });
  };

  #rest({ method, path, search, headers, body }) {
    const { epoch, version } = this;
    if (path === 'notifications/summary/') {
      const ETag = `"${epoch}-${version}"`;
      if (headers['If-None-Match'] === ETag) return [304, null];
      return [200, { ...this.counters, total: this.open.length, version, epoch }, { ETag }];
    }
    if (path === 'notifications/changes/') {
      const since = Number(search.get('since'));
      if (search.get('epoch') !== epoch || since > version) {
        return [200, { reset: true, changes: [], more: false, retry_after: 0.01, epoch, version }];
      }
      const changes = this.changes(since);
      return [200, { epoch, version, cursor: null, reset: false, changes, more: false }];
    }
    if (path === 'notifications/mark/') return [200, this.mark(body)];
    if (path === 'notifications/') return [200, this.#list(search)];
    if (path === 'ws-ticket/') return [200, { ticket: `t${this.connects.length}`, expires_in: 30 }];
    if (path === 'event-types/') return [200, Object.values(TYPES)];
    const one = /^notifications\/(\d+)\/$/.exec(path);
    if (one && method === 'DELETE') {
      return this.delete([Number(one[1])]).changed ? [204] : [404, { code: 'not_found', detail: '' }];
    }
    return [404, { code: 'not_found', detail: path }];
  }

  #list(search) {
    const { epoch, version } = this;
    const limit = Number(search.get('limit') ?? 20);
    const before = Number(search.get('before') ?? Infinity);
    const archived = search.get('state') === 'archived';
    const found = this.list.filter(
      (row) =>
        row.id < before &&
        !row.expired_at &&
        (row.archived_at !== null) === archived &&
        (search.get('read') !== 'false' || !row.read_at) &&
        (!search.get('type') || row.event.type.name === search.get('type')),
    );
    const next = found.length > limit ? 'https://hub.test/next' : null;
    const results = found.slice(0, limit);
    return { count: found.length, next, previous: null, results, epoch, version };
  }
}

/** Waits until it is true; fails with what it is instead. */
export async function until(condition, what = String(condition), within = 3_000) {
  const end = Date.now() + within;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within ${within} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

export const pause = (wait) => new Promise((resolve) => setTimeout(resolve, wait));
