/** The client of the notification hub. Words are those of docs/glossary.md, shapes those of docs/protocol.md. */

export type Priority = 'low' | 'normal' | 'high';
export type MarkState = 'seen' | 'read' | 'unread' | 'archived' | 'unarchived';

export interface EventType {
  readonly id: number;
  readonly name: string;
  readonly title: string;
  readonly description: string;
}

export interface HubEvent {
  readonly id: number;
  readonly type: EventType;
  readonly author: { readonly id: number | string; readonly name: string } | null;
  readonly title: string;
  readonly message: string;
  readonly url: string;
  readonly data: unknown;
  readonly tag: string;
  readonly priority: Priority;
  readonly timestamp: string;
  readonly expires_at: string | null;
}

/** One event in this user's inbox. Times are ISO 8601 in UTC. */
export interface Notification {
  readonly id: number;
  readonly arrived: number;
  readonly version: number;
  readonly seen_at: string | null;
  readonly read_at: string | null;
  readonly archived_at: string | null;
  readonly expired_at: string | null;
  /** Show it without sound, toast or jump of the badge. */
  readonly silent: boolean;
  readonly event: HubEvent;
}

/** Which notifications `items` holds. */
export interface Filter {
  /** `inbox` (the default): neither archived nor expired; `unread`: of these the unread; `archived`. */
  readonly state?: 'inbox' | 'unread' | 'archived';
  /** The name of an event type; empty or left out: all types. */
  readonly type?: string;
}

/**
 * - `idle`: not started, or stopped
 * - `starting`: the first list is being loaded
 * - `live`: connected; what happens is here at once
 * - `polling`: sockets do not get through; asks every few seconds, and goes on trying the socket
 * - `reconnecting`: the hub does not answer; tries again by itself
 * - `offline`: as before, and the browser says that there is no network
 * - `ended`: does not come back by itself, `error` says why: sign in again, or call `retry()`
 */
export type Status = 'idle' | 'starting' | 'live' | 'polling' | 'reconnecting' | 'offline' | 'ended';

/** A snapshot. A change makes a new one; what did not change keeps its identity. */
export interface State {
  readonly status: Status;
  /** Why it ended, or what went wrong last; null while all is well. */
  readonly error: { readonly code: string; readonly detail: string } | null;
  /** Notifications that were never marked read, in the whole inbox. */
  readonly unread: number;
  /** Notifications that were never shown in a list, in the whole inbox: the number for a badge. */
  readonly unseen: number;
  /** What the filter leaves, newest first, as far as it is loaded. */
  readonly items: readonly Notification[];
  readonly filter: { readonly state: 'inbox' | 'unread' | 'archived'; readonly type: string };
  /** True once `items` is worth showing. */
  readonly loaded: boolean;
  /** True while a page is being loaded. */
  readonly loading: boolean;
  /** There is more than `items`: `loadMore()`. */
  readonly hasMore: boolean;
  /** Where this client stands; null before the first list. */
  readonly position: { readonly epoch: string; readonly version: number } | null;
}

export interface Marked {
  /** How many notifications were altered. */
  changed: number;
  version: number;
}

export interface ClientOptions {
  /** Where the hub is, e.g. `https://example.com/` (default: `/`). */
  baseUrl?: string;
  /** Where its REST operations are (default: `api/` below `baseUrl`). */
  apiUrl?: string;
  /** Where its socket is (default: `ws/notifications` below `baseUrl`). */
  socketUrl?: string;
  /** A bearer token, or what gets one. Left out: the session cookie. */
  token?: string | (() => string | Promise<string>);
  /** `true`: open sockets by a ticket of `ws-ticket/` also with a cookie; or what gets a ticket. */
  ticket?: boolean | (() => Promise<string>);
  /** The user this page belongs to. Tabs share a socket only if this is the same. */
  user?: string;
  /** The CSRF token, where no script can read it from a cookie. */
  csrfToken?: string;
  /** The name of the CSRF cookie (default: `csrftoken`). */
  csrfCookie?: string;
  /** How many notifications a page has (default: 30, at most 200). */
  pageSize?: number;
  filter?: Filter;
  /** One socket for all tabs of the origin (default: true in browsers). */
  share?: boolean;
  /** Keeps the first page for the next page load, e.g. `sessionStorage` (default: nothing is kept). */
  storage?: Pick<Storage, 'getItem' | 'setItem' | 'removeItem'> | null;
  /** Whether somebody is looking (default: the document's visibility, false without a document). */
  isVisible?: () => boolean;
  fetch?: typeof globalThis.fetch;
  WebSocket?: typeof globalThis.WebSocket;
  BroadcastChannel?: typeof globalThis.BroadcastChannel;
  locks?: LockManager | null;
  /** Times in milliseconds. For tests; the defaults are right. */
  timing?: Partial<Timing>;
}

export interface Timing {
  /** First and longest wait before connecting again; in between it doubles, with full jitter. */
  retryFirst: number;
  retryLongest: number;
  /** How long a connect may take until `hello`. */
  connect: number;
  /** After this much silence the client asks for a sign of life … */
  silence: number;
  /** … and after this much more it connects anew. */
  answer: number;
  /** How long a request may take. */
  request: number;
  /** Between two polls, looked at and not looked at. */
  poll: number;
  pollHidden: number;
  /** Acknowledgements are collected this long. */
  ack: number;
  /** A visible tab takes the socket over from one that does not answer for this long. */
  takeOver: number;
}

/** What the hub, or the way to it, answered. `code` is one of docs/protocol.md, `network` or `timeout`. */
export class HubError extends Error {
  constructor(what: {
    code: string;
    detail: string;
    status?: number;
    retryAfter?: number | null;
    fields?: Record<string, string[]>;
  });
  readonly code: string;
  readonly detail: string;
  readonly status: number;
  readonly retryAfter: number | null;
  readonly fields: Record<string, string[]>;
}

export type MarkWhat =
  | { state: MarkState; ids: readonly number[]; upTo?: undefined; type?: undefined }
  | { state: MarkState; upTo: number; type?: string; ids?: undefined };

export class HubClient {
  constructor(options?: ClientOptions);
  /** Loads, connects and stays connected, until `stop()`. */
  start(): void;
  stop(): void;
  /** Comes back after `ended`, and does not wait any longer where it waits. */
  retry(): void;
  /** Calls the listener after each change; answers what ends that. */
  subscribe(listener: () => void): () => void;
  getState(): State;
  /** Calls the listener for each notification that arrives from now on. */
  onArrival(listener: (notification: Notification) => void): () => void;
  /**
   * Sets a state, shown at once and sent as soon as possible. Rejects with a `HubError`, and shows
   * what was there before, if the hub refuses. `upTo: true`-like "all": `markAll`.
   */
  mark(what: MarkWhat): Promise<Marked>;
  /** Everything that is here by now, or everything of a type. */
  markAll(state: MarkState, options?: { type?: string }): Promise<Marked>;
  /** Deletes for good. With `hold` it waits that many milliseconds, in which the signal calls it off. */
  delete(ids: readonly number[], options?: { hold?: number; signal?: AbortSignal }): Promise<Marked>;
  loadMore(): Promise<void>;
  setFilter(filter: Filter): void;
  /** The active event types, asked for once. */
  eventTypes(): Promise<readonly (EventType & { readonly critical: boolean })[]>;
}
