/**
 * Tallycast's elements: live reactions in any page. `<tally-reactions item="post:1" kinds="like,dislike,share">`,
 * `<tally-button>` for one kind, `<tally-count>` for a bare number. Attributes, parts, slots, events: docs/widget.md.
 */

import { connect } from "./tallycast.js";

/** @typedef {import("./tallycast.js").Hub} Hub */
/** @typedef {import("./tallycast.js").Kind} Kind */
/** @typedef {import("./tallycast.js").State} State */
/** @typedef {import("./tallycast.js").Token} Token */
/** @typedef {{code: string, message: string, item?: string | undefined}} Fault */
/**
 * @typedef {CustomEvent<{item: string, kind: string, value: number, counts: Record<string, number>,
 *   mine: Record<string, number>, own: boolean}>} TallyChange `tally:change`: another number is shown now. `value`: that
 *   number; `own`: by a click in this element
 */
/** @typedef {CustomEvent<Fault>} TallyError `tally:error`: a reaction was refused, or the hub cannot be had */
/**
 * @typedef {object} Control What shows one kind: a button, or a bare number.
 * @property {HTMLElement} root
 * @property {() => string} said what it is called now
 * @property {(value: number | undefined, mine?: number, own?: boolean) => boolean} show the number, or none yet, and what
 *   the person says of it, `own` by a click just now; whether the number is another
 */

/** What the elements say themselves, in English unless the page puts other words here. */
export const texts = { copied: "Link copied", refused: "Not counted" };

