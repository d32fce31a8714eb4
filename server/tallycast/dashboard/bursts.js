/** Bursts: reactions of many fresh visitors from few networks, to be taken out of the counts or put back. */

import { api } from "./api.js";
import { el, fill } from "./dom.js";
import { ago, compact, momentOf, number } from "./format.js";
import { ask, button, card, nothing, table, tell } from "./parts.js";

/** @typedef {import("./app.js").Context} Context */

export const COLUMNS = [
  "Item",
  "Began",
  { name: "Marked visitors", number: true },
  { name: "A minute, usual", number: true },
  { name: "Networks", number: true },
  "State",
  { name: "Act", unseen: true },
];

/** @param {Context} context */
export async function page(context) {
  const { root, signal, keep } = context;
  const list = table("Bursts", COLUMNS, []);
  const part = card("Bursts", { class: "list sole" }, list.root);
  const calm = nothing(
    "No bursts so far.",
    el(
      "p",
      {},
      "A burst is a crowd of visitors nobody has seen before, from few networks, far above what is usual for the item.",
    ),
  );
  fill(root, el("div", { class: "head" }, el("h1", {}, "Bursts")), part.root, calm);
  calm.hidden = true;
  const { again, first } = keep(5, part, async () => {
    const { bursts } = await api("v1/admin/bursts", { query: { limit: 100 }, signal });
    calm.hidden = bursts.length > 0;
    part.root.hidden = !bursts.length;
    // Not while somebody is at one of its buttons.
    if (!list.body.contains(document.activeElement))
      fill(list.body, ...bursts.map((/** @type {any} */ burst) => burstRow(context, burst, () => again())));
  });
  await first;
}

/** @param {Context} context @param {any} burst @param {() => Promise<unknown>} done to be called when something was done */
export function burstRow({ can }, { id, item, state, begun_at, rate, usual, marked, networks, removal }, done) {
  const path = `v1/admin/bursts/${encodeURIComponent(id)}/removal`;
  const out = button(
    "Take out…",
    () =>
      ask(
        `Take out what these ${number(marked)} visitors said?`,
        { yes: "Take it out", danger: true },
        async () => {
          await api(path, { method: "POST", body: {} });
          await done();
          tell("Taken out of the counts. It can be put back.");
        },
        el("p", {}, `All that they said of ${item} leaves its counts, exactly. It can be put back later.`),
      ),
    { class: "quiet small" },
  );
  const back = button(
    "Put back…",
    () =>
      ask("Put back what was taken out?", { yes: "Put it back" }, async () => {
        await api(path, { method: "DELETE" });
        await done();
        tell("It is in the counts again.");
      }),
    { class: "quiet small" },
  );
  const words = removal
    ? { removing: "Being taken out", removed: "Taken out", putting_back: "Being put back" }[
        /** @type {"removing" | "removed" | "putting_back"} */ (removal.state)
      ]
    : state === "open"
      ? "Now"
      : "Over";
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, el("a", { href: `#/items/${item}` }, item)),
    el(
      "td",
      {},
      el("time", { datetime: new Date(begun_at * 1000).toISOString(), title: momentOf(begun_at) }, ago(begun_at)),
    ),
    el("td", { class: "number" }, number(marked)),
    el("td", { class: "number" }, `${compact(rate)}, ${compact(usual)}`),
    el("td", { class: "number" }, number(networks)),
    el("td", {}, el("span", { class: `badge ${state === "open" ? "bad" : ""}` }, words)),
    el("td", { class: "number" }, can("moderate") && (removal ? back : out)),
  );
}
