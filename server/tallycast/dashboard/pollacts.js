/** What may be done to a poll, and how its times are asked for. */

import { api } from "./api.js";
import { el } from "./dom.js";
import { ask, button, field, tell } from "./parts.js";

/** @typedef {import("./app.js").Context} Context */

/** @type {Record<string, string>} */
export const STATES = { upcoming: "Not yet open", open: "Open", closing: "Closing", closed: "Closed" };

/** A field for a moment of the person's own time. @param {string} name @param {number} at_s */
export function momentInput(name, at_s) {
  const local = new Date((at_s - new Date(at_s * 1000).getTimezoneOffset() * 60) * 1000).toISOString().slice(0, 16);
  return el("input", { type: "datetime-local", name, value: local, required: true });
}

/** What such a field holds, as Unix seconds. @param {FormData} form @param {string} name */
export const momentIn = (form, name) => Math.round(new Date(String(form.get(name))).getTime() / 1000);

/** @param {Context} context @param {any} poll @param {() => Promise<unknown>} done @returns {HTMLElement[]} */
export function pollActs({ can }, { id, state, closes_at }, done) {
  if (!can("write") || !["open", "upcoming"].includes(state)) return [];
  const path = `v1/admin/polls/${encodeURIComponent(id)}`;
  const extend = button(
    "Extend…",
    () =>
      ask(
        "When should it close?",
        { yes: "Set" },
        async (form) => {
          await api(path, { method: "PATCH", body: { closes_at: momentIn(form, "closes_at") } });
          await done();
          tell("The closing time is set.");
        },
        field("Closes", momentInput("closes_at", Math.max(closes_at, Date.now() / 1000) + 3600)),
      ),
    { class: "quiet small" },
  );
  const close = button(
    "Close now…",
    () =>
      ask(
        "Close the poll now?",
        { yes: "Close it", danger: true },
        async () => {
          await api(`${path}/close`, { method: "POST", body: {} });
          await done();
          tell("Closed: no more votes are taken.");
        },
        el("p", {}, "No more votes are taken, and it cannot be opened again."),
      ),
    { class: "quiet small" },
  );
  return [extend, close];
}
