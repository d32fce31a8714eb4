/** Polls and quizzes: those there are, and new ones. */

import { api } from "./api.js";
import { el, fill } from "./dom.js";
import { ago, momentOf, number } from "./format.js";
import { ask, button, card, field, nothing, select, table, tell } from "./parts.js";
import { momentIn, momentInput, pollActs, STATES } from "./pollacts.js";

/** @typedef {import("./app.js").Context} Context */

const LEAST = 2;
const MOST = 10;
const HOUR_S = 3600;

/** @param {Context} context */
export async function page(context) {
  const { root, signal, can, keep } = context;
  const columns = ["Question", "State", { name: "Votes", number: true }, "Closes", { name: "Act", unseen: true }];
  const list = table("Polls", columns, []);
  const part = card("Polls", { class: "list sole" }, list.root);
  const none = nothing(
    "No polls yet.",
    el("p", {}, "A poll is shown on your pages by <tally-poll>, and counted live like everything else."),
  );
  none.hidden = true;
  const make = can("write") && button("New poll…", async () => (await create()) && again(), { class: "main" });
  fill(
    root,
    el("div", { class: "head" }, el("h1", {}, "Polls"), el("div", { class: "row tools" }, make)),
    part.root,
    none,
  );

  /** @param {any} poll */
  const row = (poll) => {
    const { item, question, state, closes_at, closed_at, votes } = poll;
    const at = closed_at ?? closes_at;
    return el(
      "tr",
      {},
      el(
        "th",
        { scope: "row" },
        el("a", { href: `#/items/${item}` }, question),
        poll.quiz && el("span", { class: "badge" }, "Quiz"),
      ),
      el("td", {}, el("span", { class: `badge ${state === "open" ? "good" : ""}` }, STATES[state] ?? state)),
      el("td", { class: "number" }, number(votes)),
      el("td", {}, el("time", { datetime: new Date(at * 1000).toISOString(), title: momentOf(at) }, ago(at))),
      el("td", { class: "number" }, el("div", { class: "row end" }, ...pollActs(context, poll, () => again()))),
    );
  };
  const { again, first } = keep(5, part, async () => {
    const { polls } = await api("v1/admin/polls", { query: { limit: 100 }, signal });
    none.hidden = polls.length > 0;
    part.root.hidden = !polls.length;
    if (!list.body.contains(document.activeElement)) fill(list.body, ...polls.map(row));
  });
  await first;
}

/** Ask for a new poll. */
function create() {
  const options = el("div", { class: "stack options" });
  const add = () => {
    const at = options.children.length + 1;
    const right = el("input", { type: "checkbox", name: "right", value: at, "aria-label": `Option ${at} is right` });
    options.append(
      el(
        "div",
        { class: "row" },
        el("input", {
          name: "option",
          maxlength: 120,
          required: at <= LEAST,
          "aria-label": `Option ${at}`,
          placeholder: `Option ${at}`,
        }),
        el("label", { class: "right" }, right, "right"),
      ),
    );
    more.hidden = at >= MOST;
  };
  const more = button(
    "One more option",
    () => {
      add();
      /** @type {HTMLInputElement | null} */ (options.lastElementChild?.querySelector("input"))?.focus();
    },
    { class: "quiet small" },
  );
  for (let n = 0; n < LEAST; n += 1) add();
  const key = crypto.getRandomValues(new Uint32Array(4)).join("-"); // a second click makes no second poll
  /** @type {[string, string][]} */ const choices = [
    ["single", "One option"],
    ["multiple", "Several options"],
  ];
  /** @type {[string, string][]} */ const shown = [
    ["always", "Always"],
    ["voted", "After voting"],
    ["closed", "After closing"],
  ];
  const named = (/** @type {HTMLSelectElement} */ list, /** @type {string} */ name) => Object.assign(list, { name });
  return ask(
    "New poll",
    { yes: "Create" },
    async (form) => {
      const asked = form.getAll("option").map((text) => String(text).trim());
      const answers = form.getAll("right").map(Number);
      await api("v1/admin/polls", {
        method: "POST",
        headers: { "Idempotency-Key": key },
        body: {
          question: String(form.get("question")).trim(),
          options: asked.filter(Boolean),
          choice: form.get("choice"),
          results: form.get("results"),
          closes_at: momentIn(form, "closes_at"),
          ...(answers.length && {
            answers: answers.map((at) => at - asked.slice(0, at).filter((text) => !text).length),
          }),
        },
      });
      tell("The poll is open.");
    },
    field("Question", el("input", { name: "question", required: true, maxlength: 300 })),
    el(
      "fieldset",
      { class: "plain" },
      el("legend", {}, "Options"),
      options,
      more,
      el("p", { class: "hint" }, "Mark what is right to make it a quiz: it is told when the poll has closed."),
    ),
    el(
      "div",
      { class: "pair" },
      field(
        "People choose",
        named(
          select("People choose", choices, "single", () => {}),
          "choice",
        ),
      ),
      field(
        "Results are shown",
        named(
          select("Results are shown", shown, "always", () => {}),
          "results",
        ),
      ),
    ),
    field("Closes", momentInput("closes_at", Date.now() / 1000 + 24 * HOUR_S)),
  );
}
