/** Numbers and times as their reader writes them. Times are Unix seconds. */

const locale = navigator.languages;
const make = (/** @type {Intl.NumberFormatOptions} */ how) => new Intl.NumberFormat([...locale], how);
const whole = make({ maximumFractionDigits: 0 });
const short = make({ notation: "compact", maximumFractionDigits: 1 });
const few = make({ maximumFractionDigits: 1 });
const shares = make({ style: "percent", maximumFractionDigits: 1 });
const changes = make({ signDisplay: "exceptZero", maximumFractionDigits: 0 });
const growths = make({ style: "percent", signDisplay: "exceptZero", maximumFractionDigits: 0 });

/** @param {number} value */ export const number = (value) => whole.format(value);
/** @param {number} value 1.2K */ export const compact = (value) =>
  (Math.abs(value) < 10_000 ? few : short).format(value);
/** @param {number} value 4.2 */ export const decimal = (value) => few.format(value);
/** @param {number} value of 1 */ export const percent = (value) => shares.format(value);
/** @param {number} value +12 */ export const signed = (value) => changes.format(value);
/** @param {number} value +12 %, of 1 */ export const growth = (value) => growths.format(value);

/** @param {Intl.DateTimeFormatOptions} how */
const times = (how) => {
  const format = new Intl.DateTimeFormat([...locale], how);
  return (/** @type {number} */ at_s) => format.format(at_s * 1000);
};
export const dayOf = times({ dateStyle: "medium" });
export const utcDayOf = times({ dateStyle: "medium", timeZone: "UTC" });
export const momentOf = times({ dateStyle: "medium", timeStyle: "short" });
export const minuteOf = times({ hour: "2-digit", minute: "2-digit" });
export const hourOf = times({ weekday: "short", hour: "2-digit", minute: "2-digit" });
export const shortDayOf = times({ day: "numeric", month: "short" });
export const shortUtcDayOf = times({ day: "numeric", month: "short", timeZone: "UTC" });
export const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
/** @type {[Intl.RelativeTimeFormatUnit, number][]} */
const UNITS = [
  ["day", 86_400],
  ["hour", 3600],
  ["minute", 60],
  ["second", 1],
];

/** "3 min ago", "in 2 hr". @param {number} at_s @param {number} [now_s] */
export function ago(at_s, now_s = Date.now() / 1000) {
  const seconds = at_s - now_s;
  const [unit, size_s] = UNITS.find(([, least]) => Math.abs(seconds) >= least) ?? ["second", 1];
  return Math.abs(seconds) < 5 ? "now" : relative.format(Math.round(seconds / size_s), unit);
}

/** The seven days, Monday first, long and short. */
export const WEEKDAYS = Array.from({ length: 7 }, (_, day) => {
  const at = new Date(Date.UTC(2024, 0, 1 + day)); // a Monday
  const write = (/** @type {"long" | "short"} */ weekday) =>
    new Intl.DateTimeFormat("en", { weekday, timeZone: "UTC" }).format(at);
  return { long: write("long"), short: write("short") };
});
