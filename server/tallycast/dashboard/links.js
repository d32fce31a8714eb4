/** Share links: read-only views for people without a key, listed, made and revoked. */

import { api, BASE } from "./api.js";
import { el, fill } from "./dom.js";
import { ago, momentOf } from "./format.js";
import { ask, button, card, copyable, field, nothing, select, table, tell } from "./parts.js";

/** @typedef {import("./app.js").Context} Context */

const DAY_S = 86_400;
/** @type {[string, string][]} */ const ENDS = [
  [`${DAY_S}`, "1 day"],
  [`${7 * DAY_S}`, "7 days"],
  [`${30 * DAY_S}`, "30 days"],
  [`${365 * DAY_S}`, "1 year"],
];
/** @type {[string, string][]} */ const PAGES = [
  ["#/wall", "Live wall"],
  ["#/wall?screen=wall", "Live wall on a big screen"],
  ["#/items", "Items"],
  ["#/polls", "Polls"],
];

/** @param {Context} context */
export async function page({ root, query, session, signal, keep }) {
  const list = table("Links", ["Name", "Shows", "Made by", "Ends", { name: "Act", unseen: true }], []);
  const part = card("Links", { class: "list sole" }, list.root);
  const none = nothing(
    "No share links yet.",
    el("p", {}, "Who has one sees what you see, live, and can change nothing. You can revoke it whenever you like."),
  );
  none.hidden = true;
  const fresh = el("div", { class: "stack" });
  const make = button("New link…", () => create(), { class: "main" });
  fill(
    root,
    el("div", { class: "head" }, el("h1", {}, "Share links"), el("div", { class: "row tools" }, make)),
    fresh,
    part.root,
    none,
  );

  const { again, first } = keep(30, part, async () => {
    const { links } = await api("v1/admin/links", { signal });
    none.hidden = links.length > 0;
    part.root.hidden = !links.length;
    fill(list.body, ...links.map(row));
  });

  /** @param {any} link */
  const row = ({ id, name, prefix, page, by, expires_at }) => {
    const revoke = () =>
      ask(`Revoke ${name}?`, { yes: "Revoke", danger: true }, async () => {
        await api(`v1/admin/links/${encodeURIComponent(id)}`, { method: "DELETE" });
        fresh.replaceChildren();
        await again();
        tell("Revoked: whoever has it sees nothing any more.");
      });
    const shown = PAGES.find(([value]) => value === page)?.[1] ?? page;
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, name),
      el("td", {}, shown, prefix ? el("span", {}, ", of ", el("code", {}, `${prefix}…`)) : ", of all items"),
      el("td", {}, by),
      el(
        "td",
        {},
        el(
          "time",
          { datetime: new Date(expires_at * 1000).toISOString(), title: momentOf(expires_at) },
          ago(expires_at),
        ),
      ),
      el("td", { class: "number" }, button("Revoke…", revoke, { class: "quiet small" })),
    );
  };

  const create = () => {
    const named = (/** @type {HTMLSelectElement} */ list, /** @type {string} */ name) => Object.assign(list, { name });
    const asked = query.get("page");
    /** @type {[string, string][]} */ const pages = asked ? [[asked, asked], ...PAGES] : PAGES;
    return ask(
      "New share link",
      { yes: "Make the link" },
      async (form) => {
        const text = (/** @type {string} */ name) => String(form.get(name)).trim();
        const made = await api("v1/admin/links", {
          method: "POST",
          body: { name: text("name"), prefix: text("prefix"), page: text("page"), ttl_s: Number(form.get("ttl_s")) },
        });
        const url = new URL(`dashboard#link=${made.token}`, BASE).href;
        fill(
          fresh,
          card(
            `The link for ${made.name}`,
            { note: "It is shown this once: copy it now." },
            copyable(`Link for ${made.name}`, url),
          ).root,
        );
        await again();
      },
      field(
        "Name",
        el("input", { name: "name", required: true, maxlength: 80, placeholder: "Newsroom screen" }),
        "For whom it is, so that you know which to revoke.",
      ),
      field(
        "Page",
        named(
          select("Page", pages, pages[0]?.[0] ?? "", () => {}),
          "page",
        ),
      ),
      field(
        "Items that begin with",
        el("input", {
          name: "prefix",
          value: session.prefix,
          maxlength: 200,
          spellcheck: "false",
          autocapitalize: "none",
          placeholder: "all items",
        }),
      ),
      field(
        "Good for",
        named(
          select("Good for", ENDS, `${30 * DAY_S}`, () => {}),
          "ttl_s",
        ),
      ),
    );
  };
  await first;
  if (query.get("page")) create();
}
