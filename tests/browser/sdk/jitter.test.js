/** A hub that restarts must not get all of its viewers back in the same moment. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { internals } from "../../../clients/browser/tallycast.js";

const DRAWS = 1000;
const PARTS = 10;

for (const [attempt, most_s] of [0.5, 1, 2, 4, 8, 16, 20, 20].entries()) {
  test(`attempt ${attempt} waits anything from nothing to ${most_s} s, all alike`, () => {
    const drawn = Array.from({ length: DRAWS }, () => internals.delay(attempt));
    assert.ok(drawn.every((wait_s) => wait_s >= 0 && wait_s < most_s));
    const parts = Array.from({ length: PARTS }, () => 0);
    for (const wait_s of drawn) parts[Math.floor((wait_s / most_s) * PARTS)] += 1;
    // A hundred in each are expected; further off than seven standard deviations is no chance.
    const off = 7 * Math.sqrt(DRAWS / PARTS);
    for (const part of parts) assert.ok(Math.abs(part - DRAWS / PARTS) < off, `${parts}`);
  });
}
