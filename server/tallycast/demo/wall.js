/** The wall: large numbers for a room. `?item=…` (again for more), `?kinds=like,love`, `?title=…`. */

import { listed, showNumbers } from "./numbers.js";
import { find, make, showStatus } from "./page.js";

const MOST_MOVES = 7;
const signed = new Intl.NumberFormat(document.documentElement.lang, { signDisplay: "always" });
const items = listed("item", "demo:page,demo:article,demo:video,demo:talk,demo:themes");
const moves = find(document, ".moves", HTMLOListElement);
const title = new URLSearchParams(location.search).get("title");

if (title) find(document, "h1", HTMLElement).textContent = document.title = title;
showStatus(find(document, ".word", HTMLElement));

find(document, "tally-count", HTMLElement).setAttribute("item", items[0] ?? "");

/** @type {import("./numbers.js").Move[]} newest first */ const moved = [];
moves.append(...Array.from({ length: MOST_MOVES }, () => make("li", "")));

await showNumbers(
  find(document, ".numbers", HTMLElement),
  items,
  listed("kinds", "love,clap,like,share"),
  (move) => {
    moved.unshift(move);
    moved.length = Math.min(moved.length, MOST_MOVES);
    // The lines stay where they are and what they say moves on.
    moved.forEach(({ item, emoji, by }, line) => {
      const name = make("span", "item", item.replace(/^demo:/, ""));
      moves.children[line]?.replaceChildren(make("span", "emoji", emoji), name, make("b", "", signed.format(by)));
    });
  },
);