/** The hub that this file came from. */
const HOME = import.meta.url.replace(/(client\/(1\/)?)?[^/]*$/, "");
const FAST_MS = 700; // numbers that change more often than this do not roll, but send up floats
const REST_MS = 150; // nobody reads numbers that change more often: so long a drawn one stands
const FLOAT_MS = 1100;
const MOST_FLOATS = 3; // on the page
const still = matchMedia("(prefers-reduced-motion:reduce)");
let floats = 0;

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host{display:inline-block;position:relative;font-variant-numeric:tabular-nums;white-space:nowrap;--a:var(--tally-accent,light-dark(#4338ca,#b9bfff))}
:host([hidden]){display:none}
:host([theme=light]){color-scheme:light;color:#1f2328}
:host([theme=dark]){color-scheme:dark;color:#f0f2f5}
[part=group]{display:flex;flex-wrap:wrap;gap:var(--tally-gap,.5rem);min-height:var(--tally-size,44px)}
button{all:unset;box-sizing:border-box;position:relative;display:block;height:var(--tally-size,max(44px,2.75em));line-height:var(--tally-size,max(42px,2.75em - 2px));padding:0 .7em;border:1px solid var(--tally-border,color-mix(in srgb,currentColor 20%,transparent));border-radius:var(--tally-radius,99px);background:var(--tally-background,color-mix(in srgb,currentColor 5%,transparent));font-weight:600;cursor:pointer;touch-action:manipulation}
button:hover{background:color-mix(in srgb,currentColor 12%,transparent)}
button:focus-visible{outline:3px solid var(--tally-focus,var(--a));outline-offset:2px}
button:disabled{cursor:default;opacity:.6}
[part][aria-pressed=true],.seen{border-color:var(--a);background:var(--a);color:var(--tally-on-accent,light-dark(#fff,#17154a))}
[part=icon]{display:inline-block;position:relative;width:1.4em;font-size:1.15em;line-height:1.2;text-align:center;vertical-align:middle}
::slotted(*){display:block;width:1.2em;height:1.2em;margin:auto}
[part~=count]{display:inline-block;width:var(--tally-count-width,var(--w));line-height:1.5;text-align:center;direction:ltr}
button [part~=count]{contain:layout size;height:1.5em;vertical-align:middle}
i,b{display:inline-block;font:inherit;vertical-align:top}
i{overflow:clip}
b{position:relative}
b::before{content:attr(data-old);position:absolute;top:-100%}
b.down::before{top:100%}
[part=float]{position:absolute;inset:0;opacity:0;pointer-events:none}
[part=note]{position:absolute;bottom:calc(100% + .4rem);margin:0;clip-path:inset(50%)}
.seen{z-index:1;clip-path:none;width:max-content;max-width:min(20rem,80vw);padding:.5rem .75rem;border-radius:.6rem;font-size:.875rem;white-space:normal;overflow-wrap:anywhere}
@media(prefers-reduced-motion:no-preference){button{transition:background-color .15s,scale .15s}button:active{scale:.95}}
@media(forced-colors:active){[aria-pressed=true]{forced-color-adjust:none;background:Highlight;color:HighlightText}}
`);

/** How numbers are written in a language, and the room that every compact one has. */
class Format {
  /** @param {string} language */
  constructor(language) {
    this.full = new Intl.NumberFormat(language);
    this.compact = new Intl.NumberFormat(language, { notation: "compact" });
    this.width = Math.max(4, this.compact.format(123456).length) + 0.8 + "ch";
  }
}

/** @type {Record<string, Format>} by language */
const formats = {};

/** @param {string} language @returns {Format} */
function format(language) {
  try {
    return (formats[language] ??= new Format(language));
  } catch {
    return format(navigator.language); // what the page calls its language is none
  }
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {string} part @param {(Node | string)[]} children
 */
function make(tag, part, ...children) {
  const element = document.createElement(tag);
  element.setAttribute("part", part);
  element.append(...children);
  return element;
}

/**
 * Show `text` in place of what stands: what differs rolls, from below where the number has grown.
 * @param {HTMLElement} count @param {string} text @param {boolean} up
 */
function roll(count, text, up) {
  const old = count.textContent ?? "";
  let same = 0;
  // Sign by sign only where writing is one sign after the other.
  if (/^[\w.,]+$/.test(text) && old.length === text.length) while (old[same] === text[same]) same++;
  const rolling = make("b", "", text.slice(same));
  rolling.dataset.old = old.slice(same);
  rolling.className = up ? "" : "down";
  count.replaceChildren(text.slice(0, same), make("i", "", rolling));
  rolling.animate({ transform: [`translateY(${up ? "" : "-"}100%)`, "none"] }, { duration: 350, easing: "ease-out" });
}

/** Let the icon rise and fade. @param {HTMLElement} icon @param {Node} image */
function float(icon, image) {
  if (floats >= MOST_FLOATS || still.matches) return;
  floats++;
  const floating = make("span", "float", image.cloneNode(true));
  icon.append(floating);
  const transform = ["none", `translate(${Math.random() * 2 - 1}em,-3em)scale(1.3)`];
  floating.animate({ transform, opacity: [1, 0] }, { duration: FLOAT_MS, easing: "ease-out" });
  setTimeout(() => {
    floating.remove();
    floats--;
  }, FLOAT_MS);
}

/**
 * @param {string} name of the kind @param {Kind | undefined} kind where it is known @param {Format} format
 * @param {Node | null} image an icon of the page's own @param {() => void} [click] none for a bare number
 * @returns {Control}
 */
function control(name, kind, { compact, full, width }, image, click) {
  const { label = name, emoji = "", max, rule } = kind ?? {};
  const slot = make("slot", "", emoji);
  const icon = make("span", "icon", slot);
  const count = make("span", "count", "–");
  const root = click ? make("button", "button " + name, icon, count) : count;
  /** @type {number | undefined} */ let shown;
  let own = 0;
  let changed = -FAST_MS;
  const said = () => `${label}, ${shown === undefined ? "–" : full.format(shown)}` + (max && own ? `, ${own}/${max}` : "");
  let naming = 0;
  /** @param {unknown} [now] */
  const call = (now) => {
    naming = 0;
    if (now || !root.matches(":focus")) root.ariaLabel = root.title = said();
  };
  count.style.setProperty("--w", width);
  slot.name = name;
  root.role = click ? "button" : "img";
  root.toggleAttribute("disabled", !kind);
  root.onclick = click ?? null;
  root.onfocus = root.onblur = () => call(true);
  return {
    root,
    said,
    show(value = shown, mine = 0, now) {
      const before = shown;
      if (value === before && mine === own && root.title) return false;
      shown = value;
      own = mine;
      if (click && rule === "toggle") root.ariaPressed = String(own > 0);
      root.part.toggle("mine", own > 0);
      const fast = performance.now() - changed < FAST_MS;
      // While somebody is on the button its name stays as it was read out, unless it is their doing.
      if (now || !fast) call(now);
      else naming ||= setTimeout(call, FAST_MS);
      if (value === undefined || value === before) return false;
      const text = compact.format(value);
      const up = value > (before ?? value);
      changed = performance.now();
      if (up && click && (fast || now)) float(icon, image ?? slot);
      if (fast || before === undefined || still.matches) count.textContent = text;
      else if (text !== count.textContent) roll(count, text, up);
      return true;
    },
  };
}

/** What the elements have in common: each shows numbers of one item while it is near the viewport. */
class Tally extends HTMLElement {
  static observedAttributes = ["hub", "item", "kind", "kinds", "lang", "token"];
  static #near = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries) /** @type {Tally} */ (target).#watch(isIntersecting);
    },
    { rootMargin: "300px" },
  );
  /** @type {Map<string, Control>} by kind */ #controls = new Map();
  /** @type {Record<string, Kind> | undefined} those of the hub, once it has told */ #kinds;
  /** @type {Hub | undefined} */ #hub;
  /** @type {State | undefined} */ #state;
  /** @type {Token | undefined} */ #token;
  /** @type {(() => void) | undefined} */ #unwatch;
  #note = make("p", "note");
  #hushing = 0;
  #drawn = 0;
  #drawing = 0;
  #queued = false;
  #own = false;

  constructor() {
    super();
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = [sheet];
    this.#note.role = "status";
  }

  get item() {
    return this.getAttribute("item") ?? "";
  }

  set item(value) {
    this.setAttribute("item", value);
  }

  get hub() {
    return this.getAttribute("hub") || HOME;
  }

  set hub(value) {
    this.setAttribute("hub", value);
  }

  /** A user's token, or as a property a function that gets one. @returns {Token | undefined} */
  get token() {
    return this.#token ?? this.getAttribute("token") ?? undefined;
  }

  set token(value) {
    this.#token = value;
    this.#renew();
  }

  /** Which kinds to show, of those that the hub has. @param {string[]} all */
  names(all) {
    return all;
  }

  connectedCallback() {
    for (const [name, value] of Object.entries(this)) {
      const own = /** @type {any} */ (this); // set before the element was upgraded
      delete own[name];
      own[name] = value;
    }
    this.#renew();
  }

  disconnectedCallback() {
    this.#renew();
  }

  attributeChangedCallback() {
    this.#renew();
  }

  /** Begin anew, once what goes on now is done: frameworks set one attribute after the other, and move elements. */
  #renew() {
    if (this.#queued) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      Tally.#near.unobserve(this);
      this.#watch(false);
      this.#hub?.close();
      this.#hub = this.#state = this.#kinds = undefined;
      if (!this.isConnected) return;
      this.#build();
      Tally.#near.observe(this);
    });
  }

  /** Make a control for each kind, with the number that the server wrote into the page. */
  #build() {
    const kinds = this.#kinds ?? {};
    const language = format(this.closest("[lang]")?.getAttribute("lang") || navigator.language);
    this.#controls.clear();
    for (const name of this.names(Object.keys(kinds))) {
      const click = this instanceof TallyCount ? undefined : () => this.#click(name);
      const made = control(name, kinds[name], language, this.querySelector(`[slot="${name}"]`), click);
      const written = this.querySelector(`[data-kind="${name}"]`) ?? this;
      const text = written.getAttribute("value") ?? written.textContent ?? "";
      made.show(/^\s*\d[\d.,'’\s]*$/.test(text) ? Number(text.replace(/\D/g, "")) : undefined);
      this.#controls.set(name, made);
    }
    const group = make("div", this instanceof TallyReactions ? "group" : "");
    group.append(...[...this.#controls.values()].map(({ root }) => root));
    this.shadowRoot?.replaceChildren(group, this.#note);
  }

  /** @param {boolean} near */
  #watch(near) {
    this.#unwatch?.();
    this.#unwatch = undefined;
    if (!near) return;
    if (!this.#hub) {
      this.#hub = connect(this.hub, { token: this.token });
      this.#hub.on("error", (/** @type {Fault} */ fault) => {
        if (!fault.item || fault.item === this.item) this.#tell("error", fault);
      });
    }
    const viewers = this.#controls.has("viewers");
    this.#unwatch = this.#hub.subscribe(this.item, (state) => this.#show(state), { viewers });
  }

  async #learn() {
    const hub = this.#hub;
    const kinds = (await hub?.kinds) ?? {};
    if (hub !== this.#hub || this.#kinds || !Object.keys(kinds).length) return;
    this.#kinds = kinds;
    this.#build();
    for (const name of this.#controls.keys()) {
      if (!kinds[name] && name !== "viewers") void hub?.react(this.item, name); // it says what is wrong
    }
    if (this.#state) this.#show(this.#state);
  }

  /** @param {State} state */
  #show(state) {
    this.#state = state;
    if (!this.#kinds) return void this.#learn();
    const wait = this.#drawn + REST_MS - performance.now();
    if (this.#own || wait <= 0) this.#draw();
    else this.#drawing ||= setTimeout(() => this.#draw(), wait);
  }

  /** Bring all numbers to what stands. */
  #draw() {
    clearTimeout(this.#drawing);
    this.#drawing = 0;
    if (!this.#state) return;
    const { item, counts, mine, known, viewers } = this.#state;
    const own = this.#own;
    for (const [kind, control] of this.#controls) {
      const value = (kind === "viewers" ? viewers : counts[kind]) ?? 0;
      if (!control.show(known ? value : undefined, mine[kind], own)) continue;
      this.#drawn = performance.now();
      this.#tell("change", { item, kind, value, counts, mine, own });
    }
  }

  /** @param {string} name */
  async #click(name) {
    const max = this.#kinds?.[name]?.max;
    if (max && this.#state?.mine[name] === max) return this.#say(`${max}/${max}`, true);
    const shared = name === "share" && (await this.#share());
    if (shared === undefined) return;
    this.#own = true;
    const reacting = this.#hub?.react(this.item, name);
    this.#own = false;
    this.#say(shared || this.#controls.get(name)?.said() || "", shared);
    const result = await reacting;
    if (result?.ok === false) this.#say(`${texts.refused}: ${result.message}`, true);
  }

  /** Hand the link on. What to say of it; undefined: it was not shared. */
  async #share() {
    /** @type {HTMLLinkElement | null} */ const canonical = document.querySelector("link[rel=canonical]");
    const { href: url } = new URL(this.getAttribute("href") ?? canonical?.href ?? location.href, document.baseURI);
    try {
      if (navigator.share) {
        await navigator.share({ title: document.title, url });
        return "";
      }
      await navigator.clipboard.writeText(url);
      return texts.copied;
    } catch (error) {
      // Called off; or no clipboard without TLS or permission.
      if (/** @type {Error} */ (error).name !== "AbortError") this.#say(url, true);
      return undefined;
    }
  }

  /** Answer the person's own action. @param {string} text @param {unknown} seen also to the eye */
  #say(text, seen) {
    const note = this.#note;
    clearTimeout(this.#hushing);
    note.className = seen ? "seen" : "";
    note.textContent = text;
    this.#hushing = setTimeout(() => this.#say("", false), 5000);
  }

  /** @param {"change" | "error"} type @param {object} detail */
  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent("tally:" + type, { detail, bubbles: true, composed: true }));
  }
}

/** `<tally-reactions item kinds>`: a button for each of the kinds, or for all that the hub has. */
export class TallyReactions extends Tally {
  get kinds() {
    return this.getAttribute("kinds") ?? "";
  }

  set kinds(value) {
    this.setAttribute("kinds", value);
  }

  /** @param {string[]} all @returns {string[]} */
  names(all) {
    return this.kinds.match(/[\w-]+/g) ?? all;
  }
}

/** `<tally-button item kind>`: one button. */
export class TallyButton extends Tally {
  get kind() {
    return this.getAttribute("kind") ?? "like";
  }

  set kind(value) {
    this.setAttribute("kind", value);
  }

  names() {
    return [this.kind];
  }
}

/** `<tally-count item kind>`: a bare number. The kind `viewers` is how many watch. */
export class TallyCount extends TallyButton {}

/** Define the elements `<prefix-reactions>`, `<prefix-button>` and `<prefix-count>`, where they are not yet. */
export function define(prefix = "tally") {
  /** @type {Record<string, CustomElementConstructor>} */
  const classes = { reactions: TallyReactions, button: TallyButton, count: TallyCount };
  for (const [name, Class] of Object.entries(classes)) {
    // A class is good for one name: each prefix gets its own.
    if (!customElements.get(prefix + "-" + name)) customElements.define(prefix + "-" + name, class extends Class {});
  }
}

define();
