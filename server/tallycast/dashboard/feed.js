/** What creators should know of now: bursts and alerts that fired, newest first. */

import { api } from "./api.js";
import { el } from "./dom.js";
import { ago, number } from "./format.js";

/** @typedef {{at_s: number, kind: "burst" | "alert", item: string, text: string, open: boolean}} News */

/** @param {any} burst @returns {News} */
const ofBurst = ({ item, state, begun_at, marked, networks, removal }) => ({
  at_s: begun_at,
  kind: "burst",
  item,
  open: state === "open",
  text: removal
    ? `Burst of ${number(marked)} fresh visitors, taken out`
    : `Burst: ${number(marked)} fresh visitors from ${number(networks)} ${networks === 1 ? "network" : "networks"}`,
});

/** @param {any} firing @returns {News} */
const ofFiring = ({ at, name, item, text }) => ({
  at_s: Date.parse(at) / 1000,
  kind: "alert",
  item: item?.endsWith("*") ? "" : (item ?? ""),
  open: false,
  text: `${name}: ${text}`,
});

/** @param {{prefix: string, limit: number, signal: AbortSignal}} of @returns {Promise<News[]>} */
export async function news({ prefix, limit, signal }) {
  const [{ bursts }, { firings }] = await Promise.all([
    api("v1/admin/bursts", { query: { limit }, signal }),
    api("v1/admin/firings", { query: { limit }, signal }),
  ]);
  return [...bursts.map(ofBurst), ...firings.map(ofFiring)]
    .filter(({ item }) => item.startsWith(prefix) || !item)
    .sort((a, b) => b.at_s - a.at_s)
    .slice(0, limit);
}

/** @param {News} one */
export const newsLine = ({ at_s, kind, item, text, open }) =>
  el(
    "li",
    { class: `${kind}${open ? " open" : ""}` },
    el("span", { class: "badge" }, open ? "Now" : kind === "burst" ? "Burst" : "Alert"),
    el("span", { class: "what" }, text, " ", item && el("a", { href: `#/items/${item}` }, item)),
    el("time", { datetime: new Date(at_s * 1000).toISOString() }, ago(at_s)),
  );
