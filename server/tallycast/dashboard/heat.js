/** When people react: the hours of a week as a table whose cells are the darker the more happened. */

import { el, fill } from "./dom.js";
import { number, WEEKDAYS } from "./format.js";

const HOURS = Array.from({ length: 24 }, (_, hour) => hour);

/** A heat map, empty at first, in its final size. */
export function heatMap() {
  const head = el(
    "tr",
    {},
    el("td"),
    ...HOURS.map((hour) => el("th", { scope: "col" }, el("span", { class: hour % 6 ? "unseen" : null }, String(hour)))),
  );
  const body = el("tbody");
  const root = el(
    "table",
    { class: "heat" },
    el("caption", { class: "unseen" }, "Reactions by day of the week and hour"),
    el("thead", {}, head),
    body,
  );
  const said = el("p", { class: "note" });
  /** @param {number[][]} hours 7 rows of 24, Monday first */
  const show = (hours) => {
    const most = Math.max(1, ...hours.flat());
    let [bestDay, bestHour, best] = [0, 0, 0];
    fill(
      body,
      ...WEEKDAYS.map(({ long, short }, day) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, el("abbr", { title: long }, short)),
          ...HOURS.map((hour) => {
            const value = hours[day]?.[hour] ?? 0;
            if (value > best) [bestDay, bestHour, best] = [day, hour, value];
            const cell = el(
              "td",
              { title: `${long} ${hour}–${hour + 1} h: ${number(value)}` },
              el("span", { class: "unseen" }, number(value)),
            );
            cell.style.setProperty("--heat", String(Math.round(100 * Math.sqrt(Math.max(0, value) / most))));
            return cell;
          }),
        ),
      ),
    );
    said.textContent = best
      ? `Most on ${WEEKDAYS[bestDay]?.long}s between ${bestHour} and ${bestHour + 1} h.`
      : "Nothing happened in this time yet.";
  };
  show([]);
  return {
    root: el(
      "div",
      { class: "heat-box" },
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Hours of the week" }, root),
      said,
    ),
    show,
  };
}
