/** The drawn film: night falls while it plays, and what people said of a moment rises when the moment comes. */

import { moments } from "./moments.js";
import { find, float, kindsOfHub, make } from "./page.js";

/** @typedef {import("../client/tallycast.js").State} State */

const SECONDS = 24;
const MOST_EACH = 3; // floats of one kind at one moment

const film = find(document, ".film", HTMLElement);
const stage = find(film, ".stage", HTMLElement);
const play = find(film, ".play", HTMLButtonElement);
const slider = find(film, "input", HTMLInputElement);
const bars = find(film, ".bars", HTMLElement);
const buttons = [...film.querySelectorAll("button[data-kind]")].map((button) => /** @type {HTMLButtonElement} */ (button));

/** @type {State[]} by second */ const states = [];
/** @type {Record<string, string>} by kind */ const emojis = {};
let ticking = 0;

/** The scene's animations, which are the film's clock. */
const animations = stage.parentElement?.getAnimations({ subtree: true }) ?? [];

const time_ms = () => Number(animations[0]?.currentTime ?? 0) % (SECONDS * 1000);
const secondNow = () => Math.floor(time_ms() / 1000);

/** @param {number} second */
function seek(second) {
  for (const animation of animations) animation.currentTime = second * 1000;
  point(second);
}

/** @param {number} second */
function point(second) {
  slider.value = String(second);
  slider.ariaValueText = `second ${second} of ${SECONDS}`;
}

/** @param {number} second @param {string} kind */
const count = (second, kind) => states[second]?.counts[kind] ?? 0;

/** @param {number} second */
const total = (second) => buttons.reduce((sum, { dataset }) => sum + count(second, dataset.kind ?? ""), 0);

/** Let rise what was said of this second, spread over it. @param {number} second */
function replay(second) {
  for (const [kind, emoji] of Object.entries(emojis)) {
    for (let n = Math.min(count(second, kind), MOST_EACH); n > 0; n -= 1) {
      setTimeout(() => float(stage, emoji), Math.random() * 1000);
    }
  }
}

/** @param {number} second @param {State} state */
function show(second, state) {
  const before = states[second];
  if (!state.known) return;
  states[second] = state;
  const most = Math.max(6, ...Array.from(states, (_, each) => total(each)));
  [...bars.children].forEach((bar, each) => {
    /** @type {HTMLElement} */ (bar).style.setProperty("--height", String(0.08 + (0.92 * total(each)) / most));
  });
  for (const [kind, emoji] of Object.entries(emojis)) {
    if (before && (state.counts[kind] ?? 0) > (before.counts[kind] ?? 0)) float(stage, emoji);
  }
}

function tick() {
  const second = secondNow();
  if (String(second) === slider.value) return;
  point(second);
  replay(second);
}

const react = moments("demo:film", SECONDS, show);

play.addEventListener("click", () => {
  const playing = film.classList.toggle("playing");
  play.ariaLabel = playing ? "Stop the film" : "Play the film";
  clearInterval(ticking);
  ticking = playing ? setInterval(tick, 100) : 0;
});
slider.addEventListener("input", () => seek(Number(slider.value)));
bars.append(...Array.from({ length: SECONDS }, () => make("i", "")));
point(0);

const kinds = await kindsOfHub();
for (const button of buttons) {
  const name = button.dataset.kind ?? "";
  const kind = kinds[name];
  button.hidden = !kind;
  if (!kind) continue;
  emojis[name] = button.textContent = kind.emoji ?? "";
  button.ariaLabel = button.title = `${kind.label || name} this moment`;
  button.disabled = false;
  button.addEventListener("click", () => void react(secondNow(), name, kind.rule === "toggle" ? 1 : undefined));
}
