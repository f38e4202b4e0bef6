// How the component looks. Custom properties `--inbox-*` and parts change it from outside.

const CSS = `
:host {
  --_background: var(--inbox-background, #ffffff);
  --_text: var(--inbox-text, #1b1d26);
  --_muted: var(--inbox-muted, #5c6274);
  --_border: var(--inbox-border, #e5e7ee);
  --_hover: var(--inbox-hover, #f4f5f9);
  --_unread: var(--inbox-unread, #f3f5ff);
  --_accent: var(--inbox-accent, #4353d6);
  --_on-accent: var(--inbox-on-accent, #ffffff);
  --_badge: var(--inbox-badge, #d4261c);
  --_on-badge: var(--inbox-on-badge, #ffffff);
  --_high: var(--inbox-high, #b3261e);
  --_warning: var(--inbox-warning, #fff6e0);
  --_on-warning: var(--inbox-on-warning, #6b4a00);
  --_shadow: var(--inbox-shadow, 0 1px 2px rgb(16 20 40 / 8%), 0 12px 40px rgb(16 20 40 / 18%));
  --_radius: var(--inbox-radius, 14px);
  --_tint: 94%;
  --_ink: 32%;
  --_chroma: 62%;
  color-scheme: light;
  display: inline-block;
  position: relative;
  font: 14px/1.45 var(--inbox-font, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif);
  -webkit-text-size-adjust: 100%;
}
:host([hidden]) { display: none; }
:host([layout="inline"]) { display: block; }

@media (prefers-color-scheme: dark) {
  :host(:not([theme="light"])) {
    --_background: var(--inbox-background, #1c1f28);
    --_text: var(--inbox-text, #eaecf3);
    --_muted: var(--inbox-muted, #a4abbd);
    --_border: var(--inbox-border, #323846);
    --_hover: var(--inbox-hover, #262a36);
    --_unread: var(--inbox-unread, #232840);
    --_accent: var(--inbox-accent, #9dabff);
    --_on-accent: var(--inbox-on-accent, #12141b);
    --_high: var(--inbox-high, #ffb4ab);
    --_warning: var(--inbox-warning, #3a2f12);
    --_on-warning: var(--inbox-on-warning, #ffdf9b);
    --_shadow: var(--inbox-shadow, 0 0 0 1px #323846, 0 16px 48px rgb(0 0 0 / 55%));
    --_tint: 27%;
    --_ink: 84%;
    --_chroma: 34%;
    color-scheme: dark;
  }
}
:host([theme="dark"]) {
  --_background: var(--inbox-background, #1c1f28);
  --_text: var(--inbox-text, #eaecf3);
  --_muted: var(--inbox-muted, #a4abbd);
  --_border: var(--inbox-border, #323846);
  --_hover: var(--inbox-hover, #262a36);
  --_unread: var(--inbox-unread, #232840);
  --_accent: var(--inbox-accent, #9dabff);
  --_on-accent: var(--inbox-on-accent, #12141b);
  --_high: var(--inbox-high, #ffb4ab);
  --_warning: var(--inbox-warning, #3a2f12);
  --_on-warning: var(--inbox-on-warning, #ffdf9b);
  --_shadow: var(--inbox-shadow, 0 0 0 1px #323846, 0 16px 48px rgb(0 0 0 / 55%));
  --_tint: 27%;
  --_ink: 84%;
  --_chroma: 34%;
  color-scheme: dark;
}

* { box-sizing: border-box; }
[hidden] { display: none !important; }
h2, p { margin: 0; }
button, select { font: inherit; color: inherit; }
button { cursor: pointer; }
button:disabled { cursor: default; }
:focus { outline: none; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
.icon { width: 20px; height: 20px; fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; flex: none; display: block; }
.hidden { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

/* The bell */

.bell {
  position: relative;
  display: grid;
  place-items: center;
  width: 44px;
  height: 44px;
  padding: 0;
  border: 0;
  border-radius: 50%;
  background: transparent;
  color: inherit;
  transition: background-color 120ms;
}
.bell:hover, .bell[aria-expanded="true"] { background: color-mix(in srgb, currentColor 10%, transparent); }
.bell .icon { width: 24px; height: 24px; }
.bell.ringing .icon { animation: ring 600ms ease-in-out; transform-origin: 50% 12%; }
.badge {
  position: absolute;
  inset-block-start: 3px;
  inset-inline-start: 23px;
  min-width: 19px;
  height: 19px;
  padding-inline: 5px;
  border-radius: 10px;
  background: var(--_badge);
  color: var(--_on-badge);
  font-size: 11.5px;
  font-weight: 700;
  line-height: 19px;
  text-align: center;
  font-variant-numeric: tabular-nums;
}

/* The panel */

.panel:focus-visible { outline: none; }
.panel {
  display: flex;
  flex-direction: column;
  position: relative;
  overflow: hidden;
  margin: 0;
  padding: 0;
  border: 1px solid var(--_border);
  border-radius: var(--_radius);
  background: var(--_background);
  color: var(--_text);
  text-align: start;
  height: var(--inbox-height, 36rem);
  container-type: inline-size;
}
:host(:not([layout="inline"])) .panel {
  position: fixed;
  inset: auto;
  inset-block-start: var(--_y, 0);
  left: var(--_x, 0);
  z-index: 2147483000;
  width: min(var(--inbox-width, 26rem), 100vw - 24px);
  height: min(var(--inbox-height, 38rem), var(--_room, 100vh));
  box-shadow: var(--_shadow);
}
:host(:not([layout="inline"])) .panel:not(.open) { display: none; }
:host(:not([layout="inline"])) .panel.open { animation: open 140ms ease-out; }

.head { display: flex; align-items: center; gap: 4px; padding-block: 14px 6px; padding-inline: 18px 12px; }
.head h2 { flex: 1; font-size: 17px; font-weight: 700; line-height: 1.3; letter-spacing: -0.01em; }
.tool {
  display: inline-flex;
  align-items: center;
  gap: 6px;
  min-height: 32px;
  padding: 4px 10px;
  border: 0;
  border-radius: 8px;
  background: transparent;
  color: var(--_accent);
  font-size: 13px;
  font-weight: 600;
}
.tool .icon { width: 18px; height: 18px; }
.tool:hover:not(:disabled) { background: var(--_hover); }
.tool:disabled { color: var(--_muted); opacity: 0.75; }
.tool.close { color: var(--_muted); padding: 4px; min-width: 36px; min-height: 36px; justify-content: center; display: none; }

.filters { display: flex; align-items: center; justify-content: space-between; gap: 8px; padding: 2px 12px 10px 12px; border-block-end: 1px solid var(--_border); }
.shelves { display: flex; gap: 2px; min-width: 0; }
.shelves button {
  display: inline-flex;
  align-items: center;
  gap: 6px;
  min-height: 32px;
  padding: 4px 10px;
  border: 0;
  border-radius: 999px;
  background: transparent;
  color: var(--_muted);
  font-size: 13px;
  font-weight: 600;
  white-space: nowrap;
}
.shelves button:hover { color: var(--_text); background: var(--_hover); }
.shelves button[aria-pressed="true"] { background: color-mix(in srgb, var(--_accent) 13%, transparent); color: var(--_text); }
.shelves .number { font-size: 12px; font-variant-numeric: tabular-nums; }
.types {
  min-width: 0;
  max-width: 11rem;
  min-height: 32px;
  padding: 4px 8px;
  border: 1px solid var(--_border);
  border-radius: 8px;
  background: var(--_background);
  color: var(--_text);
  font-size: 13px;
  text-overflow: ellipsis;
}

.banner { display: flex; align-items: center; gap: 8px; padding: 8px 18px; background: var(--_warning); color: var(--_on-warning); font-size: 13px; }
.banner .icon { width: 18px; height: 18px; }

/* The list */

.stage { position: relative; flex: 1; min-height: 0; display: flex; flex-direction: column; }
.scroller { flex: 1; min-height: 0; overflow-y: auto; overflow-anchor: none; overscroll-behavior: contain; scrollbar-width: thin; scrollbar-color: color-mix(in srgb, var(--_muted) 55%, transparent) transparent; }
.list { position: relative; contain: layout style; }
.item {
  position: absolute;
  inset-block-start: 0;
  inset-inline: 0;
  display: grid;
  grid-template-columns: 40px minmax(0, 1fr) 10px;
  column-gap: 12px;
  padding: 13px 16px 12px 16px;
  border-block-end: 1px solid var(--_border);
  background: var(--_background);
  overflow-wrap: anywhere;
  contain: layout style;
  cursor: pointer;
}
.item.unread { background: var(--_unread); }
.item:hover, .item.unread:hover { background: var(--_hover); }
.item:focus-visible { outline-offset: -2px; border-radius: 6px; z-index: 1; }
.item.fresh { animation: fresh 1.4s ease-out; }
.avatar {
  display: grid;
  place-items: center;
  width: 40px;
  height: 40px;
  border-radius: 50%;
  background: hsl(var(--_hue, 230) var(--_chroma) var(--_tint));
  color: hsl(var(--_hue, 230) var(--_chroma) var(--_ink));
  font-size: 15px;
  font-weight: 700;
  text-transform: uppercase;
  user-select: none;
}
.name, .message {
  display: -webkit-box;
  -webkit-box-orient: vertical;
  -webkit-line-clamp: 3;
  line-clamp: 3;
  overflow: hidden;
}
.name { color: var(--_text); font-weight: 500; text-decoration: none; }
.name:focus-visible { outline-offset: -2px; border-radius: 4px; }
.item.unread .name { font-weight: 650; }
a.name:hover { text-decoration: underline; text-underline-offset: 2px; }
.message {
  margin-block-start: 2px;
  color: var(--_muted);
  font-size: 13.5px;
  white-space: pre-line;
  -webkit-line-clamp: 2;
  line-clamp: 2;
}
.item.expanded :is(.name, .message) { -webkit-line-clamp: none; line-clamp: none; display: block; }
.foot { display: flex; align-items: center; margin-block-start: 3px; gap: 8px; }
.meta { flex: 1; min-width: 0; color: var(--_muted); font-size: 12.5px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.meta .high { color: var(--_high); font-weight: 700; }
.dot { width: 9px; height: 9px; margin-block-start: 6px; border-radius: 50%; background: var(--_accent); }
.item:not(.unread) .dot { visibility: hidden; }

.actions { display: flex; gap: 2px; margin-inline-end: -14px; }
.actions button {
  display: grid;
  place-items: center;
  width: 30px;
  height: 28px;
  padding: 0;
  border: 0;
  border-radius: 7px;
  background: transparent;
  color: var(--_muted);
}
.actions .icon { width: 18px; height: 18px; }
.actions button:hover { background: color-mix(in srgb, var(--_muted) 18%, transparent); color: var(--_text); }
/* Where something can hover, they lie over the row; where not, they are always there. */
@media (hover: hover) {
  .actions {
    position: absolute;
    inset-block-start: 8px;
    inset-inline-end: 34px;
    margin: 0;
    padding: 2px;
    border: 1px solid var(--_border);
    border-radius: 9px;
    background: var(--_background);
    box-shadow: 0 2px 8px rgb(16 20 40 / 10%);
  }
  .item:not(:hover, :focus-visible, :has(:focus-visible)) .actions { opacity: 0; }
}
@media (hover: none) {
  .foot { margin-block-start: 0; }
  .actions button { width: 38px; height: 34px; }
}

.tail { display: flex; justify-content: center; align-items: center; gap: 10px; min-height: 56px; padding: 8px; color: var(--_muted); font-size: 13px; }
.spinner { width: 20px; height: 20px; border-radius: 50%; border: 2px solid var(--_border); border-block-start-color: var(--_accent); animation: spin 800ms linear infinite; }

.news {
  position: absolute;
  inset-block-start: 10px;
  inset-inline: 0;
  margin-inline: auto;
  width: max-content;
  max-width: calc(100% - 24px);
  display: inline-flex;
  align-items: center;
  gap: 6px;
  min-height: 34px;
  padding: 4px 14px;
  border: 0;
  border-radius: 999px;
  background: var(--_accent);
  color: var(--_on-accent);
  font-size: 13px;
  font-weight: 600;
  box-shadow: 0 4px 16px rgb(16 20 40 / 25%);
  z-index: 2;
  animation: drop 180ms ease-out;
}
.news .icon { width: 16px; height: 16px; stroke-width: 2.2; }

/* Instead of a list */

.empty { flex: 1; display: grid; place-content: center; justify-items: center; gap: 4px; padding: 32px; text-align: center; }
.empty .picture { display: grid; place-items: center; width: 72px; height: 72px; margin-block-end: 12px; border-radius: 50%; background: color-mix(in srgb, var(--_accent) 11%, transparent); color: var(--_accent); }
.empty .picture .icon { width: 34px; height: 34px; stroke-width: 1.5; }
.empty strong { font-size: 15px; font-weight: 650; }
.empty p { color: var(--_muted); font-size: 13.5px; max-width: 18rem; }
.empty button { margin-block-start: 14px; min-height: 36px; padding: 6px 18px; border: 0; border-radius: 9px; background: var(--_accent); color: var(--_on-accent); font-weight: 600; }
.skeleton { padding: 13px 16px; display: grid; grid-template-columns: 40px 1fr; gap: 7px 12px; border-block-end: 1px solid var(--_border); }
.skeleton span { height: 12px; border-radius: 6px; background: linear-gradient(90deg, var(--_hover) 25%, var(--_border) 50%, var(--_hover) 75%) 0 / 200% 100%; animation: shimmer 1.6s linear infinite; }
.skeleton span:first-child { grid-row: span 3; width: 40px; height: 40px; border-radius: 50%; }
.skeleton span:nth-child(2) { width: 62%; }
.skeleton span:nth-child(3) { width: 88%; }
.skeleton span:nth-child(4) { width: 30%; height: 10px; }

.toast {
  position: absolute;
  inset-block-end: 14px;
  inset-inline: 0;
  margin-inline: auto;
  width: max-content;
  max-width: calc(100% - 28px);
  display: flex;
  align-items: center;
  gap: 10px;
  padding-block: 8px;
  padding-inline: 16px 10px;
  border-radius: 10px;
  background: var(--_text);
  color: var(--_background);
  font-size: 13.5px;
  box-shadow: 0 6px 24px rgb(16 20 40 / 30%);
  z-index: 3;
  animation: rise 160ms ease-out;
}
.toast button { min-height: 28px; padding: 2px 10px; border: 0; border-radius: 7px; background: color-mix(in srgb, var(--_background) 18%, transparent); color: inherit; font-weight: 700; }
.toast :focus-visible { outline-color: var(--_background); }
.toast:not(:has(button)) { padding-inline-end: 16px; }

@media (max-width: 480px) {
  :host(:not([layout="inline"])) .panel {
    inset: 0;
    width: 100vw;
    max-width: none;
    height: 100vh;
    height: 100dvh;
    max-height: none;
    border: 0;
    border-radius: 0;
  }
  :host(:not([layout="inline"])) .tool.close { display: inline-flex; }
  .tool.all .label { display: none; }
  .tool.all { min-width: 36px; min-height: 36px; justify-content: center; padding: 4px; }
  .tool.all .icon { width: 21px; height: 21px; }
  .head { padding-inline: 16px 8px; }
}

@container (max-width: 360px) {
  .shelves button { padding-inline: 8px; }
  .types { max-width: 6.5rem; }
}

@keyframes ring { 0%, 100% { rotate: 0deg; } 20% { rotate: 14deg; } 45% { rotate: -11deg; } 70% { rotate: 6deg; } }
@keyframes open { from { opacity: 0; translate: 0 -6px; } }
@keyframes fresh { from { background: color-mix(in srgb, var(--_accent) 28%, var(--_background)); } }
@keyframes spin { to { rotate: 360deg; } }
@keyframes drop { from { opacity: 0; translate: 0 -8px; } }
@keyframes rise { from { opacity: 0; translate: 0 8px; } }
@keyframes shimmer { from { background-position-x: 200%; } }
@media (prefers-reduced-motion: reduce) {
  *, .bell.ringing .icon { animation: none !important; transition: none !important; }
}
@media (forced-colors: active) {
  .badge, .dot, .news, .toast { forced-color-adjust: none; }
  .panel, .item { border-color: CanvasText; }
}
`;

/** One sheet for all of them: no style element, so `style-src 'self'` is enough. */
export function sheet() {
  const made = new CSSStyleSheet();
  made.replaceSync(CSS);
  return made;
}
