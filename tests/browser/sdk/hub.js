/** A hub by the book, in memory: the rules of kinds, versions, who watches. */

/** @typedef {{op: string, ref: number, [member: string]: any}} Message */
/** @typedef {{ev: string, [member: string]: any}} Word */

export const KINDS = {
  like: { rule: "toggle", group: "opinion", label: "Like", emoji: "" },
  dislike: { rule: "toggle", group: "opinion", label: "Dislike", emoji: "" },
  love: { rule: "toggle", label: "Love", emoji: "" },
  clap: { rule: "amount", max: 5, label: "Clap", emoji: "" },
  share: { rule: "event", label: "Share", emoji: "" },
  banned: { rule: "toggle", label: "Banned", emoji: "" },
};

/** @typedef {keyof typeof KINDS} KindName */

/** @typedef {Map<string, Map<string, {value: number, seq: number}>>} Said By actor and kind; of events, how many. */

class Item {
  v = 0;
  /** @type {Said} */ said = new Map();
  /** @type {Set<string>} actor and id of each event */ ids = new Set();
  /** @type {Map<number, Said>} what was said, by version */ history = new Map([[0, new Map()]]);

  /**
   * The part of a count that is of the actors that `whose` picks, at a version.
   * @param {number} v
   * @param {string} kind
   * @param {(actor: string) => boolean} whose
   */
  share(v, kind, whose) {
    let sum = 0;
    for (const [actor, said] of this.history.get(v) ?? []) if (whose(actor)) sum += said.get(kind)?.value ?? 0;
    return sum;
  }

  /**
   * The counts, or what one actor says, by kind; those that are 0 are left out as on the wire.
   * @param {string} [actor]
   */
  sums(actor) {
    /** @type {Record<string, number>} */ const sums = {};
    for (const [kind, { rule }] of Object.entries(KINDS)) {
      if (actor && rule === "event") continue;
      const sum = this.share(this.v, kind, (other) => !actor || other === actor);
      if (sum) sums[kind] = sum;
    }
    return sums;
  }

  /**
   * Whether the reaction changed a count. Its item has a new version in any case, which a hub may but need not do.
   * @param {string} actor
   * @param {{kind: KindName, value?: number, id?: string, seq?: number}} reaction
   */
  apply(actor, { kind, value = 1, id, seq = 0 }) {
    const before = JSON.stringify(this.sums());
    const said = this.said.get(actor) ?? new Map();
    this.said.set(actor, said);
    if (id !== undefined) {
      const key = `${actor} ${id}`;
      if (!this.ids.has(key)) said.set(kind, { value: (said.get(kind)?.value ?? 0) + 1, seq: 0 });
      this.ids.add(key);
    } else if (seq >= (said.get(kind)?.seq ?? 0)) {
      said.set(kind, { value, seq });
      for (const rival of value ? rivals(kind) : []) {
        said.set(rival, { value: 0, seq: Math.max(seq, said.get(rival)?.seq ?? 0) });
      }
    }
    this.history.set(this.v + 1, structuredClone(this.said));
    this.v += 1;
    return JSON.stringify(this.sums()) !== before;
  }
}

/** The others in a kind's group. @param {KindName} kind */
function rivals(kind) {
  /** @type {Record<string, {group?: string}>} */ const kinds = KINDS;
  const group = kinds[kind]?.group;
  return Object.keys(kinds).filter((other) => group && other !== kind && kinds[other]?.group === group);
}

export class SimulatedHub {
  /** @type {Map<string, Item>} */ items = new Map();
  /** @type {Message[]} of the present connection, in order */ hears = [];
  /** @type {Word[]} */ says = [];
  /** @type {string | null} */ actor = null;
  /** @type {Map<string, boolean>} item → tells how many watch */ watched = new Map();
  viewers = 1;

  /** @param {string} name */
  item(name) {
    let item = this.items.get(name);
    if (!item) this.items.set(name, (item = new Item()));
    return item;
  }

  /** @param {string} name @param {boolean} mine @returns {Record<string, any>} */
  row(name, mine) {
    const item = this.item(name);
    return {
      item: name,
      v: item.v,
      counts: item.sums(),
      ...(mine && this.actor && { mine: item.sums(this.actor) }),
    };
  }

  /**
   * Anybody's reaction. Who reacts elsewhere than on this connection, and is its actor, is told what is theirs now.
   * @param {string} actor @param {string} name @param {any} reaction @param {boolean} [here]
   */
  react(actor, name, reaction, here = false) {
    if (!this.item(name).apply(actor, reaction)) return;
    const viewers = this.watched.get(name);
    const row = this.row(name, actor === this.actor && !here);
    if (viewers !== undefined) this.says.push({ ev: "counts", ...row, ...(viewers && { viewers: this.viewers }) });
  }

  /** Take the next message, or refuse it. @param {{code: string, retry_after?: number} | undefined} [fault] */
  step(fault) {
    const message = this.hears.shift();
    if (!message) return;
    const { op, ref, item, items, token, kind } = message;
    if (op === "react" && kind === "banned") fault = { code: "forbidden" };
    if (op === "react" && !this.actor) fault = { code: "unauthenticated" };
    if (fault && op !== "auth" && op !== "ping") this.says.push({ ev: "error", ref, message: "no", ...fault });
    else if (op === "auth") this.says.push({ ev: "auth", ref, actor: (this.actor = token) });
    else if (op === "ping") this.says.push({ ev: "pong", ref });
    else if (op === "subscribe") {
      for (const name of items) this.watched.set(name, Boolean(message.viewers));
      const extra = message.viewers ? { viewers: this.viewers } : {};
      this.says.push({
        ev: "snapshot",
        ref,
        items: items.map((/** @type {string} */ name) => ({ ...this.row(name, true), ...extra })),
      });
    } else if (op === "unsubscribe") {
      for (const name of items) this.watched.delete(name);
      this.says.push({ ev: "ok", ref });
    } else if (this.actor) {
      this.react(this.actor, item, message, true);
      this.says.push({ ev: "ack", ref, ...this.row(item, true) });
    }
  }

  /** The connection ends: what was under way is lost. */
  cut() {
    this.hears = [];
    this.says = [];
    this.actor = null;
    this.watched.clear();
  }
}
