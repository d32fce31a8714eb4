/** Light or dark: the reader's system's, or what they chose here. */

const KEPT = "tallycast dashboard theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
const root = document.documentElement;
const probe = document.body.appendChild(document.createElement("span"));
probe.hidden = true;
/** @type {Map<string, string>} */ const known = new Map();
/** @type {Set<() => void>} */ const listeners = new Set();

const chosen = () => {
  try {
    return localStorage.getItem(KEPT) ?? "";
  } catch {
    return ""; // blocked: the system's
  }
};

export const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);

/** Be told when the colours have changed. @param {() => void} listener */
export const onColours = (listener) => listeners.add(listener);

/** What a custom property's colour is now, for a canvas. @param {string} name */
export function colour(name) {
  let found = known.get(name);
  if (found === undefined) {
    probe.style.color = `var(${name})`;
    known.set(name, (found = getComputedStyle(probe).color));
  }
  return found;
}

function changed() {
  known.clear();
  for (const listener of listeners) listener();
}

/** Show the other theme, from now on. */
export function turn() {
  root.dataset.theme = isDark() ? "light" : "dark";
  try {
    if ((root.dataset.theme === "dark") === dark.matches) localStorage.removeItem(KEPT);
    else localStorage.setItem(KEPT, root.dataset.theme);
  } catch {
    // Blocked: it lasts as long as the page.
  }
  changed();
}

if (/^(light|dark)$/.test(chosen())) root.dataset.theme = chosen();
dark.addEventListener("change", changed);
