/* Event types × channels: a switch is saved when it is moved, and moves back when it was refused. */

import { Outcome } from './outcome.js';

export function types(table, rest) {
  for (const row of table.querySelectorAll('[data-type]:not([data-critical])')) new Row(row, rest);
}

class Row {
  #row;
  #rest;
  #outcome;
  /** Requests go one after the other: the last one counts. */
  #turn = Promise.resolve();
  #waiting = 0;
  #refused = null;
  /** What the hub holds, as far as we know. */
  #stored = {};

  constructor(row, rest) {
    this.#row = row;
    this.#rest = rest;
    this.#outcome = new Outcome(row.querySelector('.outcome'), row.querySelector('.wrong'));
    for (const field of this.#switches) this.#stored[field.dataset.channel] = field.checked;
    row.addEventListener('change', ({ target }) => this.#moved(target));
  }

  get #switches() {
    return this.#row.querySelectorAll('[data-channel]');
  }

  #moved({ dataset: { channel }, checked }) {
    this.#follow();
    this.#outcome.waits('Saving…');
    this.#waiting += 1;
    this.#turn = this.#turn.then(() => this.#save(channel, checked));
  }

  async #save(channel, wanted) {
    const name = this.#row.dataset.type;
    try {
      await this.#rest.patch('notifications/filter/', { types: { [name]: { [channel]: wanted } } });
      this.#stored[channel] = wanted;
    } catch (error) {
      this.#refused = error;
    }
    this.#waiting -= 1;
    if (this.#waiting === 0) this.#settled();
  }

  /** Everything is answered: the switches show what holds. */
  #settled() {
    if (this.#refused) this.#outcome.bad(this.#refused);
    else this.#outcome.good('Saved');
    this.#refused = null;
    for (const field of this.#switches) field.checked = this.#stored[field.dataset.channel];
    this.#follow();
  }

  /** What is not in the inbox reaches nobody on another way either. */
  #follow() {
    let muted = false;
    for (const field of this.#switches) {
      if (field.dataset.channel === 'inbox') muted = !field.checked;
    }
    for (const field of this.#switches) {
      if (field.dataset.channel !== 'inbox') field.disabled = muted;
    }
    this.#row.querySelector('.muted-note').hidden = !muted;
  }
}
