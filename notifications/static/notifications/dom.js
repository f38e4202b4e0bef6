// Makes elements without a line of HTML: what is text stays text.

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | undefined>} [attributes] `true`: an empty one,
 *   `false` and undefined: none
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === undefined) continue;
    element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children);
  return element;
}

/**
 * What the attributes of an element say.
 * @template {string} T
 * @param {Element} element
 * @param {Record<string, T>} names the option of each attribute
 * @returns {Partial<Record<T, string>>}
 */
export function optionsOf(element, names) {
  const found = /** @type {Partial<Record<T, string>>} */ ({});
  for (const [attribute, option] of Object.entries(names)) {
    const value = element.getAttribute(attribute);
    if (value) found[option] = value;
  }
  return found;
}

const SVG = 'http://www.w3.org/2000/svg';

/** Paths on a field of 24 by 24, drawn as lines. */
const ICONS = {
  bell: 'M6 9a6 6 0 1 1 12 0c0 5 2 6.5 2 6.5H4S6 14 6 9M10 19a2.2 2.2 0 0 0 4 0',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  checks: 'M2.5 12.5L7 17l9-9.5M12 16l1.2 1L22 7.5',
  dot: 'M12 8a4 4 0 1 0 0 8a4 4 0 1 0 0-8',
  archive: 'M4 5h16v4H4zM5.5 9v10h13V9M10 13h4',
  unarchive: 'M4 5h16v4H4zM5.5 9v10h13V9M12 17v-5M9.5 14.2L12 11.8l2.5 2.4',
  delete: 'M4.5 7h15M9 7V4.5h6V7M6.5 7l1 12.5h9l1-12.5M10 11v5M14 11v5',
  close: 'M6 6l12 12M18 6L6 18',
  up: 'M12 19V5M6 11l6-6 6 6',
  cloud: 'M3 3l18 18M7 18a4.5 4.5 0 0 1-.6-8.9M10 6.3A6 6 0 0 1 18 11a3.6 3.6 0 0 1 2.4 5.6',
  person: 'M12 12a4 4 0 1 0 0-8a4 4 0 0 0 0 8M4.5 20c.8-4 3.800-5.500 7.500-5.500s6.700 1.500 7.500 5.500',
};

/**
 * @param {keyof typeof ICONS} name
 * @param {string} [part]
 */
export function icon(name, part = 'icon') {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('part', part);
  svg.setAttribute('aria-hidden', 'true');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/**
 * The address if it is one that may be opened: http, https, or a path on this host.
 * @param {string} url
 */
export function safeUrl(url) {
  if (/^https?:\/\//i.test(url)) return URL.canParse?.(url) === false ? null : url;
  return /^\/(?![/\\])/.test(url) ? url : null;
}
