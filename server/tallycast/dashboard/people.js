/** Who said most of an item, and bursts on it: whom to stop. */

import { api, ofItem } from "./api.js";
import { el, fill } from "./dom.js";
import { number } from "./format.js";
import { ask, button, card, nothing, table, tell } from "./parts.js";
import { burstRow, COLUMNS } from "./bursts.js";

/** @typedef {import("./app.js").Context} Context */
/** @typedef {{actor: string, values: Record<string, number>, banned: boolean}} Person */

const LOOK_AT = 2000;
const SHOWN = 10;

/** @param {Context} context @param {string} item */
export function people(context, item) {
  const { live, signal, session, keep } = context;
  const list = table(
    "Who said most",
    ["Who", { name: "Said" }, { name: "In all", number: true }, { name: "Act", unseen: true }],
    [],
  );
  const note = el("p", { class: "note" });
  const who = card("Who said most", { class: "people" }, list.root, note);
  const bursts = table("Bursts on it", COLUMNS, []);
  const burstPart = card("Bursts on it", { class: "people" }, bursts.root);
  burstPart.root.hidden = true;

  const find = async () => {
    /** @type {Person[]} */ let found = [];
    let cursor = "";
    do {
      const page = await api(ofItem(item, "values"), { query: { cursor: cursor || undefined, limit: 500 }, signal });
      found = found.concat(page.values);
      cursor = page.cursor;
    } while (cursor && found.length < LOOK_AT);
    const all = (/** @type {Person} */ { values }) => Object.values(values).reduce((sum, value) => sum + value, 0);
    const named = found.filter(({ actor }) => !actor.startsWith("~"));
    const most = named.sort((a, b) => all(b) - all(a)).slice(0, SHOWN);
    const rows = most.map((person) => {
      const said = Object.entries(person.values).map(
        ([kind, value]) => `${live.label(kind)}${value > 1 ? ` × ${number(value)}` : ""}`,
      );
      return el(
        "tr",
        {},
        el(
          "th",
          { scope: "row" },
          el("code", {}, person.actor),
          person.banned && el("span", { class: "badge bad" }, "Banned"),
        ),
        el("td", {}, said.join(", ")),
        el("td", { class: "number" }, number(all(person))),
        el("td", { class: "number" }, !session.prefix && ban(person)),
      );
    });
    if (list.body.contains(document.activeElement)) return; // somebody is at one of its buttons
    if (rows.length) fill(list.body, ...rows);
    else fill(list.body, el("tr", {}, el("td", { colspan: 4 }, nothing("Nobody has said anything of it yet."))));
    note.textContent = cursor ? `Of the first ${number(found.length)} who said something.` : "";
  };
  const { again } = keep(60, who, find);

  /** @param {Person} person */
  const ban = ({ actor, banned }) => {
    const path = `v1/admin/actors/${encodeURIComponent(actor)}/ban`;
    if (banned)
      return button(
        "Allow again",
        () =>
          ask(`Let ${actor} react again?`, { yes: "Allow" }, async () => {
            await api(path, { method: "DELETE" });
            await again();
            tell("They may react again.");
          }),
        { class: "quiet small" },
      );
    return button(
      "Ban…",
      () =>
        ask(
          `Ban ${actor}?`,
          { yes: "Ban", danger: true },
          async () => {
            await api(path, { method: "PUT", body: { reason: `from the page of ${item}` } });
            await again();
            tell("Banned: they react nowhere on this site any more.");
          },
          el("p", {}, "They may react to nothing on this site any more. What they said until now stays."),
        ),
      { class: "quiet small" },
    );
  };

  const { again: readBursts } = keep(5, burstPart, async () => {
    const found = (await api("v1/admin/bursts", { query: { item, limit: 20 }, signal })).bursts;
    burstPart.root.hidden = !found.length;
    if (bursts.body.contains(document.activeElement)) return;
    fill(bursts.body, ...found.map((/** @type {any} */ burst) => burstRow(context, burst, () => readBursts())));
  });
  return el("div", { class: "stack" }, who.root, burstPart.root);
}
