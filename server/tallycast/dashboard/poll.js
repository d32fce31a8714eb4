/** The results of a poll, on its item's page. */

import { api, Problem } from "./api.js";
import { el, fill, say } from "./dom.js";
import { ago, momentOf, number, percent } from "./format.js";
import { card } from "./parts.js";
import { pollActs, STATES } from "./pollacts.js";

/** @typedef {import("./app.js").Context} Context */

/** The card, once it is known how much there is to show; nothing where there is no such poll. @param {Context} context @param {string} id */
export async function results(context, id) {
  const { signal, keep } = context;
  const question = el("h3", {});
  const about = el("p", { class: "note" }, "\u00a0");
  const bars = el("ol", { class: "results" });
  const acts = el("div", { class: "row tools" });
  const part = card("Poll", { class: "poll", tools: [acts] }, question, bars, about);
  /** @type {string[]} */ let options = [];
  const read = async () => {
    const poll = await api(`v1/admin/polls/${encodeURIComponent(id)}`, { signal });
    options = poll.options;
    /** @type {number[]} */ const counts = poll.counts ?? [];
    const votes = counts.reduce((sum, count) => sum + count, 0);
    const most = Math.max(1, ...counts);
    say(question, poll.question);
    fill(
      bars,
      ...options.map((option, at) => {
        const count = counts[at] ?? 0;
        const right = poll.answers?.includes(at + 1);
        const bar = el("i", { class: "bar", css: { "--share": votes ? count / votes : 0 } });
        return el(
          "li",
          { class: count === most && votes ? "most" : null },
          bar,
          el("span", {}, option, right && el("span", { class: "badge good" }, "Right")),
          el("b", {}, number(count)),
          el("span", { class: "share" }, votes ? percent(count / votes) : "–"),
        );
      }),
    );
    say(
      about,
      `${STATES[poll.state] ?? poll.state} · ${number(votes)} ${votes === 1 ? "vote" : "votes"} · ${poll.state === "closed" ? "closed" : "closes"} ${ago(poll.closed_at ?? poll.closes_at)}`,
    );
    about.title = momentOf(poll.closed_at ?? poll.closes_at);
    if (!acts.contains(document.activeElement)) fill(acts, ...pollActs(context, poll, () => again()));
  };
  try {
    await read();
  } catch (fault) {
    if (fault instanceof Problem && fault.code === "not_found") return undefined; // its name only looks like a poll's
    throw fault;
  }
  const { again } = keep(2, part, read);
  let reading = false;
  return {
    root: part.root,
    /** Somebody has voted, or something else has become of it. */
    async moved() {
      if (reading) return;
      reading = true;
      await again();
      reading = false;
    },
    /** @param {string} kind @returns {string | undefined} */
    label: (kind) => options[Number(/^(?:option|choice)-(\d+)$/.exec(kind)?.[1]) - 1],
  };
}
