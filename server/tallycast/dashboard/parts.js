/** What pages are made of: cards, lists, fields, questions to the person, words on what was done. */

import { Problem } from "./api.js";
import { el, fill, icon, say } from "./dom.js";

/** @typedef {import("./dom.js").Child} Child */

let ids = 0;
const newId = () => `d${++ids}`;

/**
 * A part of a page, with a heading and a line that says what went wrong.
 * @param {string} title @param {{class?: string, tools?: Child[], note?: string}} [how] @param {Child[]} children
 */
export function card(title, { class: names = "", tools = [], note } = {}, ...children) {
  const id = newId();
  const fault = el("p", { class: "fault", role: "status", hidden: true });
  const head = el("header", {}, el("h2", { id }, title), note && el("p", { class: "note" }, note), ...tools);
  const root = el("section", { class: `card ${names}`, "aria-labelledby": id }, head, ...children, fault);
  const part = {
    root,
    /** @param {string} text "" for nothing */
    fault(text) {
      fault.hidden = !text;
      say(fault, text);
    },
    /** Do something, and say what went wrong. @param {() => Promise<unknown>} act */
    async guard(act) {
      try {
        await act();
        part.fault("");
      } catch (wrong) {
        part.fault(words(wrong));
      }
    },
  };
  return part;
}

/** @param {string} text @param {(event: Event) => void} onclick @param {Record<string, any>} [props] */
export const button = (text, onclick, props = {}) => el("button", { type: "button", onclick, ...props }, text);

/**
 * A choice among a few, as buttons side by side.
 * @param {string} label @param {[value: string, text: string][]} options @param {string} chosen
 * @param {(value: string) => void} choose
 */
export function choice(label, options, chosen, choose) {
  const name = newId();
  const radios = options.map(([value, text]) =>
    el(
      "label",
      {},
      el("input", { type: "radio", name, value, checked: value === chosen, onchange: () => choose(value) }),
      el("span", {}, text),
    ),
  );
  return el("fieldset", { class: "choice" }, el("legend", { class: "unseen" }, label), ...radios);
}

/**
 * A choice among many. @param {string} label @param {[value: string, text: string][]} options @param {string} chosen
 * @param {(value: string) => void} choose
 */
export function select(label, options, chosen, choose) {
  const list = options.map(([value, text]) => el("option", { value, selected: value === chosen }, text));
  const made = el("select", { "aria-label": label, onchange: () => choose(made.value) }, ...list);
  return made;
}

/** A field with its label, and a hint below it. @param {string} label @param {HTMLElement} input @param {string} [hint] */
export function field(label, input, hint) {
  input.id ||= newId();
  const id = `${input.id}-hint`;
  if (hint) input.setAttribute("aria-describedby", id);
  return el(
    "div",
    { class: "field" },
    el("label", { for: input.id }, label),
    input,
    hint && el("p", { id, class: "hint" }, hint),
  );
}

/** What stands where a list has nothing. @param {string} title @param {Child[]} more */
export const nothing = (title, ...more) => el("div", { class: "nothing" }, el("p", {}, el("b", {}, title)), ...more);

/**
 * A table that does not make the page wider than it is.
 * @param {string} label @param {(string | {name: string, number?: boolean, unseen?: boolean})[]} columns @param {HTMLElement[]} rows
 */
export function table(label, columns, rows) {
  const heads = columns.map((column) => {
    const { name, number, unseen } =
      typeof column === "string" ? { name: column, number: false, unseen: false } : column;
    return el(
      "th",
      { scope: "col", class: number ? "number" : null },
      el("span", { class: unseen ? "unseen" : null }, name),
    );
  });
  const body = el("tbody", {}, ...rows);
  const made = el("table", {}, el("thead", {}, el("tr", {}, ...heads)), body);
  return {
    root: el("div", { class: "scroll", role: "region", "aria-label": `Table: ${label}`, tabindex: 0 }, made),
    body,
  };
}

/** The line for words on what was done, read out as they come. */
const toasts = el("div", { class: "toasts", role: "status", "aria-live": "polite" });
document.body.append(toasts);

/** Tell what was done, or was not. @param {string} text @param {boolean} [bad] */
export function tell(text, bad = false) {
  const toast = el("p", { class: bad ? "bad" : null }, text);
  toasts.replaceChildren(toast);
  setTimeout(() => toast.remove(), bad ? 9000 : 5000);
}

/** Do something, and tell if it was not done. @param {() => Promise<unknown>} act @returns {Promise<boolean>} done */
export async function attempt(act) {
  try {
    await act();
    return true;
  } catch (fault) {
    tell(words(fault), true);
    return false;
  }
}

/** What to say of a fault. @param {unknown} fault */
export function words(fault) {
  if (!(fault instanceof Problem)) throw fault;
  return fault.retry_after_s ? `${fault.message} Try again in ${Math.ceil(fault.retry_after_s)} s.` : fault.message;
}

/**
 * Ask the person, in a dialog. `act` is done when they agree; where it fails the dialog says why and stays.
 * @param {string} title @param {{yes: string, danger?: boolean}} how @param {(form: FormData) => Promise<unknown>} act
 * @param {Child[]} body
 * @returns {Promise<boolean>} whether it was done
 */
export function ask(title, { yes, danger = false }, act, ...body) {
  const id = newId();
  const fault = el("p", { class: "fault", role: "alert", hidden: true });
  const go = el("button", { class: danger ? "danger" : "main" }, yes);
  const cancel = button("Cancel", () => dialog.close());
  let done = false;
  const form = el(
    "form",
    { method: "dialog" },
    el("h2", { id }, title),
    ...body,
    fault,
    el("div", { class: "row end" }, cancel, go),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    go.disabled = true;
    try {
      await act(new FormData(form));
      done = true;
      dialog.close();
    } catch (wrong) {
      fault.hidden = false;
      say(fault, words(wrong));
    } finally {
      go.disabled = false;
    }
  });
  const dialog = el("dialog", { "aria-labelledby": id }, form);
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
  });
}

/** The way to a share link for the page that is shown. */
export const shareThis = () =>
  el(
    "a",
    { class: "button quiet wide", href: `#/links?page=${encodeURIComponent(location.hash || "#/wall")}` },
    "Share",
  );

/** A text that can be copied. @param {string} label @param {string} text */
export function copyable(label, text) {
  const input = el("input", { readonly: true, value: text, "aria-label": label, onfocus: () => input.select() });
  const copy = async () => {
    input.select();
    try {
      await navigator.clipboard.writeText(text);
      tell("Copied.");
    } catch {
      tell("It is selected: copy it with the keyboard."); // pages without TLS have no clipboard
    }
  };
  return el("div", { class: "row copy" }, input, button("Copy", copy, { class: "quiet" }));
}

export { el, fill, icon, say };
