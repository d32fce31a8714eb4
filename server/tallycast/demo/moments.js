import { connect } from "../client/widget.js";

const hub = connect(new URL("..", import.meta.url));

/**
 * Each second of a film is an item of its own. Gives the function that reacts to one.
 * @param {string} film
 * @param {number} seconds
 * @param {(second: number, state: import("../client/tallycast.js").State) => void} show
 * @returns {(second: number, kind: string, value?: number) => Promise<unknown>}
 */
export function moments(film, seconds, show) {
  for (let second = 0; second < seconds; second += 1) {
    hub.subscribe(`${film}@${second}`, (state) => show(second, state));
  }
  return (second, kind, value) => hub.react(`${film}@${second}`, kind, value);
}
