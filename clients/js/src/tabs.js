// One way to the hub for all tabs: the tab that holds the lock has it and shares it with the rest.
//
// Every tab keeps its own copy of the inbox; what is shared are the frames, in both directions.

/** @import { Uplink, LinkStatus, Listeners, Nudge } from './uplink.js' */

/** What a `HubClient` speaks to: an `Uplink`, or a share in one. */
/**
 * @typedef {object} Link
 * @property {() => void} open
 * @property {() => void} close
 * @property {() => void} restart
 * @property {(why: Nudge) => void} nudge
 * @property {(frame: any) => boolean} send
 * @property {LinkStatus} status
 */
/**
 * @typedef {{ kind: 'join' } | { kind: 'nudge', why: Nudge } | { kind: 'restart' }
 *   | { kind: 'send', frame: any } | { kind: 'frame', frame: any }
 *   | { kind: 'status', status: LinkStatus }} Word
 */
/**
 * @typedef {object} TabOptions
 * @property {string} name shared by the tabs of one user at one hub
 * @property {LockManager} locks
 * @property {typeof globalThis.BroadcastChannel} BroadcastChannel
 * @property {() => boolean} isVisible
 * @property {number} takeOver in milliseconds
 * @property {(listeners: Listeners) => Uplink} uplink makes one
 */

/** @implements {Link} */
export class SharedLink {
  /** @type {TabOptions & Listeners} */
  #options;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** Set in the tab that leads. @type {Uplink | null} */
  #uplink = null;
  /** Ends the request for the lock, or lets go of it. @type {AbortController | null} */
  #turn = null;
  /** @type {LinkStatus} */
  #status = { phase: 'connecting', session: '', resumes: false, epoch: null, error: null };
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #patience;

  /** @param {TabOptions & Listeners} options */
  constructor(options) {
    this.#options = options;
  }

  get status() {
    return this.#status;
  }

  get leads() {
    return this.#uplink !== null;
  }

  open() {
    const { name, BroadcastChannel } = this.#options;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#listen(data);
    this.#queue();
    this.#say({ kind: 'join' });
    this.#expectAnswer();
  }

  close() {
    this.#stepDown();
    this.#turn?.abort();
    this.#turn = null;
    clearTimeout(this.#patience);
    this.#channel?.close();
    this.#channel = null;
  }

  restart() {
    if (this.#uplink) this.#uplink.restart();
    else this.#say({ kind: 'restart' });
  }

  /** @param {Nudge} why */
  nudge(why) {
    if (this.#uplink) return this.#uplink.nudge(why);
    this.#say({ kind: 'nudge', why });
    this.#expectAnswer();
  }

  /** @param {any} frame */
  send(frame) {
    if (this.#uplink) return this.#uplink.send(frame);
    this.#say({ kind: 'send', frame });
    return this.#status.phase === 'open' || this.#status.phase === 'polling';
  }

  // Who leads

  /** @param {boolean} [steal] */
  #queue(steal = false) {
    const { name, locks } = this.#options;
    this.#turn?.abort();
    const turn = (this.#turn = new AbortController());
    const lead = () => (turn.signal.aborted ? undefined : this.#lead(turn.signal));
    locks.request(name, steal ? { steal } : { signal: turn.signal }, lead).catch(() => {
      // Either we let go, or another tab took over because this one was asleep.
      if (turn.signal.aborted) return;
      this.#stepDown();
      this.#queue();
      this.#say({ kind: 'join' });
    });
  }

  /** @param {AbortSignal} signal */
  #lead(signal) {
    clearTimeout(this.#patience);
    this.#uplink = this.#options.uplink({
      onFrame: (frame) => {
        this.#say({ kind: 'frame', frame });
        this.#options.onFrame(frame);
      },
      onStatus: (status) => {
        this.#say({ kind: 'status', status });
        this.#become(status);
      },
    });
    this.#uplink.open();
    return new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined)));
  }

  #stepDown() {
    this.#uplink?.close();
    this.#uplink = null;
  }

  /** Somebody looks at this tab: if the one that leads is asleep, this one takes over. */
  #expectAnswer() {
    clearTimeout(this.#patience);
    if (this.#uplink || !this.#channel) return;
    this.#patience = setTimeout(() => {
      if (this.#uplink || !this.#channel || !this.#options.isVisible()) return;
      this.#queue(true);
    }, this.#options.takeOver);
  }

  // What tabs say to each other

  /** @param {Word} word */
  #say(word) {
    this.#channel?.postMessage(word);
  }

  /** @param {Word} word */
  #listen(word) {
    const uplink = this.#uplink;
    if (uplink) {
      if (word.kind === 'send') uplink.send(word.frame);
      else if (word.kind === 'restart') uplink.restart();
      else if (word.kind === 'nudge') uplink.nudge(word.why);
      // Whoever comes late gets no sync by itself.
      const late = word.kind === 'join' || word.kind === 'nudge';
      if (late) this.#say({ kind: 'status', status: { ...uplink.status, resumes: false } });
      return;
    }
    if (word.kind !== 'frame' && word.kind !== 'status') return;
    clearTimeout(this.#patience); // the tab that leads is awake
    if (word.kind === 'frame') this.#options.onFrame(word.frame);
    else this.#become(word.status);
  }

  /** @param {LinkStatus} status */
  #become(status) {
    this.#status = status;
    this.#options.onStatus(status);
  }
}
