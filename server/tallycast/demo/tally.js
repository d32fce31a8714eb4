/**
 * What stands on an item, and what will stand once the hub has taken the reactions that it has not answered yet.
 * No I/O here: the newest version wins, whatever was lost, repeated or late on its way.
 */

/** @typedef {{rule: "toggle" | "amount" | "event", group?: string, max?: number, label: string, emoji: string}} Kind */
/** @typedef {Readonly<Record<string, Kind>>} Kinds  By name, in the order in which to show them. */
/** @typedef {Readonly<Record<string, number>>} Numbers  By kind; a kind that is absent is 0. */
/** @typedef {{item: string, v: number, counts: Numbers, mine?: Numbers}} Row  An item as the hub sends it. */

/**
 * A reaction that the hub has not answered yet. `ref` is that of the message that carries it, 0 while none does;
 * `patience_s` is how long it may still be put off by the hub before it is given up.
 * @typedef {object} Wish
 * @property {string} item
 * @property {string} kind
 * @property {number} [value] what the person now says; absent for events
 * @property {number} [seq] orders a person's wishes: clock in µs, growing
 * @property {string} [id] of an event
 * @property {number} ref
 * @property {number} patience_s
 */

export class Tally {
  /** @type {Numbers} */ #counts = {};
  /** @type {Numbers} */ #mine = {};
  #countsVersion = -1;
  #mineVersion = -1;
  /** @type {Wish[]} in the order in which they were made */
  wishes = [];

  /** @param {Kinds} kinds */
  constructor(kinds) {
    this.kinds = kinds;
  }

  /** Whether the hub has said anything of this item yet. */
  get known() {
    return this.#countsVersion >= 0;
  }

  /**
   * Take what the hub says; of the counts and of the person's own values each keeps its newest version.
   * @param {Row} row
   */
  settle(row) {
    if (row.v >= this.#countsVersion) {
      this.#countsVersion = row.v;
      this.#counts = row.counts;
    }
    if (row.mine && row.v >= this.#mineVersion) {
      this.#mineVersion = row.v;
      this.#mine = row.mine;
    }
  }

  /** Forget the person's own values: it is somebody else now, to whom a total of claps is only what was added. */
  disown() {
    for (const wish of this.wishes) {
      if (wish.value && this.kinds[wish.kind]?.rule === "amount") {
        wish.value = Math.max(0, wish.value - (this.#mine[wish.kind] ?? 0));
      }
    }
    this.#mineVersion = -1;
    this.#mine = {};
  }

  /** @param {Wish} wish */
  add(wish) {
    this.wishes.push(wish);
    this.#supersede();
  }

  /** @param {Wish} wish */
  remove(wish) {
    this.wishes = this.wishes.filter((other) => other !== wish);
  }

  /** The connection is gone, and nobody knows what it still delivered: all that is unanswered is to be sent again. */
  unsend() {
    for (const wish of this.wishes) wish.ref = 0;
    this.#supersede();
  }

  /**
   * The numbers to show: what stands, and on top of it every wish as the rule of its kind will count it.
   * @returns {{counts: Numbers, mine: Numbers}}
   */
  expected() {
    /** @type {Record<string, number>} */ const counts = { ...this.#counts };
    /** @type {Record<string, number>} */ const mine = { ...this.#mine };
    /** @param {string} kind @param {number} value */
    const say = (kind, value) => {
      counts[kind] = Math.max(0, (counts[kind] ?? 0) + value - (mine[kind] ?? 0));
      mine[kind] = value;
    };
    for (const wish of this.wishes) {
      if (wish.value === undefined) {
        counts[wish.kind] = (counts[wish.kind] ?? 0) + 1;
        continue;
      }
      if (wish.value > 0) for (const rival of this.#rivals(wish.kind)) say(rival, 0);
      say(wish.kind, wish.value);
    }
    return { counts, mine };
  }

  /** Of the wishes that no message carries, drop those that a later one makes void: values are totals, not steps. */
  #supersede() {
    this.wishes = this.wishes.filter(
      (wish, i, all) => wish.ref !== 0 || !all.slice(i + 1).some((later) => this.#slot(later) === this.#slot(wish)),
    );
  }

  /** What a wish is about: two wishes of one slot cannot both come true. @param {Wish} wish */
  #slot(wish) {
    return wish.id ?? this.kinds[wish.kind]?.group ?? wish.kind;
  }

  /** @param {string} kind */
  #rivals(kind) {
    const group = this.kinds[kind]?.group;
    return Object.keys(this.kinds).filter((name) => group && name !== kind && this.kinds[name]?.group === group);
  }
}
