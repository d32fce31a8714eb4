/** An overlay for streams, with nothing behind it: `?item=…&kinds=like,love&size=48` (px, 16 to 200). */

import { listed, showNumbers } from "./numbers.js";
import { find, showStatus } from "./page.js";

const size_px = Number(new URLSearchParams(location.search).get("size"));
if (size_px) document.documentElement.style.setProperty("font-size", `${Math.min(200, Math.max(16, size_px))}px`);
showStatus(find(document, "[role=status]", HTMLElement));
await showNumbers(
  find(document, ".numbers", HTMLElement),
  listed("item", "demo:article"),
  listed("kinds", "love,clap,like"),
);
