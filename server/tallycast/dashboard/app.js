/** The dashboard: who is signed in, which page is shown, and how the connection is. */

import { api, Problem, SIGNED_OUT } from "./api.js";
import { el, fill, find, icon, say } from "./dom.js";
import { Live } from "./live.js";
import { attempt, button, nothing, words } from "./parts.js";
import { signIn } from "./signin.js";
import { isDark, onColours, turn } from "./theme.js";

/** @typedef {"read" | "write" | "moderate" | "keys"} Right */
/**
 * @typedef {object} Session
 * @property {string} name @property {string} key @property {Right[]} rights @property {string} prefix
 * @property {number} expires_at Unix seconds @property {boolean} read_only @property {"anyone" | "token"} viewing
 */
/**
 * @typedef {object} Context What a page has.
 * @property {HTMLElement} root
 * @property {string} rest what its address says after its name: an item
 * @property {URLSearchParams} query
 * @property {AbortSignal} signal it is left
 * @property {Session} session
 * @property {Live} live
 * @property {(right: Right) => boolean} can
 * @property {(changes: Record<string, string | undefined>) => void} turn show the page with another query
 * @property {(every_s: number, part: {fault: (text: string) => void}, act: () => Promise<unknown>) => Kept} keep do
 *   something now and again and again
 */
/** @typedef {{again: () => Promise<void>, first: Promise<void>}} Kept To do it once more, and when it was first done. */
/** @typedef {(context: Context) => void | Promise<void>} Page Shown once it is done. */
/** @typedef {{name: string, title: string, path: string, load: () => Promise<{page: Page}>, right?: Right, whole?: boolean, own?: boolean}} Entry */

const STATES = {
  connecting: "Connecting…",
  live: "Live",
  waiting: "Reconnecting…",
  offline: "Offline",
  closed: "Closed",
};
/** @type {Entry[]} `whole`: for keys of the whole site; `own`: not for share links */
const PAGES = [
  { name: "wall", title: "Live", path: "M3 12h4l3 8 4-16 3 8h4", load: () => import("./wall.js") },
  { name: "items", title: "Items", path: "M4 6h16M4 12h16M4 18h10", load: () => import("./items.js") },
  {
    name: "compare",
    title: "Compare",
    path: "M4 19l5-7 4 4 7-11M4 12l5 3 5-6 6 4",
    load: () => import("./compare.js"),
  },
  { name: "polls", title: "Polls", path: "M5 20v-9M12 20V4M19 20v-6", load: () => import("./polls.js") },
  {
    name: "bursts",
    title: "Bursts",
    path: "M12 3v6M12 15v6M3 12h6M15 12h6M6 6l3 3M15 15l3 3M18 6l-3 3M9 15l-3 3",
    load: () => import("./bursts.js"),
  },
  {
    name: "alerts",
    title: "Alerts",
    path: "M6 17h12l-1.5-2v-5a4.5 4.5 0 0 0-9 0v5zM10 20h4",
    load: () => import("./alerts.js"),
    own: true,
  },
  {
    name: "links",
    title: "Share",
    path: "M10 14l4-4M8 11l-2 2a3.5 3.5 0 0 0 5 5l2-2M16 13l2-2a3.5 3.5 0 0 0-5-5l-2 2",
    load: () => import("./links.js"),
    right: "keys",
    own: true,
  },
  {
    name: "audit",
    title: "Audit log",
    path: "M12 7v5l3 2M12 3a9 9 0 1 0 9 9 9 9 0 0 0-9-9z",
    load: () => import("./audit.js"),
    right: "moderate",
    whole: true,
    own: true,
  },
];
const MORE = "M5 12h.01M12 12h.01M19 12h.01";
const IN_BAR = 4; // of a phone
const RETRY_S = 5;
const LINK = /^#link=([\w-]+)$/;

const main = find(document, "main", HTMLElement);
const menu = find(document, ".menu", HTMLElement);
const state = find(document, ".state", HTMLElement);
/** @type {Session | undefined} */ let session;
/** @type {Live | undefined} */ let live;
let leave = new AbortController();

