/**
 * `<tally-poll item="poll:abc">`: a poll or a quiz in any page, live. Attributes, parts, events: docs/polls.md.
 */

import { backstage, connect } from "./tallycast.js";

export { connect };

/** @typedef {import("./tallycast.js").Hub} Hub */
/** @typedef {import("./tallycast.js").State} State */
/** @typedef {import("./tallycast.js").Token} Token */
/** @typedef {{code: string, message: string, item?: string | undefined}} Fault */
/**
 * @typedef {object} Poll What the hub says of one; times in seconds since 1970. See docs/polls.md.
 * @property {string} question
 * @property {string[]} options
 * @property {"single" | "multiple"} choice
 * @property {"always" | "voted" | "closed"} results
 * @property {boolean} quiz
 * @property {number} opens_at
 * @property {number} closes_at
 * @property {number | null} closed_at
 * @property {number} now
 * @property {number} v
 * @property {number[] | null} counts null: not for this person to see yet
 * @property {number[]} [answers] the numbers of the right options, from 1: of a quiz that has closed
 */
/** @typedef {"upcoming" | "open" | "closing" | "closed"} Phase */
/** @typedef {{root: HTMLElement, input: HTMLInputElement, bar: HTMLElement, mark: HTMLElement, count: HTMLElement}} Row */
/**
 * @typedef {CustomEvent<{item: string, counts: number[] | null, mine: number[], own: boolean}>} TallyPollChange
 *   `tally:change`: something else is shown now. `counts`: of the options in their order; `mine`: the numbers of those
 *   that the person has chosen, from 1; `own`: by a click in this element
 */
/** @typedef {CustomEvent<Fault>} TallyPollError `tally:error`: a vote was refused, or the poll cannot be had */

/** What the element says itself, in English unless the page puts other words here. `%` is a time, as in “in 5 minutes”. */
export const texts = {
  upcoming: "Opens %",
  open: "Closes %",
  closing: "Closed, counting",
  closed: "Closed",
  votes: "Votes:",
  chosen: "Your vote:",
  right: "Right answer:",
  refused: "Not counted:",
};

