// <push-switch>: the button that turns notifications on and off on this device.

import { h, optionsOf } from './dom.js';
import { PushDevice } from './push.js';
import { Words } from './texts.js';

/** @import { PushState } from '../types/push.js' */

/** @type {Record<string, 'apiUrl' | 'baseUrl' | 'csrfCookie' | 'csrfToken' | 'name' | 'scope' | 'user' | 'workerUrl'>} */
const OPTIONS = {
  'base-url': 'baseUrl',
  'api-url': 'apiUrl',
  user: 'user',
  'csrf-token': 'csrfToken',
  'csrf-cookie': 'csrfCookie',
  'worker-url': 'workerUrl',
  scope: 'scope',
  'device-name': 'name',
};

/** Errors that have a text of their own; the others share one. */
const SAID = new Set([
  'dismissed',
  'no_web_push',
  'not_authenticated',
  'push_service',
  'worker',
  'network',
]);

const CSS = `
:host {
  --_text: var(--inbox-text, CanvasText);
  --_muted: var(--inbox-muted, color-mix(in srgb, CanvasText 70%, Canvas));
  --_accent: var(--inbox-accent, light-dark(#4353d6, #9dabff));
  --_on-accent: var(--inbox-on-accent, light-dark(#ffffff, #12141b));
  --_border: var(--inbox-border, light-dark(#878da0, #5b6274));
  --_high: var(--inbox-high, light-dark(#b3261e, #ffb4ab));
  display: block;
  font: 1em/1.45 var(--inbox-font, inherit);
  color: var(--_text);
}
:host([hidden]), [hidden] { display: none !important; }
:host([theme="light"]) { color-scheme: light; }
:host([theme="dark"]) { color-scheme: dark; }
button {
  min-height: 44px;
  padding: 8px 18px;
  border: 1px solid transparent;
  border-radius: 10px;
  background: var(--_accent);
  color: var(--_on-accent);
  font: inherit;
  font-weight: 600;
  cursor: pointer;
}
button[data-on] { background: transparent; border-color: var(--_border); color: inherit; }
button[aria-disabled="true"] { opacity: 0.65; cursor: progress; }
button:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
p { margin: 0; color: var(--_muted); font-size: 0.9em; max-width: 40rem; }
button:not([hidden]) ~ p:not(:empty) { margin-block-start: 8px; }
p.wrong { color: var(--_high); }
`;

/** @type {CSSStyleSheet | undefined} */
let styles;

export class PushSwitch extends HTMLElement {
  static observedAttributes = ['texts', 'lang'];

  /** @type {PushDevice | null} */
  #device = null;
  /** @type {(() => void) | null} */
  #unsubscribe = null;
  /** @type {Record<string, string>} */
  #texts = {};
  #words = new Words({}, undefined);
  #button = h('button', { type: 'button', part: 'button', hidden: true });
  #hint = h('p', { part: 'hint', role: 'status' });
  /** Errors are said after a click: on a page load nobody has asked for anything. */
  #clicked = false;
  /** What a click began is under way. */
  #working = false;
  #told = '';

  constructor() {
    super();
    const root = this.attachShadow({ mode: 'open', delegatesFocus: true });
    if (!styles) (styles = new CSSStyleSheet()).replaceSync(CSS);
    root.adoptedStyleSheets = [styles];
    root.append(this.#button, this.#hint);
    this.#button.addEventListener('click', () => this.#press());
  }

  get device() {
    return this.#device;
  }

  set device(device) {
    if (device === this.#device) return;
    this.#detach();
    this.#device = device;
    if (device && this.isConnected) this.#attach();
  }

  get texts() {
    return this.#texts;
  }

  set texts(texts) {
    this.#texts = { ...texts };
    this.#render();
  }

  connectedCallback() {
    const given = Object.getOwnPropertyDescriptor(this, 'device');
    if (given) {
      // Set before the element was defined.
      delete (/** @type {any} */ (this).device);
      this.#device = given.value;
    }
    this.#attach();
  }

  disconnectedCallback() {
    this.#detach();
  }

  /** @param {string} name @param {string | null} _before @param {string | null} after */
  attributeChangedCallback(name, _before, after) {
    if (name === 'texts') {
      try {
        this.#texts = after ? JSON.parse(after) : {};
      } catch {
        globalThis.reportError?.(new SyntaxError('push-switch: texts must be JSON'));
      }
    }
    this.#render();
  }

  #attach() {
    if (this.#unsubscribe) return;
    this.#device ??= new PushDevice(optionsOf(this, OPTIONS));
    this.#unsubscribe = this.#device.subscribe(() => this.#render());
    this.#device.start();
    this.#render();
  }

  #detach() {
    this.#unsubscribe?.();
    this.#unsubscribe = null;
    this.#device?.stop();
  }

  async #press() {
    if (!this.#device || this.#working) return;
    this.#clicked = this.#working = true;
    const { status } = this.#device.getState();
    await (status === 'on' ? this.#device.turnOff() : this.#device.turnOn());
    this.#working = false;
    this.#render();
  }

  #render() {
    const state = this.#device?.getState();
    if (!state) return;
    const scope = this.closest('[lang]');
    const lang = scope?.getAttribute('lang') || document.documentElement.lang;
    this.#words = new Words(this.#texts, lang || undefined);
    const { status, busy } = state;
    const isOn = status === 'on';
    const button = this.#button;
    button.hidden = !['starting', 'off', 'on'].includes(status);
    button.textContent = this.#words.say(isOn ? 'push_turn_off' : 'push_turn_on');
    button.toggleAttribute('data-on', isOn);
    // Not `disabled`, which would take the focus away from whoever has just pressed it.
    button.setAttribute('aria-disabled', String(this.#working));
    this.#hint.classList.toggle('wrong', this.#problem(state) !== '');
    const hint = this.#say(state);
    if (this.#hint.textContent !== hint) this.#hint.textContent = hint;
    const told = `${status} ${busy} ${state.error?.code}`;
    if (told === this.#told) return;
    this.#told = told;
    const options = { detail: state, bubbles: true, composed: true };
    this.dispatchEvent(new CustomEvent('push-change', options));
  }

  /** @param {PushState} state */
  #say(state) {
    if (this.#working) return this.#words.say('push_busy');
    const problem = this.#problem(state);
    if (problem) return this.#words.say(problem);
    const { status } = state;
    if (status === 'starting' || status === 'off') return '';
    return this.#words.say(`push_${status.replace('-', '_')}`);
  }

  /** @param {PushState} state the name of a text, or nothing */
  #problem({ status, error }) {
    if (!error || this.#working || !this.#clicked || !['off', 'on'].includes(status)) return '';
    return `push_error_${SAID.has(error.code) ? error.code : 'other'}`;
  }
}

if (!customElements.get('push-switch')) customElements.define('push-switch', PushSwitch);
