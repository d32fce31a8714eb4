/** Elements, made and found. */

/** @typedef {Node | string | null | undefined | false} Child */

/**
 * An element. `props`: `on…` are listeners, `class` its classes, `css` custom properties and styles, all else
 * attributes; true is an empty one, and false, null and undefined are none.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Record<string, any>} [props] @param {Child[]} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "css")
      for (const [style, set] of Object.entries(value)) made.style.setProperty(style, String(set));
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...present(children));
  return made;
}

/** @param {Child[]} children @returns {(Node | string)[]} */
const present = (children) => /** @type {(Node | string)[]} */ (children.filter((child) => child || child === ""));

/** Other children than before. @param {Element} parent @param {Child[]} children */
export function fill(parent, ...children) {
  parent.replaceChildren(...present(children));
}

/** Other text than before, if it is another. @param {Node} node @param {string} text */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * The first element for a selector. Throws an Error where there is none.
 * @template {HTMLElement} T
 * @param {ParentNode} root @param {string} selector @param {new () => T} Class
 * @returns {T}
 */
export function find(root, selector, Class) {
  const element = root.querySelector(selector);
  if (!(element instanceof Class)) throw new Error(`the page has no ${selector}`);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A line drawing in a box of 24 by 24, which says nothing to screen readers. @param {string} path */
export function icon(path) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "icon");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", path);
  svg.append(line);
  return svg;
}

/** Save a file that the page has made. @param {Blob} blob @param {string} name */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** A name for a file, of what somebody else named. @param {string[]} parts */
export const fileName = (...parts) =>
  parts
    .join("-")
    .replace(/[^\w.-]+/g, "-")
    .replace(/^[-.]+/, "")
    .slice(0, 100);
