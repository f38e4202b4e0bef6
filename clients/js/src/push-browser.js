// What kind of browser this is, as far as push is concerned.

/** @import { PushPermission } from '../types/push.js' */

/** @typedef {Pick<typeof globalThis, 'navigator' | 'Notification' | 'PushManager' | 'isSecureContext'>} Browser */

const BROWSERS = [
  ['Edge', /Edg(e|A|iOS)?\//],
  ['Opera', /OPR\/|Opera/],
  ['Samsung Internet', /SamsungBrowser/],
  ['Firefox', /Firefox\/|FxiOS/],
  ['Chrome', /Chrome\/|CriOS/],
  ['Safari', /Safari\//],
];
const SYSTEMS = [
  ['Android', /Android/],
  ['iPhone', /iPhone|iPod/],
  ['iPad', /iPad/],
  ['Windows', /Windows/],
  ['macOS', /Mac OS X|Macintosh/],
  ['ChromeOS', /CrOS/],
  ['Linux', /Linux|X11/],
];

/**
 * Why this browser can have no push: `insecure` wants https, `home-screen` is an iPhone or iPad on
 * which the page must be added to the home screen first. Empty if it can.
 * @param {Browser} browser
 * @returns {'' | 'unsupported' | 'insecure' | 'home-screen'}
 */
export function obstacle(browser) {
  const { navigator, Notification, PushManager, isSecureContext } = browser;
  if (navigator?.serviceWorker && Notification && PushManager) return '';
  if (isSecureContext === false) return 'insecure';
  const isAlone = /** @type {any} */ (navigator)?.standalone === true;
  return isApple(navigator) && !isAlone ? 'home-screen' : 'unsupported';
}

/** @param {Navigator | undefined} navigator */
function isApple(navigator) {
  const { userAgent = '', maxTouchPoints = 0 } = navigator ?? {};
  // An iPad says that it is a Mac, but no Mac has a touch screen.
  return /iPhone|iPad|iPod/.test(userAgent) || (/Macintosh/.test(userAgent) && maxTouchPoints > 1);
}

/**
 * @param {Browser} browser
 * @returns {PushPermission}
 */
export function permissionOf({ Notification }) {
  return Notification ? Notification.permission : 'unsupported';
}

/**
 * A name by which a person recognises the device in a list, such as "Firefox, Linux".
 * @param {{ userAgent?: string }} [navigator]
 */
export function nameOf({ userAgent = '' } = {}) {
  const words = [BROWSERS, SYSTEMS].map(
    (known) => known.find(([, pattern]) => /** @type {RegExp} */ (pattern).test(userAgent))?.[0],
  );
  return words.filter(Boolean).join(', ');
}

/**
 * Bytes, which every browser takes as `applicationServerKey`.
 * @param {string} text base64url
 */
export function bytesOf(text) {
  const plain = atob(text.replace(/-/g, '+').replace(/_/g, '/'));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}

/**
 * Whether a subscription was made under this key; yes where the browser does not tell.
 * @param {PushSubscription} subscription
 * @param {Uint8Array} key
 */
export function isUnder(subscription, key) {
  const made = subscription.options?.applicationServerKey;
  if (!made) return true;
  const bytes = new Uint8Array(made);
  return bytes.length === key.length && bytes.every((byte, i) => byte === key[i]);
}
