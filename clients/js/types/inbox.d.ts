/** `<notification-inbox>`; importing this module defines it. */
import type { HubClient, Notification } from './index.js';

/** Every text there is, with its English default in src/texts.js. `{…}` are gaps. */
export interface Texts {
  [key: string]: string;
}

export class NotificationInbox extends HTMLElement {
  /** The client it shows. Made from the attributes unless one is set before it is connected. */
  client: HubClient | null;
  /** Texts that replace the English ones; the attribute `texts` takes the same as JSON. */
  texts: Partial<Texts>;
  readonly open: boolean;
  show(): void;
  hide(): void;
}

/** `notification-open`: somebody opens a notification. `preventDefault()` keeps the page where it is. */
export type NotificationOpenEvent = CustomEvent<{ notification: Notification }>;

declare global {
  interface HTMLElementTagNameMap {
    'notification-inbox': NotificationInbox;
  }
  interface HTMLElementEventMap {
    'notification-open': NotificationOpenEvent;
    'notification-arrival': CustomEvent<{ notification: Notification }>;
    'notification-counters': CustomEvent<{ unread: number; unseen: number }>;
  }
}
