// A proxy that is cruel to WebSocket messages and to connections, at random but by a seed.

import net from 'node:net';

/** A generator of numbers below 1 (mulberry32). */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Cuts a stream of bytes into WebSocket frames. */
class Frames {
  #rest = Buffer.alloc(0);

  take(bytes) {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    const frames = [];
    for (;;) {
      const length = this.#length();
      if (length === null || this.#rest.length < length) return frames;
      frames.push(this.#rest.subarray(0, length));
      this.#rest = this.#rest.subarray(length);
    }
  }

  #length() {
    const bytes = this.#rest;
    if (bytes.length < 2) return null;
    const mask = bytes[1] & 0x80 ? 4 : 0;
    const short = bytes[1] & 0x7f;
    if (short < 126) return 2 + mask + short;
    if (short === 126) return bytes.length < 4 ? null : 4 + mask + bytes.readUInt16BE(2);
    return bytes.length < 10 ? null : 10 + mask + Number(bytes.readBigUInt64BE(2));
  }
}

export class Proxy {
  /** Chances, per message or per chunk of HTTP. All zero: it only passes on. */
  faults = { drop: 0, double: 0, delay: 0, cut: 0 };
  counts = { drop: 0, double: 0, delay: 0, cut: 0, sockets: 0 };
  #random;
  #target;
  #server;
  #connections = new Set();

  constructor(target, random) {
    this.#target = new URL(target);
    this.#random = random;
    this.#server = net.createServer((client) => this.#connect(client));
  }

  async open() {
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${this.#server.address().port}/`;
  }

  close() {
    for (const connection of this.#connections) connection.destroy();
    this.#server.close();
  }

  #connect(client) {
    const hub = net.connect(Number(this.#target.port), this.#target.hostname);
    const ends = [client, hub];
    const cut = () => ends.forEach((end) => end.destroy());
    for (const end of ends) {
      this.#connections.add(end);
      end.setNoDelay(true);
      end.on('error', cut);
      end.on('close', () => {
        this.#connections.delete(end);
        cut();
      });
    }
    // The first answer tells whether this is a WebSocket from here on.
    const state = { isSocket: false };
    this.#pass(client, hub, state, cut, false);
    this.#pass(hub, client, state, cut, true);
  }

  #pass(from, to, state, cut, fromHub) {
    const frames = new Frames();
    let queue = Promise.resolve();
    // In order: a network delays, but one connection never reorders.
    const later = (bytes) => {
      const wait = this.#happens('delay') ? this.#random() * 150 : 0;
      queue = queue.then(async () => {
        if (wait) await new Promise((resolve) => setTimeout(resolve, wait));
        if (!to.destroyed) to.write(bytes);
      });
    };
    from.on('data', (bytes) => {
      if (!state.isSocket) {
        const head = fromHub ? bytes.indexOf('\r\n\r\n') : -1;
        if (!bytes.subarray(0, 12).equals(Buffer.from('HTTP/1.1 101'))) {
          if (this.#happens('cut')) return cut();
          return later(bytes);
        }
        state.isSocket = true;
        this.counts.sockets += 1;
        later(bytes.subarray(0, head + 4));
        bytes = bytes.subarray(head + 4);
      }
      for (const frame of frames.take(bytes)) {
        const isText = (frame[0] & 0x0f) === 1;
        if (this.#happens('cut')) {
          // In the middle of a message.
          to.write(frame.subarray(0, Math.ceil(frame.length / 2)), cut);
          return;
        }
        if (isText && this.#happens('drop')) continue;
        later(frame);
        if (isText && this.#happens('double')) later(frame);
      }
    });
  }

  #happens(fault) {
    const happens = this.#random() < this.faults[fault];
    if (happens) this.counts[fault] += 1;
    return happens;
  }
}
