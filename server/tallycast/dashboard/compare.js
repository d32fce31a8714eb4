/** Two items beside each other, or one and its own period before. */

import { api } from "./api.js";
import { Chart } from "./chart.js";
import { el, fill, say } from "./dom.js";
import { growth, number } from "./format.js";
import { card, choice, nothing, select } from "./parts.js";
import { beginning, CHOICES, RANGES, rangeOf } from "./series.js";

/** @typedef {import("./app.js").Context} Context */

const BEFORE = "before"; // in place of an item: the same one, as long before

/** @param {Context} context */
export function page(context) {
  const { root, query, live, signal, turn, keep } = context;
  const a = query.get("a") ?? "";
  const b = query.get("b") || BEFORE;
  const kind = query.get("kind") ?? Object.keys(live.counted)[0] ?? "";
  const range = rangeOf(query.get("range") ?? "week");
  const input = (/** @type {string} */ name, /** @type {string} */ value, /** @type {string} */ placeholder) =>
    el("input", {
      name,
      value,
      placeholder,
      "aria-label": name === "a" ? "Item" : "Compared with",
      spellcheck: "false",
      autocapitalize: "none",
    });
  const [first, second] = [input("a", a, "post:1"), input("b", b === BEFORE ? "" : b, "its own time before")];
  const go = (/** @type {Event} */ event) => {
    event.preventDefault();
    turn({ a: first.value.trim(), b: second.value.trim() || undefined });
  };
  const form = el(
    "form",
    { class: "row against", onsubmit: go },
    first,
    el("span", {}, "against"),
    second,
    el("button", { class: "main" }, "Compare"),
  );
  const tools = el(
    "div",
    { class: "row tools" },
    select("Counted", live.choices(), kind, (value) => turn({ kind: value })),
    choice("Time", CHOICES, Object.keys(RANGES).find((name) => RANGES[name] === range) ?? "", (value) =>
      turn({ range: value }),
    ),
  );
  fill(root, el("div", { class: "head" }, el("h1", {}, "Compare"), tools), form);
  if (!a)
    return root.append(
      nothing(
        "Which item?",
        el(
          "p",
          {},
          "Write an item's id, and another's to set against it; with none, it is set against its own time before.",
        ),
      ),
    );

  const other = b === BEFORE ? "the time before" : b;
  const chart = new Chart(
    { ...range, title: `${live.label(kind)} of ${a} against ${other}`, file: `${a}-against-${b}` },
    signal,
  );
  const rows = el("dl", { class: "tiles" });
  const part = card(`${live.emoji(kind)} ${live.label(kind)}`, { class: "series" }, chart.root);
  root.append(rows, part.root);

  const from = beginning(range);
  const points = Math.round(range.span_s / range.step_s);
  /** @param {string} item @param {number} from @returns {Promise<number[]>} */
  const read = async (item, from) => {
    const found = await api("v1/admin/history/series", {
      query: { item, step: range.step, from, until: Math.min(from + range.span_s, Math.ceil(Date.now() / 1000)), kind },
      signal,
    });
    return found.changes[kind] ?? found.times.map(() => 0);
  };
  const tiles = [a, other, "Difference"].map((name) => {
    const value = el("b", { class: "value" }, "–");
    rows.append(
      el(
        "div",
        { class: "tile" },
        el("dt", { title: name }, name),
        el("dd", {}, value, el("span", { class: "more" }, "\u00a0")),
      ),
    );
    return value;
  });
  keep(30, part, async () => {
    const [mine = [], theirs = []] = await Promise.all([
      read(a, from),
      b === BEFORE ? read(a, from - range.span_s) : read(b, from),
    ]);
    const xs = Array.from(
      { length: Math.max(1, Math.min(points, Math.max(mine.length, theirs.length))) },
      (_, at) => from + at * range.step_s,
    );
    const whole = (/** @type {number[]} */ line) => xs.map((_, at) => line[at] ?? 0);
    chart.show(
      [
        { key: a, name: a },
        { key: b, name: other, dashed: true },
      ],
      xs,
      [whole(mine), whole(theirs)],
    );
    const [sumA = 0, sumB = 0] = [mine, theirs].map((line) => line.reduce((sum, value) => sum + value, 0));
    [number(sumA), number(sumB), sumB > 0 ? growth(sumA / sumB - 1) : "–"].forEach(
      (text, at) => tiles[at] && say(tiles[at], text),
    );
  });
}
