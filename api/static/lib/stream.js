// What happens on the chain, as it happens: a WebSocket that resumes after a break without gap or double, or, where there is
// none, the same events by asking every two seconds, until there is one again.

import { Problem } from "./api.js";

const POLL_MS = 2_000;
const BACKOFF_MS = 500;
const BACKOFF_MS_MAX = 15_000;
const FAILURES_BEFORE_POLLING = 2;
const POLLED_MS_MAX = 15_000;
const HEADERS_MAX = 200;

/** Subscribe to `topics` ("blocks", "trades", "book", "notices", "power"). `onEvent({kind, height, index, data})` is called in order of
 * (height, index), each event once. `options`: `fromHeight` (0: from now on), `intervals` for books, `onState(state)` with
 * "live", "polling" or "broken", `open` to subscribe as a stranger. Returns how to stop. */
export function subscribe(api, topics, onEvent, options = {}) {
  const follower = new Follower(api, topics, onEvent, options);
  follower.run();
  return () => follower.stop();
}

class Follower {
  constructor(api, topics, onEvent, { fromHeight = 0, intervals = [], onState = () => {}, open = false }) {
    Object.assign(this, { api, topics, onEvent, intervals, onState, open });
    this.next = fromHeight;
    this.last = [0, -1];
    this.stopped = false;
    this.failures = 0;
    this.books = new Map();
  }

  stop() {
    this.stopped = true;
    this.socket?.close();
    this.wake?.();
  }

  async run() {
    let backoff = BACKOFF_MS;
    while (!this.stopped) {
      const before = this.last.join();
      const code = await this.connect();
      if (this.stopped) return;
      this.failures = code === "ended" && this.last.join() !== before ? 0 : this.failures + 1;
      if (this.failures >= FAILURES_BEFORE_POLLING) {
        await this.poll(Date.now() + POLLED_MS_MAX);
        continue;
      }
      this.onState("broken");
      await this.sleep(backoff);
      backoff = Math.min(backoff * 2, BACKOFF_MS_MAX);
    }
  }

  /** One connection, until it ends: "ended", or "failed" if it never was a subscription. */
  async connect() {
    const token = this.open ? "" : await this.api.token().catch(() => "");
    const address = new URL(`${this.api.base}/v1/streams`, location.href);
    address.protocol = address.protocol.replace("http", "ws");
    return new Promise((resolve) => {
      let subscribed = false;
      const socket = this.socket = new WebSocket(address);
      socket.onopen = () => socket.send(JSON.stringify({
        token, topics: this.topics, from_height: this.next, ...(this.intervals.length && { intervals: this.intervals }),
      }));
      socket.onmessage = ({ data }) => {
        const event = JSON.parse(data);
        if (event.kind === "subscribed") {
          subscribed = true;
          this.next ||= event.height;
          this.onState("live");
        } else if (event.kind === "problem") {
          if (event.code === "SESSION_UNKNOWN") this.api.close(); // it is over, or the node has restarted
          socket.close();
        }
        else if (event.kind !== "heartbeat") this.deliver(event);
      };
      socket.onclose = () => resolve(subscribed ? "ended" : "failed");
    });
  }

  deliver(event) {
    if (event.kind !== "power") { // live power is not from the chain, and has no place in it
      const [height, index] = this.last;
      if (event.height < height || (event.height === height && event.index <= index)) return;
      this.last = [event.height, event.index];
      this.next = event.height;
    }
    this.onEvent(event);
  }

  async poll(untilMs) {
    while (!this.stopped && Date.now() < untilMs) {
      try {
        await this.look();
        this.onState("polling");
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        this.onState("broken");
      }
      await this.sleep(POLL_MS);
    }
  }

  /** Blocks that have been certified since, and the books that have changed. */
  async look() {
    const status = await this.api.ask("/v1/status", { open: true });
    const top = status.certified_height;
    this.next ||= top + 1;
    const first = this.last[0] ? this.last[0] + 1 : this.next;
    if (this.topics.includes("blocks") && first <= top) {
      const { headers } = await this.api.ask(`/v1/headers?first=${first}&limit=${HEADERS_MAX}`, { open: true });
      for (const header of headers.filter((each) => each.height <= top)) {
        this.deliver({ kind: "blocks", height: header.height, index: 0, data: header });
      }
    }
    for (const interval of this.topics.includes("book") ? this.intervals : []) {
      const book = await this.api.ask(`/v1/book/${interval}`, { open: true });
      const said = JSON.stringify({ ...book, height: 0 });
      if (this.books.get(interval) !== said) this.onEvent({ kind: "book", height: book.height, index: 0, data: book });
      this.books.set(interval, said);
    }
    for (const topic of ["trades", "notices"].filter((each) => this.topics.includes(each))) {
      this.onEvent({ kind: topic, height: top, index: 0, data: null }); // "look again": asking tells nobody what is new
    }
  }

  sleep(ms) {
    return new Promise((resolve) => {
      this.wake = resolve;
      setTimeout(resolve, ms);
    });
  }
}
