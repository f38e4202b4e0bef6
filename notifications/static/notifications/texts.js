// Every text of the component, in English. `_one`, `_other` and the like are plural forms.

export const TEXTS = {
  title: 'Notifications',
  bell_zero: 'Notifications',
  bell_one: 'Notifications, {count} new',
  bell_other: 'Notifications, {count} new',
  show: 'Show',
  all: 'All',
  unread: 'Unread',
  archived: 'Archived',
  type: 'Type',
  all_types: 'All types',
  mark_all_read: 'Mark all as read',
  mark_read: 'Mark as read',
  mark_unread: 'Mark as unread',
  archive: 'Archive',
  unarchive: 'Move back to the inbox',
  delete: 'Delete',
  close: 'Close',
  undo: 'Undo',
  was_archived: 'Archived',
  was_unarchived: 'Moved back to the inbox',
  was_deleted: 'Deleted',
  failed: 'That did not work. Everything is as it was before.',
  is_unread: 'Unread',
  high: 'Important',
  arrived: 'New notification: {title}',
  fresh_one: '{count} new notification',
  fresh_other: '{count} new notifications',
  empty_inbox: 'All caught up',
  empty_inbox_hint: 'New notifications appear here by themselves.',
  empty_unread: 'Nothing unread',
  empty_unread_hint: 'You have read everything there is.',
  empty_archived: 'Nothing archived',
  empty_archived_hint: 'What you archive is kept here.',
  loading: 'Loading notifications',
  reconnecting: 'Connecting again …',
  offline: 'You are offline. You see what was here last.',
  broken: 'Notifications could not be loaded',
  broken_more: 'More could not be loaded.',
  signed_out: 'You are signed out',
  signed_out_hint: 'Sign in again to see your notifications.',
  too_many: 'Open in too many places at once',
  sign_in: 'Sign in',
  retry: 'Try again',
  push_turn_on: 'Turn on notifications on this device',
  push_turn_off: 'Turn off notifications on this device',
  push_busy: 'One moment …',
  push_on: 'Notifications reach you here also when this page is closed.',
  push_denied: 'Notifications of this site are blocked. Allow them in the settings of the browser, next to the address.',
  push_unsupported: 'This browser cannot show notifications while the page is closed.',
  push_insecure: 'Notifications need a secure connection (https).',
  push_home_screen: 'Add this page to the home screen first (Share, then Add to Home Screen), open it from there, and come back to this button.',
  push_error_dismissed: 'The browser asked for your permission and got no answer. Press the button to be asked again.',
  push_error_no_web_push: 'Notifications on devices are not set up here yet.',
  push_error_not_authenticated: 'You are signed out. Sign in again first.',
  push_error_push_service: 'The browser could not reach its push service. Try again later.',
  push_error_worker: 'The browser could not install what receives notifications. Reload the page and try again.',
  push_error_network: 'The hub cannot be reached. Try again later.',
  push_error_other: 'That did not work. Try again later.',
};

/** @typedef {keyof typeof TEXTS} TextName */

/**
 * Looks texts up, fills their gaps and chooses plural forms.
 */
export class Words {
  #texts;
  #plural;
  #ago;
  #date;

  /**
   * @param {Readonly<Record<string, string | undefined>>} texts that replace the English ones
   * @param {string | undefined} locale
   */
  constructor(texts, locale) {
    this.#texts = /** @type {Record<string, string | undefined>} */ ({ ...TEXTS, ...texts });
    this.#plural = withLocale(Intl.PluralRules, locale, {});
    this.#ago = withLocale(Intl.RelativeTimeFormat, locale, { numeric: 'auto', style: 'narrow' });
    /** @type {Intl.DateTimeFormatOptions} */
    const full = { dateStyle: 'long', timeStyle: 'short' };
    this.#date = withLocale(Intl.DateTimeFormat, locale, full);
  }

  /**
   * @param {string} name
   * @param {Record<string, string | number>} [gaps]
   */
  say(name, gaps = {}) {
    const text = this.#texts[name] ?? '';
    return text.replace(/\{(\w+)\}/g, (gap, key) => String(gaps[key] ?? gap));
  }

  /**
   * @param {string} name
   * @param {number} count
   */
  count(name, count) {
    const form = count === 0 && this.#texts[`${name}_zero`] ? 'zero' : this.#plural.select(count);
    const known = this.#texts[`${name}_${form}`] === undefined ? 'other' : form;
    return this.say(`${name}_${known}`, { count: count.toLocaleString() });
  }

  /** @param {Date} time */
  ago(time) {
    const seconds = Math.min(0, (time.getTime() - Date.now()) / 1000);
    for (const [unit, length] of UNITS) {
      if (-seconds >= length) return this.#ago.format(Math.trunc(seconds / length), unit);
    }
    return this.#ago.format(0, 'second');
  }

  /** @param {Date} time */
  date(time) {
    return this.#date.format(time);
  }
}

/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['week', 604_800],
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
];

/**
 * A page may name a language that nobody knows.
 * @template T, O
 * @param {new (locale: string | undefined, options: O) => T} Kind
 * @param {string | undefined} locale
 * @param {O} options
 * @returns {T}
 */
function withLocale(Kind, locale, options) {
  try {
    return new Kind(locale, options);
  } catch {
    return new Kind(undefined, options);
  }
}
