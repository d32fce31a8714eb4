/** The live wall: how many watch, how fast they react, what is on top and what rises, and what creators should know. */

import { api } from "./api.js";
import { Chart } from "./chart.js";
import { el, fill, say } from "./dom.js";
import { compact, growth, minuteOf, number } from "./format.js";
import { news, newsLine } from "./feed.js";
import { reactionsIn } from "./live.js";
import { button, card, choice, select, shareThis } from "./parts.js";

/** @typedef {import("./app.js").Context} Context */
/** @typedef {import("./live.js").State} State */

const still = matchMedia("(prefers-reduced-motion: reduce)");
const HOUR_S = 3600;
const ROWS = 8;
const NEWS = 6;
/** @type {[string, string][]} */ const WITHIN = [
  ["hour", "Hour"],
  ["day", "Day"],
  ["week", "Week"],
];

/** @param {Context} context */
export function page(context) {
  const { root, query, session, live, signal, can, turn, keep } = context;
  const screen = query.get("screen") === "wall";
  const prefix = query.get("prefix") ?? session.prefix;
  const kind = query.get("kind") ?? Object.keys(live.counted).find((name) => live.isReaction(name)) ?? "";
  const within = query.get("within") ?? "day";
  const section = prefix || undefined;

  const tile = (/** @type {string} */ name, /** @type {string} */ about) => {
    const value = el("b", { class: "value" }, "–");
    const more = el("span", { class: "more" }, "\u00a0");
    return {
      value,
      more,
      root: el("div", { class: "tile", title: about }, el("dt", {}, name), el("dd", {}, value, more)),
    };
  };
  const watching = tile("Watching", "People who look at the items on this page");
  const pace = tile("Per minute", "Reactions of all items, right now");
  const hour = tile("Last hour", "Reactions of all items in the last 60 minutes");
  const tiles = el("dl", { class: "tiles" }, watching.root, pace.root, hour.root);

  const chart = new Chart(
    {
      title: "Reactions a minute",
      file: `reactions-${prefix || "all"}`,
      where: minuteOf,
      tick: minuteOf,
      bars: true,
      steps: [300, 600, 900, 1800, HOUR_S],
    },
    signal,
  );
  const pulse = card("Reactions a minute", { class: "pulse" }, chart.root);

  const top = ranks("On top", `What got most ${live.label(kind)} within the ${within}`);
  const rising = ranks("Rising", "This hour against what is usual for the item");
  const feedList = el("ol", { class: "feed" });
  const feed = card("Bursts and alerts", { class: "news" }, feedList);

  const tools = el(
    "div",
    { class: "row tools" },
    select("Counted by", live.choices(), kind, (value) => turn({ kind: value })),
    choice("Within", WITHIN, within, (value) => turn({ within: value })),
    button(screen ? "Leave the big screen" : "Big screen", () => turn({ screen: screen ? undefined : "wall" }), {
      class: screen ? "quiet" : "quiet wide",
    }),
    !screen && can("keys") && shareThis(),
  );
  fill(
    root,
    el("div", { class: "head" }, el("h1", {}, prefix ? `${prefix}…` : "Right now"), tools),
    tiles,
    pulse.root,
    el("div", { class: "columns" }, top.card.root, rising.card.root, feed.root),
  );

  /** @type {number[]} what was said for each minute */ let told = [];
  let since = 0; // reactions that came by the socket since then
  /** @type {Map<string, {state: State | undefined, end: () => void}>} */ const watched = new Map();

  const showPace = () => {
    if (!told.length) return;
    const now = (told.at(-1) ?? 0) + since;
    const part = (Date.now() / 1000 / 60) % 1;
    // The last minute slides: as much of the minute before as this one has not yet had.
    say(pace.value, number(Math.round(now + (told.at(-2) ?? 0) * (1 - part))));
    const lastHour = told.slice(-60).reduce((sum, value) => sum + value, since);
    const before = told.slice(-120, -60).reduce((sum, value) => sum + value, 0);
    say(hour.value, compact(lastHour));
    say(hour.more, before ? `${growth(lastHour / before - 1)} on the hour before` : "\u00a0");
    chart.move([now]);
  };

  const showWatching = () => {
    let sum = 0;
    for (const { state } of watched.values()) sum += Math.max(0, (state?.viewers ?? 1) - 1); // this page is one of them
    say(watching.value, number(sum));
    say(
      watching.more,
      watched.size ? `of ${watched.size} ${watched.size === 1 ? "item" : "items"} shown here` : "\u00a0",
    );
  };

  const watchShown = () => {
    const shown = new Set([...top.items(), ...rising.items()]);
    for (const [item, { end }] of watched) {
      if (shown.has(item)) continue;
      end();
      watched.delete(item);
    }
    for (const item of shown) {
      if (watched.has(item)) continue;
      /** @type {{state: State | undefined, end: () => void}} */ const entry = { state: undefined, end: () => {} };
      watched.set(item, entry);
      const show = (/** @type {State} */ state) => {
        entry.state = state;
        const count = state.counts[kind] ?? 0;
        top.count(item, count);
        rising.count(item, count);
        showWatching();
      };
      entry.end = live.watch(item, signal, show, { viewers: true });
    }
    showWatching();
  };

  live.onMove(signal, ({ item, by }) => {
    if (!item.startsWith(prefix)) return;
    since += reactionsIn(live, by);
    showPace();
    top.flash(item);
    rising.flash(item);
  });

  keep(10, pulse, async () => {
    const { times, changes } = await api("v1/admin/history/series", {
      query: { prefix: section, step: "minute", from: Math.floor(Date.now() / 1000) - 2 * HOUR_S },
      signal,
    });
    told = times.map((/** @type {number} */ _, /** @type {number} */ at) =>
      Object.entries(changes).reduce((sum, [name, by]) => sum + (live.isReaction(name) ? Math.max(0, by[at]) : 0), 0),
    );
    since = 0;
    chart.show([{ key: "reactions", name: "Reactions" }], times.slice(-60), [told.slice(-60)]);
    showPace();
  });
  keep(10, top.card, async () => {
    const { items } = await api("v1/admin/history/top", {
      query: { prefix: section, kind, within, limit: ROWS },
      signal,
    });
    top.show(items.map((/** @type {any} */ { item, n }) => ({ item, size: n, word: `+${compact(n)}` })));
    watchShown();
  });
  keep(10, rising.card, async () => {
    const { items } = await api("v1/admin/history/rising", {
      query: { prefix: section, kind, limit: ROWS, least: 3 },
      signal,
    });
    rising.show(
      items.map((/** @type {any} */ { item, n, times }) => ({
        item,
        size: times,
        word: `${compact(times)}×`,
        more: `+${compact(n)}`,
      })),
    );
    watchShown();
  });
  keep(5, feed, async () => {
    const lines = await news({ prefix, limit: NEWS, signal });
    fill(
      feedList,
      ...(lines.length
        ? lines.map(newsLine)
        : [el("li", { class: "calm" }, "All calm: no bursts, and no alert has fired.")]),
    );
  });
  const ticking = setInterval(showPace, 1000);
  signal.addEventListener("abort", () => clearInterval(ticking), { once: true });
}