/** The hub that this file came from. */
const HOME = import.meta.url.split("/client/")[0] ?? "";
const ASK_MS = 1000; // between two questions to the hub
const SPREAD_MS = 300; // over which all who watch ask when something has changed for all of them
/** @type {[Intl.RelativeTimeFormatUnit, number][]} the first of which there are two is told, in seconds */
const UNITS = [
  ["day", 86400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

/** The kinds of votes: no hub lists them. @type {Record<string, {rule: string, group?: string}>} */
const votes = {};
for (let number = 1; number <= 10; number++) {
  votes["option-" + number] = { rule: "toggle", group: "poll:option" };
  votes["choice-" + number] = { rule: "toggle" };
}

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host{display:block;position:relative;overflow-wrap:anywhere;font-variant-numeric:tabular-nums;--a:var(--tally-accent,light-dark(#4338ca,#b9bfff))}
:host([hidden]){display:none}
:host([theme=light]){color-scheme:light;color:#1f2328}
:host([theme=dark]){color-scheme:dark;color:#f0f2f5}
fieldset,legend{all:unset;display:block}
legend{font-weight:600}
label{position:relative;isolation:isolate;overflow:clip;display:flex;align-items:center;gap:.6em;box-sizing:border-box;min-height:max(44px,2.75em);margin-top:var(--tally-gap,.5rem);padding:.3em .8em;border:1px solid var(--tally-border,color-mix(in srgb,currentColor 35%,transparent));border-radius:var(--tally-radius,.7rem);background:var(--tally-background,color-mix(in srgb,currentColor 4%,transparent));cursor:pointer}
label:hover{border-color:var(--a)}
label:has(:focus-visible){outline:3px solid var(--tally-focus,var(--a));outline-offset:2px}
.still label{cursor:default}
[part~=mine]{border-color:var(--a);box-shadow:inset 0 0 0 1px var(--a)}
input{flex:none;margin:0;width:1.2em;height:1.2em;outline:0;cursor:inherit;accent-color:var(--a)}
.still input{opacity:.6}
[part=label]{flex:1}
[part=mark]{width:1.2em;font-weight:600;text-align:center}
[part=count]{min-width:3.6em;font-weight:600;text-align:end}
[part=bar]{position:absolute;z-index:-1;inset-block:0;inset-inline-start:0;width:0;border-bottom:4px solid transparent;background:color-mix(in srgb,var(--a) 22%,transparent)}
p{margin:var(--tally-gap,.5rem) 0 0;min-height:1.5em;line-height:1.5;font-size:.875em}
[part=note]{position:absolute;inset:auto 0 0;clip-path:inset(50%)}
.seen{clip-path:none;background:Canvas;color:CanvasText}
@media(prefers-reduced-motion:no-preference){[part=bar]{transition:width .4s}}
`);

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
 * What goes on in an element: it shows its poll while it is near the viewport.
 * @param {TallyPoll} element
 * @returns {() => void} to begin anew
 */
function live(element) {
  const shadow = element.attachShadow({ mode: "open" });
  const note = make("p", "note");
  const line = make("p", "line");
  const time = make("span", "time");
  const total = make("span", "votes");
  /** @type {Row[]} */ let rows = [];
  /** @type {Hub | undefined} */ let hub;
  /** @type {ReturnType<typeof backstage.connection>} */ let shared;
  /** @type {Poll | undefined} */ let poll;
  /** @type {State | undefined} */ let state;
  /** @type {(() => void) | undefined} */ let unwatch;
  /** @type {number[] | null} the newest votes for each option that are known */ let known = null;
  /** @type {Phase | undefined} as it is shown */ let phase;
  /** @type {Intl.NumberFormat} */ let number;
  /** @type {Intl.NumberFormat} */ let percent;
  /** @type {Intl.RelativeTimeFormat} */ let until;
  let built = "";
  let drawn = "";
  let ahead = 0; // how far the hub's clock is ahead of this one, in ms
  let asked = -ASK_MS;
  let asking = 0; // the timer, or what it was until the answer is there
  let news = false; // since the hub was last asked
  let ticking = 0;
  let hushing = 0;
  let queued = false;
  let own = false;

  /** @param {"change" | "error"} type @param {object} detail */
  const tell = (type, detail) =>
    element.dispatchEvent(new CustomEvent("tally:" + type, { detail, bubbles: true, composed: true }));

  /** Have it read out. @param {string} text @param {boolean} [seen] also to the eye */
  const say = (text, seen) => {
    clearTimeout(hushing);
    note.className = seen ? "seen" : "";
    note.textContent = text;
    if (text) hushing = setTimeout(say, 5000, "");
  };

  const kinds = () =>
    (poll?.options ?? []).map((_, at) => (poll?.choice === "single" ? "option-" : "choice-") + (at + 1));

  /** Write numbers and times as in a language. @param {string} language */
  const speak = (language) => {
    number = new Intl.NumberFormat(language);
    percent = new Intl.NumberFormat(language, { style: "percent" });
    until = new Intl.RelativeTimeFormat(language);
  };

  /** The numbers of the options that the person has chosen. */
  const chosen = () => kinds().flatMap((kind, at) => (state?.mine[kind] ? at + 1 : []));

  /** The options of these numbers. @param {number[]} numbers */
  const named = (numbers) => numbers.map((number) => poll?.options[number - 1]).join(", ") || "–";

  /** Whether everybody sees how it stands, so that the counts that come by the socket are the real ones. */
  const open = () => poll?.results === "always" || poll?.closed_at != null;

  /** Whether the person does, as one of those who have voted. */
  const entitled = () => poll?.results === "voted" && !!chosen()[0];

  /** Take the counts that came by the socket, which are none as long as they are hidden. */
  const learn = () => {
    if (!state || !poll) return;
    const { counts, pending, v } = state;
    const told = Object.values(counts).some(Boolean) && !pending;
    if (open() ? v >= poll.v : told) known = kinds().map((kind) => counts[kind] ?? 0);
  };

  /** Show everything as it stands. */
  const draw = () => {
    if (!poll) return;
    const { choice, answers, opens_at, closes_at, closed_at } = poll;
    const now = (Date.now() + ahead) / 1000;
    const before = phase;
    phase = closed_at != null ? "closed" : now >= closes_at ? "closing" : now < opens_at ? "upcoming" : "open";
    const stands = phase !== "upcoming" && (open() || entitled()) ? known : null;
    const mine = chosen();
    const sum = (stands ?? []).reduce((a, b) => a + b, 0);
    const whole = choice === "single" ? sum : Math.max(...(stands ?? []));
    rows.forEach(({ root, input, bar, mark, count }, at) => {
      const own = mine.includes(at + 1);
      const votes = stands?.[at] ?? 0;
      const part = whole ? votes / whole : 0;
      const right = answers?.includes(at + 1);
      const said = !stands ? "" : choice === "single" ? percent.format(part) : number.format(votes);
      input.checked = own;
      input.ariaDisabled = String(phase !== "open");
      // While somebody is on the option it stays as it was read out.
      if (input !== shadow.activeElement) input.ariaDescription = (right ? texts.right + " " : "") + said;
      root.part.toggle("mine", own);
      root.part.toggle("right", !!right);
      mark.textContent = right ? "✓" : answers && own ? "✗" : "";
      bar.style.width = part * 100 + "%";
      count.textContent = said;
    });
    shadow.firstElementChild?.classList.toggle("still", phase !== "open");
    const left = (phase === "open" ? closes_at : opens_at) - now;
    const [unit, seconds] = UNITS.find(([, seconds]) => left >= 2 * seconds) ?? ["second", 1];
    time.textContent = texts[phase].replace("%", until.format(Math.ceil(left / seconds), unit));
    total.textContent =
      (stands ? ` · ${texts.votes} ${number.format(sum)}` : "") +
      (answers ? ` · ${texts.right} ${named(answers)}` : "");
    if (before && before !== phase) {
      if (phase === "closing") say(texts.closed);
      if (phase === "closed") say(texts.closed + total.textContent);
    }
    const shown = JSON.stringify([stands, mine, phase, answers]);
    if (shown === drawn) return;
    drawn = shown;
    tell("change", { item: element.item, counts: stands, mine, own });
  };

  /** Show a poll of which nothing is shown yet, or whose words are others now. */
  const build = () => {
    const { question = "", options = [], choice, quiz } = poll ?? {};
    const words = JSON.stringify([question, options, choice, quiz]);
    if (words === built) return;
    built = words;
    rows = options.map((option, at) => {
      const input = make("input", "input");
      const bar = make("span", "bar");
      const mark = make("span", "mark");
      const count = make("span", "count");
      const root = make("label", "option", bar, input, make("span", "label", option), ...(quiz ? [mark] : []), count);
      input.type = choice === "single" ? "radio" : "checkbox";
      input.name = "vote";
      input.ariaLabel = option;
      input.onclick = (event) => (phase === "open" ? vote(at, input.checked) : event.preventDefault());
      return { root, input, bar, mark, count };
    });
    const group = make("fieldset", "poll", make("legend", "question", question), ...rows.map(({ root }) => root));
    if (choice === "single") group.onkeydown = rove;
    line.replaceChildren(time, total);
    shadow.replaceChildren(group, line, note);
  };

  /** The arrows go from option to option and choose none: nobody votes on the way to another. @param {KeyboardEvent} event */
  const rove = (event) => {
    const ahead = getComputedStyle(element).direction === "rtl" ? -1 : 1;
    const step = { ArrowDown: 1, ArrowUp: -1, ArrowRight: ahead, ArrowLeft: -ahead }[event.key];
    if (!step) return;
    event.preventDefault();
    const at = rows.findIndex(({ input }) => input === shadow.activeElement);
    rows.at((at + step) % rows.length)?.input.focus();
  };

  /** @param {number} at @param {boolean} wanted */
  const vote = async (at, wanted) => {
    own = true;
    const voting = hub?.react(element.item, kinds()[at] ?? "", wanted);
    own = false;
    const result = await voting;
    if (!result) return;
    if (result.ok) return say(`${texts.chosen} ${named(chosen())}`);
    say(`${texts.refused} ${result.message}`, true);
    draw();
    ask();
  };

  /** Hear of the poll again: soon, and not oftener than is good for the hub. @param {number} [least] ms from now */
  const ask = (least = Math.random() * SPREAD_MS) => {
    news = true;
    asking ||= setTimeout(fetchPoll, Math.max(least, asked + ASK_MS - performance.now()));
  };

  const fetchPoll = async () => {
    const mine = shared;
    asked = performance.now();
    news = false; // what comes from here on may be missing in the answer
    try {
      const token = (element.token || (!open() && entitled())) && (await mine?.who(false));
      const headers = token ? { Authorization: "Bearer " + token } : {};
      const id = encodeURIComponent(element.item.replace("poll:", ""));
      /** @type {Poll} */ const told = await backstage.fetchJson(`${mine?.base}polls/${id}`, { headers });
      if (mine !== shared) return;
      asking = 0;
      ahead = told.now * 1000 - Date.now();
      poll = told;
      known = told.counts ?? known;
      learn();
      build();
      draw();
      if (news) ask();
    } catch (error) {
      if (mine !== shared) return;
      asking = 0;
      const { code, message, retry_after } = /** @type {any} */ (error);
      if (code && !retry_after) mine?.report({ code, message: `${element.item}: ${message}`, item: element.item });
      else ask((retry_after ?? 2 + Math.random()) * 1000);
    }
  };

  /** @param {State} now what the socket says, and the person's own click */
  const hear = (now) => {
    const before = state?.v ?? -1;
    state = now;
    learn();
    draw();
    // Where counts are hidden a frame says by its version alone that somebody has voted, until there are counts in it.
    // One that says nothing new at all says that the poll itself has changed.
    const other = poll ? now.v <= before || (!open() && (entitled() || Object.values(now.counts)[0])) : before >= 0;
    if (other && now.known && !now.pending) ask();
  };

  const tick = () => {
    draw();
    if (phase === "closing") ask(ASK_MS + Math.random() * SPREAD_MS);
  };

  /** @param {boolean} [near] */
  const watch = (near) => {
    unwatch?.();
    unwatch = undefined;
    clearInterval(ticking);
    clearTimeout(asking);
    asking = 0;
    if (!near) return;
    if (!hub) {
      hub = connect(element.hub, { token: element.token });
      shared = backstage.connection(hub, element.token);
      if (shared) Object.setPrototypeOf(shared.talk.kinds, votes);
      hub.on("error", (/** @type {Fault} */ fault) => {
        if (!fault.item || fault.item === element.item) tell("error", fault);
      });
    }
    if (!shared) return;
    unwatch = hub.subscribe(element.item, hear);
    ticking = setInterval(tick, 1000);
    ask(0);
  };

  const nearness = new IntersectionObserver((entries) => watch(entries.at(-1)?.isIntersecting), { rootMargin: "100%" });
  shadow.adoptedStyleSheets = [sheet];
  shadow.append(document.createElement("slot"));
  note.role = "status";
  time.role = "timer";

  // Frameworks set one attribute after the other, and move elements: begin once what goes on now is done.
  return () => {
    if (queued) return;
    queued = true;
    queueMicrotask(() => {
      queued = false;
      nearness.disconnect();
      watch();
      hub?.close();
      hub = shared = poll = state = phase = undefined;
      known = null;
      if (!element.isConnected) return;
      /** @type {HTMLElement | null} */ const speaking = element.closest("[lang]");
      try {
        speak(speaking?.lang || navigator.language);
      } catch {
        speak(navigator.language); // what the page calls its language is none
      }
      nearness.observe(element);
    });
  };
}

/** `<tally-poll item>`: a question, its options, and how they stand. */
export class TallyPoll extends HTMLElement {
  static observedAttributes = ["hub", "item", "lang", "token"];
  /** @type {Token | undefined} */ #token;
  #renew = live(this);

  /** `poll:` and the poll's id. */
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

/** Define the element `<prefix-poll>`, where it is not yet. */
export function define(prefix = "tally") {
  const tag = prefix + "-poll";
  // A class is good for one name: each prefix gets its own.
  if (!customElements.get(tag)) customElements.define(tag, class extends TallyPoll {});
}

setTimeout(define);
