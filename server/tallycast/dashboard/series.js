/** How an item's counts moved over time: a chart whose last point follows the socket. */

import { api } from "./api.js";
import { Chart } from "./chart.js";
import { hourOf, minuteOf, shortDayOf, shortUtcDayOf, utcDayOf } from "./format.js";
import { card, choice } from "./parts.js";

/** @typedef {import("./app.js").Context} Context */
/** @typedef {import("./live.js").Numbers} Numbers */
/** @typedef {{times: number[], lines: Record<string, number[]>, total: Numbers}} Told What history says. */
/** @typedef {{step: string, step_s: number, span_s: number, title: string, where: (at_s: number) => string, tick: (at_s: number) => string, steps: number[]}} Range */

const HOUR_S = 3600;
const DAY_S = 86_400;
export const MOST_LINES = 6;
const days = [DAY_S, 2 * DAY_S, 7 * DAY_S, 14 * DAY_S, 30 * DAY_S, 91 * DAY_S, 182 * DAY_S];

/** @type {Record<string, Range>} */
export const RANGES = {
  now: {
    step: "minute",
    step_s: 60,
    span_s: 3 * HOUR_S,
    title: "3 hours",
    where: minuteOf,
    tick: minuteOf,
    steps: [300, 600, 900, 1800, HOUR_S, 2 * HOUR_S, 3 * HOUR_S],
  },
  week: {
    step: "hour",
    step_s: HOUR_S,
    span_s: 7 * DAY_S,
    title: "7 days",
    where: hourOf,
    tick: shortDayOf,
    steps: days,
  },
  quarter: {
    step: "day",
    step_s: DAY_S,
    span_s: 90 * DAY_S,
    title: "90 days",
    where: utcDayOf,
    tick: shortUtcDayOf,
    steps: days,
  },
  year: {
    step: "day",
    step_s: DAY_S,
    span_s: 366 * DAY_S,
    title: "Year",
    where: utcDayOf,
    tick: shortUtcDayOf,
    steps: days,
  },
};
/** @type {[string, string][]} */ export const CHOICES = Object.entries(RANGES).map(([name, { title }]) => [
  name,
  title,
]);
/** @type {[string, string][]} */ const WHATS = [
  ["", "Each "],
  ["counts", "Total"],
];

/** @param {string | null} name @returns {Range} */
export const rangeOf = (name) => /** @type {Range} */ (RANGES[name ?? ""] ?? RANGES.now);

/** The beginning of a range, at the beginning of one of its steps. @param {Range} range */
export const beginning = ({ step_s, span_s }) => Math.floor((Date.now() / 1000 - span_s) / step_s + 1) * step_s;

/**
 * The card with the chart. `moved` is to be called with each of the item's counts.
 * @param {Context} context @param {string} item @param {(kind: string) => string} label
 */
export function series(context, item, label) {
  const { query, live, signal, turn, keep } = context;
  const range = rangeOf(query.get("range"));
  const total = query.get("as") === "counts";
  const chart = new Chart(
    { ...range, title: `${total ? "Counts" : "Changes"} of ${item}`, file: `${item}-${range.step}` },
    signal,
  );
  const whats = WHATS.map(
    ([value, text]) => /** @type {[string, string]} */ ([value, text === "Total" ? text : text + range.step]),
  );
  const part = card(
    "Over time",
    {
      class: "series",
      tools: [
        choice("Time", CHOICES, Object.keys(RANGES).find((name) => RANGES[name] === range) ?? "", (value) =>
          turn({ range: value }),
        ),
        choice("What", whats, total ? "counts" : "", (value) => turn({ as: value })),
      ],
    },
    chart.root,
  );

  /** @type {Told | undefined} */ let told;
  /** @type {Numbers} as the socket has them */ let counts = {};
  /** @type {string[]} */ let kinds = [];
  let next_s = Infinity; // when the last point is one before

  /** What a line's last point is now: on top of what history has, what it has not rolled up yet. @param {string} kind */
  const last = (kind) => {
    const rolled = told?.total[kind] ?? 0;
    const now = Object.keys(counts).length ? (counts[kind] ?? 0) : rolled; // of a poll, they may be hidden
    return total ? now : (told?.lines[kind]?.at(-1) ?? 0) + now - rolled;
  };
  const show = () => {
    if (!told) return;
    const { lines, total: totals, times } = told;
    const order = Object.keys(live.counted);
    const all = [...new Set([...order, ...Object.keys(lines), ...Object.keys(counts)])];
    const moved = all.filter((kind) => kind in lines || totals[kind] || counts[kind]).slice(0, MOST_LINES);
    kinds = moved.length ? moved : order.slice(0, 1);
    const rest = (/** @type {string} */ kind) => times.map(() => (total ? (totals[kind] ?? 0) : 0));
    const ys = kinds.map((kind) => [...(lines[kind] ?? rest(kind)).slice(0, -1), last(kind)]);
    chart.show(
      kinds.map((kind) => ({ key: kind, name: label(kind) })),
      times,
      ys,
    );
  };
  const { again } = keep(range.step === "minute" ? 10 : 60, part, async () => {
    const query = { item, step: range.step, from: beginning(range), cumulative: total ? "true" : undefined };
    const found = await api("v1/admin/history/series", { query, signal });
    told = { times: found.times, lines: total ? found.counts : found.changes, total: found.total };
    next_s = found.times.at(-1) + range.step_s;
    show();
  });
  const ticking = setInterval(() => {
    if (Date.now() / 1000 < next_s) return;
    next_s = Infinity;
    again();
  }, 1000);
  signal.addEventListener("abort", () => clearInterval(ticking), { once: true });

  return {
    root: part.root,
    /** @param {Numbers} newest */
    moved(newest) {
      const fresh = Object.keys(newest).some((kind) => newest[kind] && !kinds.includes(kind));
      counts = newest;
      if (fresh && kinds.length < MOST_LINES) show();
      else if (told) chart.move(kinds.map(last));
    },
  };
}
