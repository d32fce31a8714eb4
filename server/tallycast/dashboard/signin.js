/** Signing in with a key. */

import { api } from "./api.js";
import { el, fill, say } from "./dom.js";
import { field, words } from "./parts.js";

/** @typedef {import("./app.js").Session} Session */

/** Show the form until somebody has signed in. @param {HTMLElement} main @param {string} why it is asked for again @returns {Promise<Session>} */
export function signIn(main, why) {
  const key = el("input", {
    type: "password",
    name: "key",
    required: true,
    autocomplete: "current-password",
    spellcheck: "false",
    autocapitalize: "none",
    placeholder: "tk_…",
  });
  const fault = el("p", { class: "fault", role: "alert", hidden: !why }, why);
  const go = el("button", { class: "main" }, "Sign in");
  const form = el(
    "form",
    { class: "card signin", method: "post", action: "dashboard/session" },
    el("h1", {}, "Sign in"),
    el("p", { class: "note" }, "With a key that whoever runs this hub made for you."),
    field("Key", key, "It begins with tk_ and is shown once, when `tallycast key make` has made it."),
    fault,
    go,
  );
  fill(main, el("div", { class: "page" }, form));
  key.focus();
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      go.disabled = true;
      try {
        resolve(await api("dashboard/session", { method: "POST", body: { key: key.value }, quiet: true }));
      } catch (wrong) {
        fault.hidden = false;
        say(fault, words(wrong));
        key.select();
      } finally {
        go.disabled = false;
      }
    });
  });
}
