/** The socket: the same as everybody's. Who watches from here has no identity and is counted nowhere but as a viewer. */

import { connect } from "../client/tallycast.js";
import { api, BASE } from "./api.js";

/** @typedef {import("../client/tallycast.js").State} State */
/** @typedef {import("../client/tallycast.js").Numbers} Numbers */
/**
 * @typedef {import("../client/tallycast.js").Kind & {parts?: string[], approximate?: number}} Kind `parts`: what a rating
 *   is counted as; `approximate`: the standard error of an estimate
 */
/** @typedef {{item: string, by: Numbers}} Move By how much counts of an item moved just now. */

const AGAIN_MS = 2000;
const PASSIVE = ["external", "unique"]; // rules of numbers that nobody says by a click

/** The page's items as they move, and the kinds of their counts. */
export class Live {
  /** @param {"anyone" | "token"} viewing */
  constructor(viewing) {
    const token = async () => /** @type {string} */ ((await api("dashboard/token")).token);
    this.hub = connect(BASE, { visitor: false, token: viewing === "token" ? token : undefined });
    /** @type {Record<string, Kind>} those that a site shows, in its order */ this.kinds = {};
    /** @type {Record<string, Kind>} those that are counted: a rating's parts in its place */ this.counted = {};
    this.moved = new EventTarget();
  }

  /** Wait for the kinds, however long it takes to get them. */
  async learnKinds() {
    for (;;) {
      this.kinds = await this.hub.kinds;
      if (Object.keys(this.kinds).length) break;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
    for (const [name, kind] of Object.entries(this.kinds)) {
      if (!kind.parts) this.counted[name] = kind;
      kind.parts?.forEach((part, at) => (this.counted[part] = { ...kind, label: `${kind.label} ${at + 1}` }));
    }
  }

  /** The counted kinds for a list to choose from. @returns {[value: string, text: string][]} */
  choices() {
    return Object.entries(this.counted).map(([name, { label, emoji }]) => [name, `${emoji} ${label}`]);
  }

  /** @param {string} kind */
  label(kind) {
    return this.counted[kind]?.label ?? kind;
  }

  /** @param {string} kind */
  emoji(kind) {
    return this.counted[kind]?.emoji ?? "";
  }

  /** Whether a kind is a person's reaction, and not a view or a number from elsewhere. @param {string} kind */
  isReaction(kind) {
    return !PASSIVE.includes(this.counted[kind]?.rule ?? "");
  }

  /**
   * Watch an item until `signal` says to stop. `show` is called at most once a frame.
   * @param {string} item @param {AbortSignal} signal @param {(state: State) => void} show @param {{viewers?: boolean}} [how]
   */
  watch(item, signal, show, how = {}) {
    /** @type {Numbers | undefined} */ let before;
    const end = this.hub.subscribe(
      item,
      (state) => {
        if (!state.known || signal.aborted) return;
        if (before) this.#note(item, before, state.counts);
        before = state.counts;
        show(state);
      },
      how,
    );
    signal.addEventListener("abort", end, { once: true });
    return end;
  }

  /** Be told of each move, also of those of other parts of the page. @param {AbortSignal} signal @param {(move: Move) => void} hear */
  onMove(signal, hear) {
    this.moved.addEventListener("move", (event) => hear(/** @type {CustomEvent<Move>} */ (event).detail), { signal });
  }

  /** @param {string} item @param {Numbers} before @param {Numbers} after */
  #note(item, before, after) {
    /** @type {Numbers} */ const by = {};
    for (const kind of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const change = (after[kind] ?? 0) - (before[kind] ?? 0);
      if (change) by[kind] = change;
    }
    if (!Object.keys(by).length) return;
    this.moved.dispatchEvent(new CustomEvent("move", { detail: { item, by } }));
  }
}

/** Of how many reactions a move tells that were not taken back. @param {Live} live @param {Numbers} by */
export function reactionsIn(live, by) {
  let sum = 0;
  for (const [kind, change] of Object.entries(by)) if (change > 0 && live.isReaction(kind)) sum += change;
  return sum;
}
