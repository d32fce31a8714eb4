/**
 * Tallycast's elements: live reactions in any page. `<tally-reactions item="post:1" kinds="like,dislike,share">`,
 * `<tally-button>` for one kind, `<tally-count>` for a bare number. Attributes, parts, slots, events: docs/widget.md.
 */

import { connect } from "./tallycast.js";

export { connect };

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
 * @property {HTMLElement} root its title is what it is called now
 * @property {(value: number | undefined, mine?: number, own?: boolean) => boolean} show the number, or none yet, and what
 *   the person says of it, `own` by a click just now; whether the number is another
 */

/** What the elements say themselves, in English unless the page puts other words here. */
export const texts = { copied: "Link copied", refused: "Not counted" };

/** The hub that this file came from. */
const HOME = import.meta.url.split("/client/")[0] ?? "";
const FAST_MS = 700; // numbers that change more often than this do not roll, but send up floats
const REST_MS = 200; // nobody reads numbers that change more often: so long a drawn one stands
const MOST_FLOATS = 3; // on the page
const still = matchMedia("(prefers-reduced-motion:reduce)");
let floats = 0;

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host{display:inline-block;position:relative;font-variant-numeric:tabular-nums;white-space:nowrap;--a:var(--tally-accent,light-dark(#4338ca,#b9bfff));--s:var(--tally-size,max(44px,2.75em))}
:host([hidden]){display:none}
:host([theme=light]){color-scheme:light;color:#1f2328}
:host([theme=dark]){color-scheme:dark;color:#f0f2f5}
[part=group]{display:flex;flex-wrap:wrap;gap:var(--tally-gap,.5rem);min-height:var(--s)}
[part=group]:empty::before{content:"\\200b";line-height:var(--s)}
button{all:unset;box-sizing:border-box;display:flex;align-items:center;height:var(--s);padding:0 .7em;border:1px solid var(--tally-border,color-mix(in srgb,currentColor 20%,transparent));border-radius:var(--tally-radius,99px);background:var(--tally-background,color-mix(in srgb,currentColor 5%,transparent));font-weight:600;cursor:pointer;touch-action:manipulation}
@media(prefers-reduced-motion:no-preference){button{transition:.1s}}
button:hover{border-color:initial}
button:focus-visible{outline:3px solid var(--tally-focus,var(--a));outline-offset:2px}
button:active,button[aria-disabled]{opacity:.6}
button[aria-disabled]{cursor:default}
[part][aria-pressed=true],.seen{border-color:var(--a);background:var(--a);color:var(--tally-on-accent,light-dark(#fff,#17154a));forced-color-adjust:none}
[part=icon]{position:relative;width:1.4em;font-size:1.15em;line-height:1.2;text-align:center}
::slotted(*){display:block;width:1.2em;height:1.2em;margin:auto}
[part~=count]{display:inline-block;width:var(--tally-count-width,var(--w));line-height:1.5;text-align:center;direction:ltr}
button [part~=count]{contain:layout size;height:1.5em}
i,b{display:inline-block;font:inherit;vertical-align:top}
i{overflow:clip}
b{position:relative}
b::before{content:attr(data-old);position:absolute;top:-100%}
b.down::before{top:100%}
[part=float]{position:absolute;inset:0;opacity:0;pointer-events:none}
[part=note]{position:absolute;bottom:calc(100% + .5rem);margin:0;clip-path:inset(50%)}
.seen{z-index:1;clip-path:none;width:max-content;max-width:min(20rem,80vw);padding:.5rem;border-radius:.5rem;white-space:normal;overflow-wrap:anywhere}
`);

/** @typedef {{full: Intl.NumberFormat, compact: Intl.NumberFormat, room: string}} Format `room`: of the longest number */
/** @type {Record<string, Format>} by language */
const formats = {};

/** How numbers are written in a language. @param {string} language @returns {Format} */
function format(language) {
  if (formats[language]) return formats[language];
  try {
    const full = new Intl.NumberFormat(language);
    const compact = new Intl.NumberFormat(language, { notation: "compact" });
    const room = Math.max(4, compact.format(123456).length) + 0.8 + "ch";
    return (formats[language] = { full, compact, room });
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

/** Let the icon rise and fade. @param {HTMLElement} icon @param {Node | string} image */
function float(icon, image) {
  if (floats >= MOST_FLOATS || still.matches) return;
  floats++;
  const floating = make("span", "float", image);
  icon.append(floating);
  const transform = ["none", `translate(${Math.random() - 0.5}em,-3em)`];
  floating.animate({ transform, opacity: [1, 0] }, { duration: 1000, easing: "ease-out" }).onfinish = () => {
    floating.remove();
    floats--;
  };
}

/**
 * @param {string} name of the kind @param {Kind | undefined} kind where it is known @param {Format} format
 * @param {Node | null} image an icon of the page's own @param {() => void} [click] none for a bare number
 * @returns {Control}
 */
function control(name, kind, { compact, full, room }, image, click) {
  const { label = name, emoji = "", max, rule } = kind ?? {};
  const slot = make("slot", "", emoji);
  const icon = make("span", "icon", slot);
  const count = make("span", "count", "–");
  const root = click ? make("button", "button " + name, icon, count) : count;
  /** @type {number | undefined} */ let shown;
  let own = 0;
  let changed = -FAST_MS;
  const call = () => {
    const number = shown === undefined ? "–" : full.format(shown);
    root.ariaLabel = root.title = `${label}, ${number}` + (max && own ? `, ${own}/${max}` : "");
  };
  count.style.setProperty("--w", room);
  slot.name = name;
  if (click) {
    root.onclick = click;
    // Not `disabled`: Tab must find the button, which makes the element come near and learn its kinds.
    if (!kind) root.ariaDisabled = "true";
  } else root.role = "img";
  root.onfocus = root.onblur = call;
  return {
    root,
    show(value = shown, mine = 0, now) {
      const before = shown;
      if (value === before && mine === own && root.title) return false;
      shown = value;
      own = mine;
      if (click && rule === "toggle") root.ariaPressed = `${own > 0}`;
      root.part.toggle("mine", own > 0);
      const fast = performance.now() - changed < FAST_MS;
      // While somebody is on the button its name stays as it was read out, unless it is their doing.
      if (now || !root.matches(":focus")) call();
      if (value === undefined || value === before) return false;
      const text = compact.format(value);
      const up = value > (before ?? value);
      changed = performance.now();
      if (up && click && (fast || now)) float(icon, image?.cloneNode(true) ?? emoji);
      if (fast || before === undefined || still.matches) count.textContent = text;
      else if (text !== count.textContent) roll(count, text, up);
      return true;
    },
  };
}

/** @type {Set<() => void>} the elements whose numbers have not stood long enough yet */ const waiting = new Set();

/** All that wait are drawn together, so that the browser lays out and paints once for all of them. */
function drawAll() {
  const all = [...waiting];
  waiting.clear();
  for (const draw of all) draw();
}

/**
 * What goes on in an element: it shows numbers of one item while it is near the viewport.
 * @param {Tally} element
 * @returns {() => void} to begin anew
 */
function live(element) {
  const shadow = element.attachShadow({ mode: "open" });
  /** @type {Map<string, Control>} by kind */ const controls = new Map();
  /** @type {Record<string, Kind> | undefined} those of the hub, once it has told */ let kinds;
  /** @type {Hub | undefined} */ let hub;
  /** @type {State | undefined} */ let state;
  /** @type {(() => void) | undefined} */ let unwatch;
  const note = make("p", "note");
  let hushing = 0;
  let drawn = 0;
  let queued = false;
  let own = false;

  /** @param {"change" | "error"} type @param {object} detail */
  const tell = (type, detail) => {
    element.dispatchEvent(new CustomEvent("tally:" + type, { detail, bubbles: true, composed: true }));
  };

  /** Answer the person's own action. @param {string} text @param {unknown} [seen] also to the eye */
  const say = (text, seen) => {
    clearTimeout(hushing);
    note.className = seen ? "seen" : "";
    note.textContent = text;
    hushing = setTimeout(say, 5000, "");
  };

  /** Hand the link on. What to say of it; undefined: it was not shared. */
  const share = async () => {
    /** @type {HTMLLinkElement | null} */ const canonical = document.querySelector("link[rel=canonical]");
    const { href: url } = new URL(
      element.getAttribute("href") ?? canonical?.href ?? location.href,
      document.baseURI,
    );
    try {
      if (navigator.share) {
        await navigator.share({ title: document.title, url });
        return "";
      }
      await navigator.clipboard.writeText(url);
      return texts.copied;
    } catch (error) {
      // Called off; or no clipboard without TLS or permission.
      if (/** @type {Error} */ (error).name !== "AbortError") say(url, true);
      return undefined;
    }
  };

  /** @param {string} name */
  const click = async (name) => {
    if (!kinds?.[name]) return;
    const { max } = kinds[name];
    if (max && state?.mine[name] === max) return say(`${max}/${max}`, true);
    const shared = name === "share" && (await share());
    if (shared === undefined) return;
    own = true;
    const reacting = hub?.react(element.item, name);
    own = false;
    say(shared || controls.get(name)?.root.title || "", shared);
    const result = await reacting;
    if (result?.ok === false) say(`${texts.refused}: ${result.message}`, true);
  };

  /** Make a control for each kind, with the number that the server wrote into the page. */
  const build = () => {
    const all = kinds ?? {};
    /** @type {HTMLElement | null} */ const speaking = element.closest("[lang]");
    const language = format(speaking?.lang || navigator.language);
    const bare = element instanceof TallyCount;
    const group = make("div", bare ? "" : "group");
    controls.clear();
    for (const name of element.names(Object.keys(all).filter((name) => /gg|nt/.test(/** @type {Kind} */ (all[name]).rule)))) {
      const made = control(
        name,
        all[name],
        language,
        element.querySelector(`[slot="${name}"]`),
        bare ? undefined : () => click(name),
      );
      const written = element.querySelector(`[data-kind="${name}"]`) ?? element;
      const text = written.getAttribute("value") ?? written.textContent ?? "";
      made.show(/^\s*\d[\d.,'’\s]*$/.test(text) ? +text.replace(/\D/g, "") : undefined);
      controls.set(name, made);
      group.append(made.root);
    }
    shadow.replaceChildren(group, note);
  };

  /** Bring all numbers to what stands. */
  const draw = () => {
    if (!state) return;
    const { item, counts, mine, known, viewers } = state;
    for (const [kind, control] of controls) {
      const value = (kind === "viewers" ? viewers : counts[kind]) ?? 0;
      if (!control.show(known ? value : undefined, mine[kind], own)) continue;
      drawn = performance.now();
      tell("change", { item, kind, value, counts, mine, own });
    }
  };

  const learn = async () => {
    const asked = hub;
    const all = (await hub?.kinds) ?? {};
    if (hub !== asked || kinds || !Object.keys(all)[0]) return;
    kinds = all;
    const focused = /** @type {string} */ (shadow.activeElement?.part[1]); // or nothing
    build();
    controls.get(focused)?.root.focus();
    for (const name of controls.keys()) {
      if (!kinds[name] && name !== "viewers") void hub?.react(element.item, name); // it says what is wrong
    }
    draw();
  };

  /** @param {State} now */
  const show = (now) => {
    state = now;
    if (!kinds) return void learn();
    const wait = drawn + REST_MS - performance.now();
    if (own || wait <= 0) return draw();
    if (!waiting.size) setTimeout(drawAll, wait);
    waiting.add(draw);
  };

  /** @param {boolean} [near] */
  const watch = (near) => {
    unwatch?.();
    unwatch = undefined;
    if (!near) return;
    if (!hub) {
      hub = connect(element.hub, { token: element.token });
      hub.on("error", (/** @type {Fault} */ fault) => {
        if (!fault.item || fault.item === element.item) tell("error", fault);
      });
    }
    unwatch = hub.subscribe(element.item, show, { viewers: controls.has("viewers") });
  };

  const nearness = new IntersectionObserver((entries) => watch(entries.at(-1)?.isIntersecting), { rootMargin: "100%" });
  shadow.adoptedStyleSheets = [sheet];
  note.role = "status";

  // Frameworks set one attribute after the other, and move elements: begin once what goes on now is done.
  return () => {
    if (queued) return;
    queued = true;
    queueMicrotask(() => {
      queued = false;
      nearness.disconnect();
      watch();
      hub?.close();
      hub = state = kinds = undefined;
      if (!element.isConnected) return;
      build();
      nearness.observe(element);
    });
  };
}

/** What the elements have in common. */
class Tally extends HTMLElement {
  static observedAttributes = ["hub", "item", "kind", "kinds", "lang", "token"];
  /** @type {Token | undefined} */ #token;
  #renew = live(this);

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
    const tag = prefix + "-" + name;
    if (!customElements.get(tag)) customElements.define(tag, class extends Class {});
  }
}

// The first number that is formatted loads the browser's language data; the elements are made in a task after that.
format(navigator.language);
setTimeout(define);
