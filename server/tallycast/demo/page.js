/** What the gallery, the wall and the overlay have in common: the hub, its state, its kinds, and things that float up. */

import { connect } from "../client/widget.js";

/** @typedef {import("../client/tallycast.js").Kind} Kind */
/** @typedef {import("../client/tallycast.js").Status} Status */

const FLOAT_MS = 2600;
const MOST_FLOATS = 40;
const AGAIN_MS = 2000;
const WORDS = { connecting: "connecting…", live: "live", waiting: "reconnecting…", offline: "offline", closed: "closed" };
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** The same connection as that of the elements on the page. */
export const hub = connect(new URL("..", import.meta.url));

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

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {string} className @param {(Node | string)[]} children
 */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  element.className = className;
  element.append(...children);
  return element;
}

/** Show how the connection is, in `line` and as the root's `data-state`. @param {HTMLElement} line */
export function showStatus(line) {
  let been = false;
  let said = "";
  const show = () => {
    const { status } = hub;
    been ||= status === "live";
    const state = been && status === "connecting" ? "waiting" : status;
    if (status === "live") said = "";
    document.documentElement.dataset.state = state;
    line.textContent = said || WORDS[state];
  };
  hub.on("status", show);
  hub.on("error", ({ code }) => {
    if (code !== "unauthenticated") return;
    said = "sign-in needed to view";
    show();
  });
  show();
}

/** The kinds of the hub, however long it takes to get them. @returns {Promise<Record<string, Kind>>} */
export async function kindsOfHub() {
  for (;;) {
    const kinds = await hub.kinds;
    if (Object.keys(kinds).length) return kinds;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
  }
}

/** Let an emoji rise in `stage` and fade; only fade for who does not like motion. @param {HTMLElement} stage @param {string} emoji */
export function float(stage, emoji) {
  if (document.hidden || document.getElementsByClassName("float").length >= MOST_FLOATS) return;
  const floating = make("span", "float", emoji);
  floating.ariaHidden = "true";
  floating.style.setProperty("left", `${8 + Math.random() * 80}%`);
  stage.append(floating);
  const sway = `${Math.round(Math.random() * 60 - 30)}px`;
  const risen = still.matches ? "none" : `translate(${sway}, calc(var(--rise, 12rem) * -1)) scale(1.15)`;
  const frames = [
    { opacity: 0, transform: "scale(0.6)" },
    { opacity: 1, transform: "none", offset: 0.12 },
    { opacity: 0, transform: risen },
  ];
  if (still.matches) for (const frame of frames) frame.transform = "none";
  floating.animate(frames, { duration: FLOAT_MS, easing: "ease-out" }).onfinish = () => floating.remove();
}
