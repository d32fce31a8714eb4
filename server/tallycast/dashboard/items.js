/** All items: to look for one, and by what they are best at. */

import { address, api } from "./api.js";
import { el, fill, say } from "./dom.js";
import { compact, number, percent } from "./format.js";
import { button, card, nothing, select, table } from "./parts.js";

/** @typedef {import("./app.js").Context} Context */
/** @typedef {{columns: string[], read: (cursor: string, signal: AbortSignal) => Promise<{rows: Row[], cursor: string}>}} Order */
/** @typedef {{item: string, cells: (string | HTMLElement)[], counts?: Record<string, number>, frozen?: boolean}} Row */

const PAGE = 50;
const MOST_KINDS = 6;
/** @type {[string, string][]} */
const ORDERS = [
  ["", "All items"],
  ["top", "Most within a week"],
  ["rising", "Rising this hour"],
  ["ratio", "Best liked, surely"],
  ["engagement", "Most engaging"],
];

/** @param {Context} context */
export async function page(context) {
  const { root, query, session, live, signal, turn } = context;
  const order = query.get("by") ?? "";
  const prefix = query.get("prefix") ?? session.prefix;
  const kinds = Object.keys(live.counted).slice(0, MOST_KINDS);
  const kind = query.get("kind") ?? kinds[0] ?? "";
  const search = el("input", {
    type: "search",
    name: "prefix",
    value: prefix,
    placeholder: "post:",
    "aria-label": "Items that begin with",
    spellcheck: "false",
    autocapitalize: "none",
  });
  const form = el(
    "form",
    {
      class: "row",
      role: "search",
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        turn({ prefix: search.value.trim() || undefined });
      },
    },
    search,
    el("button", { class: "quiet" }, "Find"),
  );
  const order_ = select("Order", ORDERS, order, (value) => turn({ by: value || undefined }));

  const known = orders(context, kinds, kind, prefix);
  const { columns, read } = /** @type {Order} */ (known[order] ?? known.all);
  const list = table("Items", [{ name: "Item" }, ...columns.map((name) => ({ name, number: true }))], []);
  const more = button("More", () => next(), { class: "quiet", hidden: true });
  const empty = el(
    "div",
    { hidden: true },
    nothing(
      prefix ? `No item begins with ${prefix}` : "There are no items yet.",
      el(
        "p",
        {},
        prefix
          ? "Ids are told apart by upper and lower case."
          : "An item is there as soon as somebody has reacted to it.",
      ),
    ),
  );
  const foot = el("div", { class: "row end" }, !session.read_only && exported(prefix), more);
  list.root.hidden = foot.hidden = true; // until it is known how wide its columns are
  const part = card(
    ORDERS.find(([value]) => value === order)?.[1] ?? "Items",
    { class: "list" },
    list.root,
    empty,
    foot,
  );
  fill(
    root,
    el("div", { class: "head" }, el("h1", {}, "Items"), el("div", { class: "row tools" }, order_, form)),
    part.root,
  );

  /** @param {Row[]} rows */
  const add = (rows) => {
    for (const { item, cells, frozen } of rows) {
      const link = el("a", { href: `#/items/${item}` }, item);
      const tds = cells.map((cell) => el("td", { class: "number" }, cell));
      list.body.append(
        el("tr", {}, el("th", { scope: "row" }, link, frozen && el("span", { class: "badge cold" }, "Frozen")), ...tds),
      );
      if (order) continue;
      // Newest counts come by the socket, as to everybody.
      live.watch(item, signal, ({ counts }) =>
        kinds.forEach((name, at) => tds[at] && say(tds[at], number(counts[name] ?? 0))),
      );
    }
    const none = !list.body.children.length;
    empty.hidden = !none;
    list.root.hidden = none;
    foot.hidden = false;
  };
  let cursor = "";
  const load = async () => {
    const { rows, cursor: after } = await read(cursor, signal);
    cursor = after;
    add(rows);
    more.hidden = !cursor || list.body.children.length >= 200; // one connection watches so many
  };
  const next = () => part.guard(load);
  await next();
}

/** @param {string} prefix */
const exported = (prefix) =>
  el(
    "a",
    {
      class: "button quiet",
      href: address("v1/admin/export", { what: "counts", format: "csv", prefix: prefix || undefined }).href,
      download: "items.csv",
    },
    "Export all as CSV",
  );

/**
 * How the items of an order are read.
 * @param {Context} context @param {string[]} kinds @param {string} kind @param {string} prefix
 * @returns {Record<string, Order>}
 */
function orders({ live }, kinds, kind, prefix) {
  const section = prefix || undefined;
  /** @param {string} what @param {Record<string, string | number>} query @param {(row: any) => string[]} cells */
  const history = (what, query, cells) => async (/** @type {string} */ _cursor, /** @type {AbortSignal} */ signal) => {
    const { items } = await api(`v1/admin/history/${what}`, {
      query: { prefix: section, limit: PAGE, ...query },
      signal,
    });
    return { rows: items.map((/** @type {any} */ row) => ({ item: row.item, cells: cells(row) })), cursor: "" };
  };
  return {
    all: {
      columns: kinds.map((name) => `${live.emoji(name)} ${live.label(name)}`),
      async read(cursor, signal) {
        const { items, cursor: after } = await api("v1/admin/items", {
          query: { prefix, cursor: cursor || undefined, limit: PAGE },
          signal,
        });
        const cells = (/** @type {any} */ counts) => kinds.map((name) => number(counts[name] ?? 0));
        return {
          rows: items.map((/** @type {any} */ { item, counts, frozen }) => ({ item, frozen, cells: cells(counts) })),
          cursor: after,
        };
      },
    },
    top: { columns: [live.label(kind)], read: history("top", { kind, within: "week" }, ({ n }) => [`+${number(n)}`]) },
    rising: {
      columns: ["This hour", "Usual", "Times"],
      read: history("rising", { kind }, ({ n, usual, times }) => [number(n), compact(usual), `${compact(times)}×`]),
    },
    ratio: {
      columns: ["For", "Against", "Ratio", "Surely at least"],
      read: history("ratio", {}, ({ up, down, ratio, at_least }) => [
        number(up),
        number(down),
        ratio === null ? "–" : percent(ratio),
        percent(at_least),
      ]),
    },
    engagement: {
      columns: ["Views", "Reactions", "Engagement"],
      read: history("engagement", {}, ({ views, reactions, engagement }) => [
        number(views),
        number(reactions),
        percent(engagement),
      ]),
    },
  };
}
