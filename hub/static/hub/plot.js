/* One plot: the picture, its legend, and the same numbers as a table. Drawn by uPlot. */

const HEIGHT = 190;
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];
/** Outcomes keep their colour whatever else there is. */
const COLOURS = {
  accepted: 0, repeated: 6, refused: 3, failed: 4, stored: 0, 'shown live': 1, sent: 1, retry: 2,
  gone: 6, misconfigured: 4, skipped: 5, expired: 7, audiences: 0, sockets: 0, users: 1,
};

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const day = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: 'numeric' });
const exact = new Intl.DateTimeFormat(undefined, {
  weekday: 'short', hour: '2-digit', minute: '2-digit',
});

export class Picture {
  #section;
  #seconds;
  #gauge;
  #drawn = null; // the uPlot, and what it was made for
  #made = '';
  #numbers = null;
  #all = []; // lines as they came
  #lines = []; // lines as they are shown
  #at = null; // the place of the cursor
  #provider;

  constructor(section) {
    this.#section = section;
    this.#seconds = 'seconds' in section.dataset;
    this.#gauge = 'gauge' in section.dataset;
    this.#provider = section.querySelector('select');
    this.#provider?.addEventListener('change', () => this.#render());
    section.querySelector('details').addEventListener('toggle', () => this.#tabulate());
    new ResizeObserver(() => this.#fit()).observe(this.#find('.picture'));
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.#render(true));
  }

  /** The lines of a plot over `numbers.times`. */
  show(numbers, lines) {
    this.#numbers = numbers;
    this.#all = lines;
    this.#find('.per').textContent = this.#gauge ? '' : `, per ${numbers.per}`;
    if (this.#provider) this.#offerProviders();
    this.#render();
  }

  #find(selector) {
    return this.#section.querySelector(selector);
  }

  #offerProviders() {
    const wanted = ['', ...new Set(this.#all.map((line) => line.provider))];
    const there = [...this.#provider.options].map((option) => option.value);
    for (const name of wanted.filter((one) => !there.includes(one))) {
      this.#provider.add(new Option(name, name));
    }
  }

  #render(anew = false) {
    if (!this.#numbers) return;
    this.#lines = this.#merged();
    const { times, span } = this.#numbers;
    const made = JSON.stringify([span, this.#lines.map((line) => line.name)]);
    const data = [times, ...this.#lines.map((line) => line.values)];
    if (anew || made !== this.#made) {
      this.#drawn?.destroy();
      this.#drawn = new globalThis.uPlot(this.#options(), data, this.#find('.picture'));
      this.#made = made;
    } else {
      this.#drawn.setData(data);
    }
    const empty = this.#lines.every((line) => line.values.every((value) => !value));
    this.#find('.empty').hidden = !empty;
    this.#find('.empty').replaceChildren(tag('span', `Nothing in the last ${span}.`));
    this.#explain();
    this.#tabulate();
  }

  /** The lines of the chosen provider; of all, those of one name added up. */
  #merged() {
    const chosen = this.#provider?.value ?? '';
    const found = new Map();
    for (const { name, provider, values, now } of this.#all) {
      if (chosen && provider !== chosen) continue;
      const before = found.get(name)?.values;
      const together = before ? before.map((value, i) => value + values[i]) : values;
      found.set(name, { name, now, values: together });
    }
    return [...found.values()].map((line, index) => ({
      ...line, colour: COLOURS[line.name] ?? index % 8, dash: DASHES[index % DASHES.length],
    }));
  }

  #options() {
    const style = getComputedStyle(this.#section);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = {
      stroke: colour('--quiet'),
      grid: { stroke: colour('--line'), width: 1 },
      ticks: { show: false },
      font: `12px ${style.fontFamily}`,
    };
    const { paths } = globalThis.uPlot;
    return {
      width: this.#find('.picture').clientWidth,
      height: HEIGHT,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { setScale: false, x: false, y: false }, points: { size: 7 } },
      scales: { x: { time: true }, y: { range: (_, __, most) => [0, Math.max(most * 1.1, 1)] } },
      axes: [
        { ...axis, size: 28, space: 64, values: (_, ticks) => ticks.map((at) => this.#tick(at)) },
        {
          ...axis, size: 54, space: 34, incrs: this.#seconds ? SECONDS : WHOLE,
          values: (_, ticks) => ticks.map((value) => this.#text(value)),
        },
      ],
      series: [
        {},
        ...this.#lines.map((line) => ({
          label: line.name,
          stroke: colour(`--line-${line.colour}`),
          width: 2,
          dash: line.dash,
          paths: this.#gauge ? undefined : paths.stepped({ align: 1 }),
          points: { show: false },
        })),
      ],
      hooks: { setCursor: [(plot) => this.#look(plot.cursor.idx ?? null)] },
    };
  }

  #tick(at) {
    const date = new Date(at * 1000);
    const midnight = !date.getHours() && !date.getMinutes();
    return (this.#numbers.span === 'hour' || !midnight ? time : day).format(date);
  }

  #text(value) {
    if (value === null || value === undefined) return '–';
    if (!this.#seconds) return whole.format(value);
    if (value < 120) return `${whole.format(value)} s`;
    return value < 7200 ? `${whole.format(value / 60)} min` : `${whole.format(value / 3600)} h`;
  }

  #fit() {
    const width = this.#find('.picture').clientWidth;
    if (this.#drawn && width && width !== this.#drawn.width) {
      this.#drawn.setSize({ width, height: HEIGHT });
    }
  }

  #look(index) {
    if (index === this.#at) return;
    this.#at = index;
    this.#explain();
  }

  /** The legend: what is at the cursor, else what all of it comes to; and the picture in words. */
  #explain() {
    const { times, span } = this.#numbers;
    const at = this.#at !== null && this.#at < times.length ? this.#at : null;
    const sum = (values) => values.reduce((all, value) => all + (value ?? 0), 0);
    const of = ({ values, now }) => (at !== null ? values[at] : this.#gauge ? now : sum(values));
    const items = this.#lines.map((line) => {
      const item = tag('li');
      item.append(sample(line), tag('span', line.name), tag('b', this.#text(of(line))));
      return item;
    });
    const when = at !== null ? exact.format(times[at] * 1000) : this.#gauge ? 'now' : `last ${span}`;
    if (items.length) {
      items.push(tag('li', when));
      items.at(-1).className = 'when';
    }
    this.#find('.legend').replaceChildren(...items);
    if (at === null) this.#find('.picture').ariaLabel = this.#words(of, when);
  }

  #words(of, when) {
    const title = this.#find('h2').textContent;
    const most = (values) => this.#text(Math.max(...values.map((value) => value ?? 0)));
    const parts = this.#lines.map(
      (line) => `${line.name} ${this.#text(of(line))}, at most ${most(line.values)}`,
    );
    return `${title}, ${when}: ${parts.join('; ') || 'nothing'}.`;
  }

  /** Only while it is open; cells stay where they are, for whoever reads in them. */
  #tabulate() {
    if (!this.#numbers || !this.#find('details').open) return;
    const { times } = this.#numbers;
    fill(this.#find('thead'), [['Time', ...this.#lines.map((line) => line.name)]], 'col');
    const rows = times.map((at, index) => [
      exact.format(at * 1000), ...this.#lines.map((line) => this.#text(line.values[index])),
    ]);
    fill(this.#find('tbody'), rows.reverse(), 'row');
  }
}

const WHOLE = [1, 2, 5].flatMap((n) => [...Array(12).keys()].map((power) => n * 10 ** power)).sort((a, b) => a - b);
const SECONDS = [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 18000, 36000, 86400, 172800, 604800];

function tag(name, text = '') {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

/** The line as it is in the picture: colour and dashes. */
function sample({ colour, dash }) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'line');
  svg.setAttribute('viewBox', '0 0 26 10');
  svg.setAttribute('aria-hidden', 'true');
  for (const [name, value] of Object.entries({ x1: 0, y1: 5, x2: 26, y2: 5 })) line.setAttribute(name, value);
  line.setAttribute('class', `line-${colour}`);
  line.setAttribute('stroke-dasharray', dash.join(' ') || 'none');
  svg.append(line);
  return svg;
}

/** Cells of a part of a table; the first of each row, or all of the head, are its headers. */
function fill(part, rows, scope) {
  while (part.rows.length > rows.length) part.deleteRow(-1);
  rows.forEach((texts, index) => {
    const row = part.rows[index] ?? part.insertRow();
    while (row.cells.length > texts.length) row.deleteCell(-1);
    texts.forEach((text, place) => {
      const header = scope === 'col' || place === 0;
      const cell = row.cells[place] ?? row.appendChild(tag(header ? 'th' : 'td'));
      if (header) cell.scope = scope;
      if (cell.textContent !== text) cell.textContent = text;
    });
  });
}
