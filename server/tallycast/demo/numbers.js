/** Numbers for screens that nobody touches: each kind's count over some items, large, with what moves it floating up. */

import { float, hub, kindsOfHub, make } from "./page.js";

/** @typedef {import("../client/tallycast.js").State} State */
/** @typedef {{item: string, kind: string, emoji: string, by: number}} Move  a count that has just changed, and by how much */

const full = new Intl.NumberFormat(document.documentElement.lang);

/** A list in the page's address, `?kinds=like,love`, or what it is without. @param {string} name @param {string} otherwise */
export function listed(name, otherwise) {
  const given = new URLSearchParams(location.search).getAll(name).join(",") || otherwise;
  return [...new Set(given.split(",").map((word) => word.trim()).filter(Boolean))];
}

/**
 * Fill `list` with a number for each kind, summed over `items`. A kind that the hub does not have is hidden.
 * @param {HTMLElement} list @param {string[]} items @param {string[]} names of kinds
 * @param {(move: Move) => void} [moved]
 */
export async function showNumbers(list, items, names, moved) {
  /** @type {Map<string, State>} by item */ const states = new Map();
  const tiles = names.map((kind) => {
    const icon = make("span", "emoji");
    const count = make("span", "count", "–");
    const label = make("span", "label");
    const tile = make("li", "tile", icon, count, label);
    icon.ariaHidden = "true";
    return { kind, emoji: "", icon, count, label, tile };
  });
  list.append(...tiles.map(({ tile }) => tile)); // at once: nothing is to move when the hub has told of its kinds
  const kinds = await kindsOfHub();
  for (const each of tiles) {
    const { emoji = "", label = "" } = kinds[each.kind] ?? {};
    each.icon.textContent = each.emoji = emoji;
    each.label.textContent = label || each.kind;
    each.tile.hidden = !kinds[each.kind];
  }

  /** @param {State} state */
  const show = (state) => {
    if (!state.known) return;
    const before = states.get(state.item);
    states.set(state.item, state);
    for (const { kind, emoji, count, tile } of tiles) {
      const sum = [...states.values()].reduce((total, { counts }) => total + (counts[kind] ?? 0), 0);
      count.textContent = full.format(sum);
      const by = (state.counts[kind] ?? 0) - (before?.counts[kind] ?? 0);
      if (!before || !by) continue;
      if (by > 0) float(tile, emoji);
      moved?.({ item: state.item, kind, emoji, by });
    }
  };
  for (const item of items) hub.subscribe(item, show);
}
