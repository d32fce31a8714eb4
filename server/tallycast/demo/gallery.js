/** The gallery: how the connection is, and snippets that can be taken along. The examples run by themselves. */

import "./film.js";
import { find, showStatus } from "./page.js";

const COPIED_MS = 2000;
const base = new URL("..", import.meta.url).href;

/** Take an example along: its text is what runs here, with the hub's whole address. @param {HTMLElement} snippet */
function prepare(snippet) {
  const code = find(snippet, "code", HTMLElement);
  const button = find(snippet, "button", HTMLButtonElement);
  code.textContent = (code.textContent ?? "")
    .replace(/"(\.\.\/)?client\//g, `"${base}client/`)
    .replace(/^demo\//gm, `${base}demo/`)
    .replace('new URL("..", import.meta.url)', `"${base}"`);
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(code.textContent ?? "");
      said.textContent = button.textContent = "Copied";
    } catch {
      getSelection()?.selectAllChildren(code); // no clipboard without TLS or permission
      said.textContent = button.textContent = "Selected";
    }
    setTimeout(() => (said.textContent = ""), COPIED_MS);
    setTimeout(() => (button.textContent = "Copy"), COPIED_MS);
  });
}

const said = find(document, "#said", HTMLElement);
showStatus(find(document, ".state .word", HTMLElement));
for (const snippet of document.querySelectorAll(".snippet")) prepare(/** @type {HTMLElement} */ (snippet));
