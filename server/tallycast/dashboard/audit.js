/** Who did what. */

import { api } from "./api.js";
import { el, fill } from "./dom.js";
import { momentOf } from "./format.js";
import { button, card, nothing, table } from "./parts.js";

/** @typedef {import("./app.js").Context} Context */

/** @param {Context} context */
export async function page({ root, signal }) {
  const list = table("Audit log", ["When", "Who", "What", "About"], []);
  const more = button("Older", () => part.guard(load), { class: "quiet", hidden: true });
  const empty = nothing("Nobody has done anything yet.");
  empty.hidden = true;
  const part = card(
    "Acts",
    { class: "list sole", note: "Newest first" },
    list.root,
    empty,
    el("div", { class: "row end" }, more),
  );
  fill(root, el("div", { class: "head" }, el("h1", {}, "Audit log")), part.root);

  let before = "";
  const load = async () => {
    const { entries, cursor } = await api("v1/admin/audit", {
      query: { before: before || undefined, limit: 50 },
      signal,
    });
    before = cursor;
    more.hidden = !cursor;
    list.body.append(...entries.map(row));
    empty.hidden = list.body.children.length > 0;
  };
  await part.guard(load);
}

/** @param {any} entry */
const row = ({ at, who, act, about }) =>
  el(
    "tr",
    {},
    el("td", {}, el("time", { datetime: new Date(at * 1000).toISOString() }, momentOf(at))),
    el("td", {}, who),
    el("th", { scope: "row" }, el("code", {}, act)),
    el(
      "td",
      {},
      ...Object.entries(about ?? {}).flatMap(([name, value]) => [
        el(
          "span",
          { class: "pair-word" },
          `${name} `,
          el("code", {}, typeof value === "string" ? value : JSON.stringify(value)),
        ),
        " ",
      ]),
    ),
  );
