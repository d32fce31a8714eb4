/** The demo page: two cards whose reactions are live. */

import { Live, delay_ms } from "./live.js";

/** @typedef {import("./tally.js").Kind} Kind */
/** @typedef {import("./tally.js").Kinds} Kinds */
/** @typedef {{button: HTMLButtonElement, count: HTMLElement, own: HTMLElement, shown: number | null}} Control */

const NOTE_MS = 6000;
const base = new URL("..", import.meta.url);
const compact = new Intl.NumberFormat("en", { notation: "compact" });
const full = new Intl.NumberFormat("en");
const still = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @param {ParentNode} root
 * @param {string} selector
 * @returns {HTMLElement}
 */
function find(root, selector) {
  const element = root.querySelector(selector);
  if (!(element instanceof HTMLElement)) throw new Error(`the page has no ${selector}`);
  return element;
}

/** @param {string} className @param {string} [text] */
function span(className, text = "") {
  const element = document.createElement("span");
  element.className = className;
  element.textContent = text;
  return element;
}

/** One card: a button for each kind of reaction, and a line that answers the person's own actions. */
class Card {
  /** @type {Map<string, Control>} */ #controls = new Map();
  #kinds;
  #root;
  #note;
  #timer = 0;
  /** @type {Live | undefined} */ #live;

  /** @param {HTMLElement} root @param {Kinds} kinds */
  constructor(root, kinds) {
    this.#root = root;
    this.#kinds = kinds;
    this.#note = find(root, ".note");
    const wanted = (root.dataset.kinds ?? "").split(" ").filter((name) => name in kinds);
    const bar = find(root, ".reactions");
    bar.replaceChildren();
    for (const name of wanted.length ? wanted : Object.keys(kinds)) {
      const kind = /** @type {Kind} */ (kinds[name]);
      const button = document.createElement("button");
      const count = span("count", "–");
      const own = span("own");
      const emoji = span("emoji", kind.emoji);
      emoji.ariaHidden = own.ariaHidden = "true";
      button.disabled = true;
      button.type = "button";
      button.className = "reaction";
      button.dataset.kind = name;
      button.append(emoji, count, span("label", kind.label), own);
      button.addEventListener("click", () => void this.#click(name, kind));
      bar.append(button);
      this.#controls.set(name, { button, count, own, shown: null });
    }
  }

  get item() {
    return this.#root.dataset.item ?? "";
  }

  /** @param {Live} live */
  attach(live) {
    this.#live = live;
  }

  /** Show the numbers that stand now, the person's own wishes among them. */
  show() {
    const tally = this.#live?.tally(this.item);
    if (!tally?.known) return;
    const { counts, mine } = tally.expected();
    for (const [name, control] of this.#controls) {
      const kind = /** @type {Kind} */ (this.#kinds[name]);
      this.#paint(control, kind, counts[name] ?? 0, mine[name] ?? 0);
    }
  }

  /** Say something about what the person did here. @param {string} text */
  say(text) {
    this.#note.textContent = text;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.#note.textContent = ""), NOTE_MS);
  }

  /** @param {Control} control @param {Kind} kind @param {number} count @param {number} mine */
  #paint(control, kind, count, mine) {
    const { button } = control;
    let name = `${kind.label}, ${full.format(count)}`;
    button.disabled = false;
    button.classList.toggle("mine", mine > 0);
    if (kind.rule === "toggle") button.ariaPressed = String(mine > 0);
    if (kind.rule === "amount" && mine > 0) name += `, ${mine} of ${kind.max} from you`;
    control.own.textContent = kind.rule === "amount" && mine > 0 ? `+${mine}` : "";
    button.ariaLabel = name;
    if (control.shown === count) return;
    control.count.textContent = compact.format(count);
    control.count.title = full.format(count);
    if (control.shown !== null && !still.matches && !control.count.getAnimations().length) {
      const from = { transform: `translateY(${control.shown < count ? 4 : -4}px)`, opacity: 0.4 };
      control.count.animate([from, { transform: "none", opacity: 1 }], { duration: 200, easing: "ease-out" });
    }
    control.shown = count;
  }

  /** @param {string} name @param {Kind} kind */
  async #click(name, kind) {
    const live = /** @type {Live} */ (this.#live);
    const mine = live.tally(this.item).expected().mine[name] ?? 0;
    if (kind.rule === "toggle") live.react(this.item, name, mine ? 0 : 1);
    else if (kind.rule === "event") {
      if (name === "share" && !(await this.#share())) return;
      live.react(this.item, name);
    } else if (kind.max !== undefined && mine >= kind.max) {
      return this.say(`That is all: ${kind.max} from one person.`);
    } else live.react(this.item, name, mine + 1);
    if (live.state !== "live") this.say("The hub is away. Yours is kept, and goes out when it is back.");
  }

  /** Hand the card's address on, by the system's own way of sharing or else the clipboard. False: it was called off. */
  async #share() {
    const url = new URL(`#${this.#root.id}`, base).href;
    const title = find(this.#root, "h2").textContent ?? document.title;
    try {
      if (navigator.share) {
        await navigator.share({ title, url });
        this.say("Shared.");
      } else {
        await navigator.clipboard.writeText(url);
        this.say("Link copied.");
      }
    } catch (error) {
      if (error instanceof DOMException && error.name === "AbortError") return false;
      this.say(`The link to share: ${url}`); // no clipboard without TLS or permission
    }
    return true;
  }
}

/** The kinds of this hub, however long it takes to get them. @returns {Promise<Kinds>} */
async function loadKinds() {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const answer = await fetch(new URL("v1/config", base));
      if (answer.ok) return (await answer.json()).kinds;
    } catch {
      // The hub is away; it is asked again.
    }
    await new Promise((resolve) => setTimeout(resolve, delay_ms(attempt)));
  }
}

/** The drawn film: night falls while it plays. */
function preparePoster() {
  const play = find(document, ".play");
  const film = find(document, ".film");
  play.addEventListener("click", () => {
    const playing = film.classList.toggle("playing");
    play.ariaLabel = playing ? "Stop the film" : "Play the film";
  });
}

const STATES = {
  connecting: "connecting…",
  live: "live",
  reconnecting: "reconnecting…",
  closed: "sign-in needed to view",
};

preparePoster();
const kinds = await loadKinds();
const cards = new Map(
  [...document.querySelectorAll("[data-item]")].map((root) => {
    const card = new Card(/** @type {HTMLElement} */ (root), kinds);
    return [card.item, card];
  }),
);
const line = find(document, ".state");
const live = new Live({
  base,
  kinds,
  items: [...cards.keys()],
  listener: {
    changed: (item) => cards.get(item)?.show(),
    refused: (item, reason) => cards.get(item)?.say(`Not counted: ${reason}`),
    state: (state) => {
      line.dataset.state = state;
      find(line, ".word").textContent = STATES[state];
    },
  },
});
for (const card of cards.values()) card.attach(live);
