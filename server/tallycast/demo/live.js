/** One connection to the hub, for as long as the page is open: counts come in, reactions go out, nothing counts twice. */

import { Tally } from "./tally.js";
import { Refusal, Visitor } from "./visitor.js";

/** @typedef {import("./tally.js").Kinds} Kinds */
/** @typedef {import("./tally.js").Row} Row */
/** @typedef {import("./tally.js").Wish} Wish */
/** @typedef {"connecting" | "live" | "reconnecting" | "closed"} State  "closed": viewing needs a token here */

/** @typedef {{code: string, message: string, retry_after?: number}} Fault */
/**
 * @typedef {{ev: "auth", ref?: number, actor: string} | {ev: "snapshot", ref?: number, items: Row[]}
 *   | ({ev: "ack", ref?: number} & Row) | ({ev: "counts", ref?: undefined} & Row)
 *   | ({ev: "error", ref?: number} & Fault) | {ev: "pong", ref?: number}
 *   | {ev: "bye", ref?: undefined, retry_after?: number}} Message
 */

/**
 * @typedef {object} Listener
 * @property {(item: string) => void} changed the numbers of an item may be others now
 * @property {(state: State) => void} state
 * @property {(item: string, reason: string) => void} refused a reaction was taken back
 */

const BEAT_MS = 10_000; // as long may a question to the hub stay unanswered
const QUIET_MS = 20_000; // after as long without a word the hub is asked whether it is there
const PATIENCE_S = 5;
const IDENTITY_CODES = ["unauthenticated", "bad_token", "token_expired"];
const NEEDS_TOKEN = 4401;

/**
 * Milliseconds to wait before reconnection `attempt` (0 is the first): uniform in [0, min(20 s, 0.5 s · 2^attempt)],
 * full jitter, so that a restarted hub does not get all its viewers back at once.
 * @param {number} attempt
 */
export const delay_ms = (attempt) => Math.random() * Math.min(20_000, 500 * 2 ** attempt);

export class Live {
  #url;
  #visitor;
  #listener;
  /** @type {Map<string, Tally>} */ #tallies;
  /** @type {WebSocket | null} */ #socket = null;
  /** @type {Map<number, Wish | "auth" | "subscribe">} what the open questions are about, by ref */
  #questions = new Map();
  /** @type {State} */ #state = "connecting";
  /** @type {string | null} the identity that this connection has */ #actor = null;
  /** @type {string | null} whose values the tallies hold */ #owner = null;
  /** @type {string | null} the token last sent */ #token = null;
  /** Other tabs of the same person. */ #tabs;
  #ref = 0;
  #seq = 0;
  #attempt = 0;
  #renewals = 0;
  #wait_ms = 0;
  #heard_ms = 0;
  #asked = false;
  #retry = 0;
  #beat = 0;

  /** @param {{base: URL, kinds: Kinds, items: string[], listener: Listener}} options `base` ends in a slash */
  constructor({ base, kinds, items, listener }) {
    this.#url = new URL("v1/live", base);
    this.#url.protocol = base.protocol === "https:" ? "wss:" : "ws:";
    this.#visitor = new Visitor(base);
    this.#listener = listener;
    this.#tallies = new Map(items.map((item) => [item, new Tally(kinds)]));
    this.#tabs = new BroadcastChannel(`tallycast:${base.pathname}`);
    this.#tabs.onmessage = ({ data }) => this.#hear(data);
    addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.#hurry());
    this.#connect();
  }

  get state() {
    return this.#state;
  }

  /** @param {string} item */
  tally(item) {
    const tally = this.#tallies.get(item);
    if (!tally) throw new RangeError(`not subscribed: ${item}`);
    return tally;
  }

