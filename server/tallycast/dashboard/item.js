/** One item: its counts as they move, what became of them over time, whether it is liked and when, and who to stop. */

import { api, ofItem, Problem } from "./api.js";
import { el, fill, say } from "./dom.js";
import { ago, decimal, growth, momentOf, number, percent, signed, zone } from "./format.js";
import { heatMap } from "./heat.js";
import { ask, attempt, button, card, field, shareThis, tell } from "./parts.js";
import { people } from "./people.js";
import { results } from "./poll.js";
import { series } from "./series.js";

/** @typedef {import("./app.js").Context} Context */
/** @typedef {import("./live.js").Numbers} Numbers */

const POLL = "poll:";

/** @param {Context} context */
export async function page(context) {
  const { root, rest: item, live, signal, can, keep } = context;
  const poll = item.startsWith(POLL) ? await results(context, item.slice(POLL.length)) : undefined;
  const label = (/** @type {string} */ kind) => poll?.label(kind) ?? live.label(kind);
  const watching = el("span", { class: "badge" }, "…");
  const frozen = el("p", { class: "banner cold", hidden: true });
  const acts = el(
    "div",
    { class: "row tools" },
    el("a", { class: "button quiet", href: `#/compare?a=${encodeURIComponent(item)}` }, "Compare"),
    can("keys") && shareThis(),
  );
  const tiles = poll ? undefined : counters(context);
  const chart = series(context, item, label);
  const liked = poll ? undefined : ratio(context);
  const heat = heatMap();
  const hours = card("When people react", { note: `Of the last 28 days, in ${zone}` }, heat.root);

  fill(
    root,
    el(
      "div",
      { class: "head" },
      el(
        "div",
        {},
        el("p", { class: "crumb" }, el("a", { href: "#/items" }, "Items")),
        el("h1", { class: "id" }, item),
        watching,
      ),
      acts,
    ),
    frozen,
    tiles?.root,
    poll?.root,
    chart.root,
    el("div", { class: `columns ${liked ? "two" : ""}` }, liked?.root, hours.root),
    can("moderate") && people(context, item),
  );

  live.watch(
    item,
    signal,
    ({ counts, viewers = 1 }) => {
      chart.moved(counts);
      poll?.moved();
      tiles?.counts(counts);
      liked?.counts(counts);
      const others = Math.max(0, viewers - 1);
      say(watching, others ? `${number(others)} watching` : "nobody watching");
    },
    { viewers: true },
  );

  const freeze = button("Freeze", () => {
    const reason = el("input", { name: "reason", maxlength: 200, placeholder: "such as: comments closed" });
    return ask(
      `Freeze ${item}?`,
      { yes: "Freeze" },
      async (form) => {
        await api(ofItem(item, "freeze"), { method: "PUT", body: { reason: String(form.get("reason") ?? "") } });
        await state();
        tell("Frozen: nobody can react until it is thawed.");
      },
      el("p", {}, "It takes no more reactions, and shows its counts as they are, until somebody thaws it."),
      field("Reason", reason, "For the audit log; it may be empty."),
    );
  });
  const thaw = button(
    "Thaw",
    () =>
      attempt(async () => {
        await api(ofItem(item, "freeze"), { method: "DELETE" });
        await state();
        tell("Thawed: it takes reactions again.");
      }),
    { hidden: true },
  );
  const remove = button(
    "Delete…",
    () => {
      const again = el("input", { name: "item", required: true, autocomplete: "off", spellcheck: "false" });
      return ask(
        `Delete ${item}?`,
        { yes: "Delete all of it", danger: true },
        async (form) => {
          if (form.get("item") !== item) throw new Problem("bad_request", "This is not the item's id.");
          await api(ofItem(item, "values"), { method: "DELETE" });
          tell("Deleted: all that was said of it is gone.");
        },
        el("p", {}, "All that anybody said of it is taken away, for good. Who looks at it sees the counts fall to 0."),
        field("Write the item's id to confirm", again),
      );
    },
    { class: "danger" },
  );
  if (can("moderate")) acts.append(freeze, thaw, remove);

  const state = async () => {
    const found = await api(ofItem(item, "counts"), { signal });
    const { by, at, reason } = found.frozen ?? {};
    frozen.hidden = !found.frozen;
    freeze.hidden = !!found.frozen;
    thaw.hidden = !found.frozen;
    if (found.frozen)
      fill(
        frozen,
        el("b", {}, "Frozen"),
        ` by ${by}, `,
        el("time", { datetime: new Date(at * 1000).toISOString(), title: momentOf(at) }, ago(at)),
        reason && `: ${reason}`,
      );
    tiles?.given(found.given ?? {});
  };
  const { first } = keep(10, hours, state);
  keep(300, hours, async () => {
    const found = await api("v1/admin/history/hours", { query: { item, zone }, signal });
    heat.show(found.hours);
  });
  await first;
}