const can = (/** @type {Right} */ right) => session?.rights.includes(right) ?? false;
/** @param {Entry} entry */
const mine = ({ right, whole, own }) =>
  (!right || can(right)) && !(whole && session?.prefix) && !(own && session?.read_only);

/** The address: `#/items/post:1?range=day`. */
function where() {
  const [path = "", query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [name = "", ...rest] = path.split("/");
  return { name: name || "wall", rest: rest.join("/"), query: new URLSearchParams(query) };
}

/** Without the menu and as large as it gets, where the address says so. */
const showScreen = () => document.documentElement.classList.toggle("screen", where().query.get("screen") === "wall");

/** How a control is called, so that the one that was at work is found on the page that follows. @param {Element} control */
const nameOf = (control) =>
  `${control.ariaLabel ?? (control.closest("fieldset") ?? control).textContent}=${control.getAttribute("value")}`;

/** Show the page that the address names. @param {{stay?: boolean}} [how] it is the page that is shown, with another query */
async function show({ stay = false } = {}) {
  leave.abort();
  const { signal } = (leave = new AbortController());
  if (!session || !live) return;
  const { name, rest, query } = where();
  const entry = PAGES.find((each) => each.name === name && mine(each));
  const at = stay && document.activeElement ? nameOf(document.activeElement) : "";
  const root = el("div", { class: `page ${name === "items" && rest ? "item" : name}`, hidden: true });
  showScreen();
  main.append(root); // the page before stays until this one is there: nothing moves
  /** @type {Context["turn"]} */
  const turned = (changes) => {
    const next = new URLSearchParams(query);
    for (const [key, value] of Object.entries(changes)) {
      if (value) next.set(key, value);
      else next.delete(key);
    }
    const path = `#/${name}${rest && `/${rest}`}`;
    history.replaceState(null, "", path + (next.size ? `?${next}` : ""));
    show({ stay: true });
  };
  try {
    if (entry) {
      const { page } = await (name === "items" && rest ? import("./item.js") : entry.load());
      await page({ root, rest, query, signal, session, live, can, turn: turned, keep: keeper(signal) });
    } else if (name === "more") fill(root, ...more());
    else fill(root, nothing("There is no such page.", el("a", { href: "#/wall" }, "Go to the live wall")));
  } catch (fault) {
    if (signal.aborted) return;
    if (!(fault instanceof Problem)) throw fault;
    fill(
      root,
      nothing(
        "This page cannot be shown now.",
        el("p", {}, words(fault)),
        button("Try again", () => show()),
      ),
    );
  }
  if (signal.aborted) return root.remove();
  document.body.dataset.page = name;
  document.title = `${rest || entry?.title || (name === "more" ? "More" : "Nothing here")} · Tallycast`;
  mark(name);
  root.hidden = false;
  main.replaceChildren(root);
  if (!stay) return scrollTo(0, 0);
  for (const control of root.querySelectorAll("input, select, button")) {
    if (control instanceof HTMLElement && nameOf(control) === at) return control.focus({ preventScroll: true });
  }
}

/** @param {AbortSignal} signal @returns {Context["keep"]} */
function keeper(signal) {
  return (every_s, part, act) => {
    let timer = 0;
    let last_ms = 0;
    const again = async () => {
      let wait_s = every_s;
      clearTimeout(timer);
      last_ms = Date.now();
      try {
        await act();
        if (!signal.aborted) part.fault("");
      } catch (fault) {
        if (signal.aborted) return;
        // That the hub is away is said once, at the top, and what the page has stays.
        const away = fault instanceof Problem && fault.code === "unreachable" && live?.hub.status !== "live";
        part.fault(away ? "" : words(fault));
        wait_s = Math.min(every_s, RETRY_S);
      }
      clearTimeout(timer);
      if (!signal.aborted && !document.hidden) timer = setTimeout(again, wait_s * 1000);
    };
    const look = () => {
      if (!document.hidden && Date.now() - last_ms >= every_s * 1000) again();
    };
    document.addEventListener("visibilitychange", look, { signal });
    signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
    return { again, first: again() };
  };
}

/** @param {string} name */
function mark(name) {
  for (const link of menu.querySelectorAll("a")) {
    const { page } = link.dataset;
    const inMore = page === "more" && !menu.querySelector(`.first a[data-page="${name}"]`);
    if (page === name || inMore) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

/** @param {{name: string, title: string, path: string}} entry */
const link = ({ name, title, path }) =>
  el("a", { href: `#/${name}`, "data-page": name }, icon(path), el("span", {}, title));

const signOut = () =>
  attempt(async () => {
    await api("dashboard/session", { method: "DELETE", quiet: true });
    end("");
  });

function account() {
  const theme = button("", turn, { class: "quiet" });
  const name = () => say(theme, isDark() ? "Light theme" : "Dark theme");
  name();
  onColours(name);
  const who = el(
    "p",
    { class: "who" },
    el("b", {}, session?.name ?? ""),
    el("span", {}, session?.read_only ? "May look" : (session?.rights.join(", ") ?? "")),
    session?.prefix ? el("code", {}, `${session.prefix}…`) : null,
  );
  return el("div", { class: "account" }, who, theme, button("Sign out", signOut, { class: "quiet" }));
}

/** What a phone's bar has no room for. */
const more = () => [
  el("h1", {}, "More"),
  el(
    "ul",
    { class: "more" },
    ...PAGES.filter(mine)
      .slice(IN_BAR)
      .map((entry) => el("li", {}, link(entry))),
  ),
  account(),
];

function showMenu() {
  const pages = PAGES.filter(mine);
  const rest = pages.slice(IN_BAR);
  const item = (/** @type {HTMLElement} */ child, /** @type {string} */ names = "") =>
    el("li", { class: names }, child);
  const bar = pages.slice(0, IN_BAR).map((entry) => item(link(entry)));
  fill(
    menu,
    el("ul", { class: "first" }, ...bar, item(link({ name: "more", title: "More", path: MORE }), "narrow")),
    el("ul", { class: "rest" }, ...rest.map((entry) => item(link(entry)))),
    account(),
  );
  menu.hidden = false;
}

/** Somebody is signed in. @param {Session} who */
async function begin(who) {
  session = who;
  live = new Live(who.viewing);
  const { hub } = live;
  const showState = () => {
    state.dataset.state = hub.status;
    say(find(state, ".word", HTMLElement), STATES[hub.status]);
  };
  hub.on("status", showState);
  showState();
  document.body.classList.add("in");
  showMenu();
  await live.learnKinds();
  await show();
}

/** Nobody is signed in, or no more. @param {string} why */
async function end(why) {
  leave.abort();
  live?.hub.close();
  live = session = undefined;
  menu.hidden = true;
  delete state.dataset.state;
  document.body.classList.remove("in");
  document.title = "Sign in · Tallycast";
  await begin(await signIn(main, why));
}

/** Follow a share link: its token stands after the `#`, which no server and no log sees. @param {string} token */
async function follow(token) {
  history.replaceState(null, "", location.pathname);
  const { page, ...who } = await api("dashboard/session", { method: "POST", body: { link: token }, quiet: true });
  history.replaceState(null, "", page);
  await begin(who);
}

async function start() {
  showScreen();
  const token = LINK.exec(location.hash)?.[1];
  try {
    if (token) return await follow(token);
    const who = await api("dashboard/session", { quiet: true });
    await (who ? begin(who) : end(""));
  } catch (fault) {
    if (!(fault instanceof Problem)) throw fault;
    await end(fault.message);
  }
}

addEventListener(SIGNED_OUT, (event) => {
  if (session) end(/** @type {CustomEvent<string>} */ (event).detail);
});
addEventListener("hashchange", () => {
  if (location.hash === "#main") return; // the skip link
  if (LINK.test(location.hash)) return location.reload();
  show().then(() => main.focus({ preventScroll: true }));
});
await start();
