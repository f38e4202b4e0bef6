/** Web Push in this browser: `PushDevice`, and `<push-switch>` on top of it. */
import type { ClientOptions } from './index.js';

export type PushPermission = 'default' | 'denied' | 'granted' | 'unsupported';

/**
 * - `starting`: not looked yet
 * - `off`, `on`
 * - `denied`: the person, or the browser by itself, has blocked notifications of this site; only
 *   its settings change that
 * - `unsupported`: this browser has no Web Push
 * - `insecure`: it would have, were this page served by https
 * - `home-screen`: an iPhone or iPad, which has it once the page is on the home screen
 */
export type PushStatus =
  'starting' | 'off' | 'on' | 'denied' | 'unsupported' | 'insecure' | 'home-screen';

export interface PushState {
  readonly status: PushStatus;
  readonly permission: PushPermission;
  /** Something is under way. */
  readonly busy: boolean;
  /** The device's id at the hub, while it is on. */
  readonly device: number | null;
  /**
   * What went wrong last. `code` is that of a `HubError`, or `dismissed` (the question was closed),
   * `denied`, `push_service` (the browser could not reach its own), `worker` (the service worker
   * could not be installed), `no_web_push` (the hub has no application for it), `failed`.
   */
  readonly error: { readonly code: string; readonly detail: string } | null;
}

/**
 * What the browser remembers: the device, the address and the key that the hub knows it by, and
 * whose it is; `login` changes when somebody signs in.
 */
export interface PushRecord {
  readonly device: number;
  readonly endpoint: string;
  readonly key: string;
  readonly user: string;
  readonly login: string;
  /** Of the page that turned it on, for pages that do not know. */
  readonly workerUrl?: string;
  readonly scope?: string;
}

export interface PushStore {
  get(): Promise<PushRecord | null>;
  set(record: PushRecord): Promise<void>;
  delete(): Promise<void>;
}

export interface PushOptions extends Pick<
  ClientOptions,
  'baseUrl' | 'apiUrl' | 'token' | 'user' | 'csrfToken' | 'csrfCookie' | 'fetch'
> {
  /** Where the service worker is (default: `/service-worker.js`), on the page's own origin. */
  workerUrl?: string;
  /** What it is in charge of (default: its own folder). */
  scope?: string;
  /** How the device is called in lists (default: such as "Firefox, Linux"). */
  name?: string;
  /** How long a request may take, in milliseconds. */
  timeout?: number;
  /** How long the browser may take to install the worker or to subscribe, in milliseconds. */
  patience?: number;
  store?: PushStore;
  browser?: Pick<
    typeof globalThis,
    'navigator' | 'Notification' | 'PushManager' | 'isSecureContext'
  >;
}

/** This browser as a device. Its methods never reject: what went wrong is in the state's `error`. */
export class PushDevice {
  constructor(options?: PushOptions);
  /** Compares with the hub once, and follows what happens in the browser until `stop()`. */
  start(): void;
  stop(): void;
  /** Calls the listener after each change; answers what ends that. */
  subscribe(listener: () => void): () => void;
  getState(): PushState;
  /** Asks the person and registers the device. Only in a click, or browsers refuse the question. */
  turnOn(): Promise<PushState>;
  /** Takes the device from the hub and ends the browser's subscription. */
  turnOff(): Promise<PushState>;
  /** Before signing out: pushes pause until the same person is back. */
  logOut(): Promise<PushState>;
  /** Without a question: a new key or address is told, a device removed elsewhere is turned off. */
  sync(): Promise<PushState>;
}

/** `<push-switch>`; importing push-switch.js defines it. */
export class PushSwitch extends HTMLElement {
  /** Made from the attributes unless one is set before it is connected. */
  device: PushDevice | null;
  /** Texts that replace the English ones; the attribute `texts` takes the same as JSON. */
  texts: Record<string, string>;
}

declare global {
  interface HTMLElementTagNameMap {
    'push-switch': PushSwitch;
  }
  interface HTMLElementEventMap {
    'push-change': CustomEvent<PushState>;
  }
}