/** The counts by kind, with what became of them within a week. @param {Context} context */
function counters({ rest: item, live, signal, keep }) {
  const lines = Object.entries(live.kinds).map(([name, kind]) => {
    const value = el("b", { class: "value" }, "–");
    const more = el("span", { class: "more" }, "\u00a0");
    const title = el("dt", {}, el("span", { "aria-hidden": "true" }, kind.emoji), ` ${kind.label}`);
    return { name, kind, value, more, root: el("div", { class: "tile" }, title, el("dd", {}, value, more)) };
  });
  const root = el("dl", { class: "tiles counts" }, ...lines.map(({ root }) => root));
  keep(60, { fault() {} }, async () => {
    const { now, growth: grown } = await api("v1/admin/history/compare", { query: { item }, signal });
    for (const { name, kind, more } of lines) {
      const by = (kind.parts ?? [name]).reduce((sum, part) => sum + (now.changes[part] ?? 0), 0);
      const than = grown[name];
      say(more, by ? `${signed(by)} in 7 days${than == null ? "" : `, ${growth(than)}`}` : "no change in 7 days");
    }
  });
  return {
    root,
    /** @param {Numbers} counts */
    counts(counts) {
      for (const { name, kind, value } of lines)
        say(
          value,
          kind.parts ? stars(kind.parts, counts) : `${kind.approximate ? "≈" : ""}${number(counts[name] ?? 0)}`,
        );
    },
    /** @param {Numbers} given starting counts */
    given(given) {
      for (const { name, value } of lines)
        value.title = given[name] ? `${number(given[name] ?? 0)} of it given as a start` : "";
    },
  };
}

/** The average of a rating. @param {string[]} parts @param {Numbers} counts */
function stars(parts, counts) {
  const votes = parts.reduce((sum, part) => sum + (counts[part] ?? 0), 0);
  return votes ? decimal(parts.reduce((sum, part, at) => sum + (at + 1) * (counts[part] ?? 0), 0) / votes) : "–";
}

/** How sure it is that people like it: the share, and the bound above which it is with 97.5 % certainty. @param {Context} context */
function ratio({ rest: item, signal, keep, live }) {
  const share = el("b", { class: "value" }, "–");
  const words = el("p", { class: "note" }, "\u00a0");
  const bar = el(
    "div",
    { class: "ratio", "aria-hidden": "true" },
    el("i", { class: "sure" }),
    el("i", { class: "share" }),
  );
  const part = card("Is it liked?", { class: "liked" }, share, bar, words);
  /** @type {[string, string] | undefined} */ let kinds;
  /** @type {Numbers} */ let counts = {};
  const show = () => {
    if (!kinds) return;
    const [up, down] = kinds.map((kind) => counts[kind] ?? 0);
    const votes = (up ?? 0) + (down ?? 0);
    const part = votes ? (up ?? 0) / votes : 0;
    const bound = surelyAtLeast(up ?? 0, votes);
    say(share, votes ? percent(part) : "–");
    say(
      words,
      votes
        ? `${number(up ?? 0)} ${live.label(kinds[0])}, ${number(down ?? 0)} ${live.label(kinds[1])}: surely at least ${percent(bound)}.`
        : "Nobody has said so far.",
    );
    bar.style.setProperty("--share", String(part));
    bar.style.setProperty("--sure", String(bound));
  };
  keep(3600, part, async () => {
    const { up, down } = await api("v1/admin/history/ratio", { query: { item }, signal });
    kinds = [up, down];
    show();
  });
  return {
    root: part.root,
    /** @param {Numbers} newest */
    counts(newest) {
      counts = newest;
      show();
    },
  };
}

/** The lower bound of Wilson's 95 % interval, as the hub's history/ratio.py has it. @param {number} up @param {number} votes */
function surelyAtLeast(up, votes) {
  if (!votes) return 0;
  const z = 1.959963984540054;
  const share = up / votes;
  const middle = share + (z * z) / (2 * votes);
  const reach = z * Math.sqrt((share * (1 - share) + (z * z) / (4 * votes)) / votes);
  return (middle - reach) / (1 + (z * z) / votes);
}