  /**
   * Say something of an item. The numbers move at once; it is sent as soon as the hub is there, and again until the
   * hub has answered.
   * @param {string} item
   * @param {string} kind
   * @param {number} [value] the person's new total; none for an event
   */
  react(item, kind, value) {
    this.#seq = Math.max(this.#seq + 1, Date.now() * 1000);
    const said = value === undefined ? { id: uniqueId() } : { value, seq: this.#seq };
    this.tally(item).add({ item, kind, ...said, ref: 0, patience_s: PATIENCE_S });
    this.#listener.changed(item);
    this.#flush();
  }

  #connect() {
    clearTimeout(this.#retry);
    const socket = new WebSocket(this.#url, "tallycast.v1");
    this.#socket = socket;
    this.#asked = true;
    this.#beat = setInterval(() => this.#check(), BEAT_MS);
    socket.onopen = () => this.#greet();
    socket.onclose = ({ code }) => this.#lose(code);
    socket.onmessage = ({ data }) => {
      this.#asked = false;
      this.#heard_ms = performance.now();
      this.#take(JSON.parse(data));
    };
  }

  /** Say who the person is, where that is known, and ask for the items. */
  #greet() {
    this.#token = this.#visitor.token;
    if (this.#token) this.#ask({ op: "auth", token: this.#token }, "auth");
    this.#ask({ op: "subscribe", items: [...this.#tallies.keys()] }, "subscribe");
    if (!this.#token) this.#flush();
  }

  /** @param {Message} message */
  #take(message) {
    const about = message.ref === undefined ? undefined : this.#questions.get(message.ref);
    if (message.ref !== undefined) this.#questions.delete(message.ref);
    if (message.ev === "auth") {
      this.#actor = message.actor;
      this.#own(message.actor);
      this.#flush();
    } else if (message.ev === "snapshot") {
      this.#attempt = 0;
      for (const row of message.items) this.#settle(row);
      this.#become("live");
    } else if (message.ev === "ack") {
      this.#renewals = 0;
      if (typeof about === "object") this.tally(about.item).remove(about);
      this.#settle(message);
      this.#tabs.postMessage({ actor: this.#actor, row: message });
    } else if (message.ev === "counts") {
      this.#settle(message);
    } else if (message.ev === "error" && typeof about === "object") {
      this.#fault(about, message);
    } else if (message.ev === "error" && about) {
      if (about === "auth" && IDENTITY_CODES.includes(message.code)) this.#renew(message.message);
      else this.#lose(0, message.retry_after);
    } else if (message.ev === "bye") {
      this.#wait_ms = (message.retry_after ?? 0) * 1000;
    }
  }

  /**
   * The hub did not take a reaction: try again where that is of use, else take it back.
   * @param {Wish} wish
   * @param {Fault} fault
   */
  #fault(wish, { code, message, retry_after }) {
    if (IDENTITY_CODES.includes(code)) {
      wish.ref = 0;
      this.#renew(message);
    } else if (retry_after !== undefined && (wish.patience_s -= retry_after) >= 0) {
      const { ref } = wish;
      setTimeout(() => {
        if (wish.ref === ref) wish.ref = 0;
        this.#flush();
      }, retry_after * 1000);
    } else {
      this.#refuse([wish], message);
    }
  }

  /** Send what waits; get an identity first where there is none. */
  #flush() {
    const wishes = this.#wishes().filter((wish) => wish.ref === 0);
    if (!wishes.length || this.#socket?.readyState !== WebSocket.OPEN) return;
    if (this.#actor) {
      for (const wish of wishes) {
        const { ref: _, patience_s: __, ...reaction } = wish;
        wish.ref = this.#ask({ op: "react", ...reaction }, wish);
      }
    } else if (!this.#authenticating) {
      void this.#identify();
    }
  }

  async #identify() {
    const socket = this.#socket;
    try {
      if (!this.#visitor.token) await this.#visitor.ask();
      if (socket === this.#socket && !this.#actor && !this.#authenticating) this.#greet();
    } catch (error) {
      if (error instanceof Refusal) this.#refuse(this.#wishes(), error.message);
      else if (socket && socket === this.#socket) this.#lose(0);
    }
  }

  /** The identity is no longer good: forget it, and get another if something waits for it. @param {string} reason */
  #renew(reason) {
    if (this.#token) {
      this.#visitor.forget(this.#token);
      this.#token = this.#actor = null;
      this.#own(null);
      this.#renewals += 1;
    }
    if (this.#renewals > 2) this.#refuse(this.#wishes(), reason);
    else this.#flush();
  }

  /** @param {Wish[]} wishes @param {string} reason */
  #refuse(wishes, reason) {
    for (const wish of wishes) {
      this.tally(wish.item).remove(wish);
      this.#listener.changed(wish.item);
      this.#listener.refused(wish.item, reason);
    }
  }

  /** The connection is gone or of no use. @param {number} code @param {number} [retry_after] seconds */
  #lose(code, retry_after = 0) {
    const socket = this.#socket;
    if (!socket) return;
    socket.onopen = socket.onclose = socket.onmessage = null;
    socket.close();
    clearInterval(this.#beat);
    this.#socket = this.#actor = null;
    this.#questions.clear();
    for (const tally of this.#tallies.values()) tally.unsend();
    if (code === NEEDS_TOKEN) return this.#become("closed");
    this.#become("reconnecting");
    const wait_ms = Math.max(this.#wait_ms, retry_after * 1000) || delay_ms(this.#attempt);
    this.#attempt += 1;
    this.#wait_ms = 0;
    this.#retry = setTimeout(() => this.#connect(), wait_ms);
  }

  /** Find a connection that died without a word (a phone that changed networks): ask, and give up when none answers. */
  #check() {
    if (this.#asked) this.#lose(0);
    else if (performance.now() - this.#heard_ms > QUIET_MS) {
      this.#asked = true;
      this.#send({ op: "ping" });
    }
  }

  /** Somebody looks or the network is back: no need to wait any longer. */
  #hurry() {
    if (this.#state === "reconnecting" && !this.#socket) this.#connect();
  }

  /** What another tab of the same browser was told. @param {{actor: string, row: Row}} news */
  #hear({ actor, row }) {
    if (actor === this.#actor) this.#settle(row);
    else if (!this.#actor && this.#visitor.token && this.#state === "live") this.#greet();
  }

  /** @param {Row} row */
  #settle(row) {
    this.#tallies.get(row.item)?.settle(row);
    this.#listener.changed(row.item);
  }

  /** @param {string | null} actor */
  #own(actor) {
    if (actor === this.#owner) return;
    this.#owner = actor;
    for (const [item, tally] of this.#tallies) {
      tally.disown();
      this.#listener.changed(item);
    }
  }

  /** @param {State} state */
  #become(state) {
    this.#state = state;
    this.#listener.state(state);
  }

  #wishes() {
    return [...this.#tallies.values()].flatMap((tally) => tally.wishes);
  }

  get #authenticating() {
    return [...this.#questions.values()].includes("auth");
  }

  /** Send a message that will be answered. @param {object} message @param {Wish | "auth" | "subscribe"} about */
  #ask(message, about) {
    this.#ref += 1;
    this.#questions.set(this.#ref, about);
    this.#send({ ...message, ref: this.#ref });
    return this.#ref;
  }

  /** @param {object} message */
  #send(message) {
    this.#socket?.send(JSON.stringify(message));
  }
}

/** 128 random bits. Not crypto.randomUUID(): pages without TLS (a phone in the same network) do not have it. */
function uniqueId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