/**
 * A list of items, the first with the longest bar. Its lines stay where they are, so that nothing moves.
 * @param {string} title @param {string} note
 */
function ranks(title, note) {
  const lines = Array.from({ length: ROWS }, () => {
    const link = el("a", {});
    const count = el("span", { class: "count" });
    const word = el("b", {});
    const bar = el("i", { class: "bar" });
    return { link, count, word, bar, item: "", root: el("li", {}, bar, link, count, word) };
  });
  const empty = el("p", { class: "empty", hidden: true }, "Nothing yet. Items appear here as people react.");
  const part = card(
    title,
    { class: "ranks", note },
    el("div", { class: "canvas" }, el("ol", {}, ...lines.map(({ root }) => root)), empty),
  );
  return {
    card: part,
    items: () => lines.map(({ item }) => item).filter(Boolean),
    /** @param {{item: string, size: number, word: string, more?: string}[]} rows */
    show(rows) {
      const most = Math.max(1, ...rows.map(({ size }) => size));
      empty.hidden = rows.length > 0;
      lines.forEach((line, at) => {
        const row = rows[at];
        line.root.classList.toggle("none", !row);
        if (line.item !== (row?.item ?? "")) say(line.count, "");
        line.item = row?.item ?? "";
        say(line.link, line.item);
        if (row) line.link.setAttribute("href", `#/items/${row.item}`);
        else line.link.removeAttribute("href");
        say(line.word, row?.word ?? "");
        line.bar.style.setProperty("--share", String((row?.size ?? 0) / most));
      });
    },
    /** @param {string} item @param {number} count */
    count(item, count) {
      for (const line of lines) if (line.item === item) say(line.count, number(count));
    },
    /** Show that an item has just moved. @param {string} item */
    flash(item) {
      for (const { root, item: own } of lines) {
        if (own !== item || still.matches) continue;
        for (const animation of root.getAnimations()) animation.cancel();
        root.animate([{ background: "var(--flash)" }, { background: "transparent" }], 900);
      }
    },
  };
}
