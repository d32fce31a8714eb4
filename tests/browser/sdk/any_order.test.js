/** The SDK's state machine against a hub by the book: whatever comes in whatever order, it ends at the hub's truth. */

import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";

import { internals } from "../../../clients/browser/tallycast.js";
import { KINDS, SimulatedHub } from "./hub.js";

const ITEMS = ["post:1", "post:2"];
const OWN = "v:own";
const RUNS = 500;

/** @typedef {import("./hub.js").KindName} KindName */
/** @typedef {import("../../../clients/browser/tallycast.js").Result} Result */

/** A page with its session, and a wire to the hub that delivers out of order, twice, late, or breaks. */
class Page {
  hub = new SimulatedHub();
  connected = false;
  companions = false; // the same person has other devices
  /** @type {Record<string, number>} item → one's own events on it */ events = {};
  /** @type {(() => void)[]} */ timers = [];
  /** @type {Promise<Result>[]} */ results = [];
  /** @type {import("./hub.js").Word[]} everything that was ever said, of all connections */ past = [];
  /** @type {string[]} */ reports = [];

  /** @param {boolean} identified the person has reacted on an earlier day */
  constructor(identified) {
    this.identified = identified;
    this.session = this.open();
    this.connect();
  }

  open() {
    const session = internals.session({
      send: (message) => void this.hub.hears.push(/** @type {any} */ (structuredClone(message))),
      changed: (item, now) => void (now && this.check(item)),
      later: (act) => void this.timers.push(act),
      identify: () => void this.timers.push(() => this.identify()),
      renew: () => void this.timers.push(() => this.identify()),
      crowded: () => false,
      report: (fault) => {
        this.reports.push(fault.code);
        return { ok: false, ...fault };
      },
    });
    Object.assign(session.kinds, KINDS);
    for (const item of ITEMS) session.watch(item, item === "post:2", 1);
    return session;
  }

  /**
   * The page is loaded again, and goes on with what had no answer yet. Nobody hears any more what becomes of it. As on
   * any real wire, what is one's own comes before what changes.
   */
  reload() {
    const kept = JSON.stringify(this.session.wishes());
    this.cut();
    this.timers = [];
    this.results = [];
    this.session = this.open();
    this.session.resume(JSON.parse(kept));
    this.connect();
    const greeting = this.hub.hears.length;
    for (let i = 0; i < greeting; i += 1) this.hub.step();
    while (this.hub.says.length) this.hear(0);
  }

  identify() {
    this.identified = true;
    if (this.connected) this.session.opened(OWN);
  }

  connect() {
    if (this.connected) return;
    this.connected = true;
    this.session.opened(this.identified ? OWN : null);
  }

  cut() {
    this.connected = false;
    this.hub.cut();
    this.session.lost();
  }

  /** @param {number} which @param {boolean} [again] it will come another time */
  hear(which, again = false) {
    const { says } = this.hub;
    if (!says.length) return;
    const [word] = again ? says.slice(which % says.length) : says.splice(which % says.length, 1);
    this.take(word);
  }

  /** @param {import("./hub.js").Word | undefined} word */
  take(word) {
    if (!word) return;
    this.past.push(word);
    this.session.take(structuredClone(word));
    for (const item of ITEMS) this.check(item);
  }

  /** Nothing that is shown is below 0, or holds one's own twice. @param {string} name */
  check(name) {
    const { v, counts, mine } = this.session.state(name);
    for (const [kind, count] of Object.entries(counts)) {
      assert.ok(Number.isInteger(count) && count >= 0, `${kind} shows ${count}`);
      if (this.companions) continue;
      const item = this.hub.item(name);
      const others = item.share(v, kind, (actor) => actor !== OWN);
      const own = item.share(v, kind, (actor) => actor === OWN);
      const shown = count - others;
      if (KINDS[/** @type {KindName} */ (kind)].rule === "event") {
        assert.ok(
          shown >= 0 && shown <= (this.events[name] ?? 0),
          `${kind} shows ${shown} of one's own ${this.events[name]}`,
        );
      } else {
        assert.ok(
          shown === own || shown === (mine[kind] ?? 0),
          `${kind} shows ${shown} of one's own ${own}, ${mine[kind]}`,
        );
      }
    }
  }
  /** @param {string} item @param {KindName} kind @param {number} [value] */
  click(item, kind, value) {
    const before = this.session.state(item);
    if (KINDS[kind].rule === "event") this.events[item] = (this.events[item] ?? 0) + 1;
    this.results.push(this.session.react(item, kind, value));
    const after = this.session.state(item);
    if (KINDS[kind].rule === "event") assert.equal(after.counts[kind], (before.counts[kind] ?? 0) + 1);
    if (KINDS[kind].rule === "toggle") assert.equal(after.mine[kind], value ?? 1 - (before.mine[kind] ?? 0));
    // Setting one of a group takes the other back; taking one back says nothing of the other.
    for (const [one, other] of [
      ["like", "dislike"],
      ["dislike", "like"],
    ]) {
      if (kind === one) assert.equal(after.mine[other] ?? 0, after.mine[one] ? 0 : (before.mine[other] ?? 0));
    }
  }

  /** All is well from here on: every message gets through. */
  async settle() {
    this.connect();
    for (let i = 0; i < 2000 && (this.hub.hears.length || this.hub.says.length || this.timers.length); i += 1) {
      this.hub.step();
      this.hear(0);
      if (!this.hub.hears.length && !this.hub.says.length) this.timers.shift()?.();
      await null;
    }
  }

  async expectTruth() {
    for (const name of ITEMS) {
      const { counts, mine, pending, known } = this.session.state(name);
      const item = this.hub.item(name);
      assert.deepEqual(
        { counts: nonZero(counts), mine: nonZero(mine), pending, known },
        { counts: item.sums(), mine: item.sums(OWN), pending: false, known: true },
      );
    }
    for (const result of await Promise.all(this.results)) {
      assert.ok(result.ok || ["forbidden", "bad_value"].includes(result.code), JSON.stringify(result));
    }
  }
}

/** @param {Record<string, number>} numbers */
const nonZero = (numbers) => Object.fromEntries(Object.entries(numbers).filter(([, number]) => number));

const item = fc.constantFrom(...ITEMS);
const kind = fc.constantFrom(.../** @type {KindName[]} */ (Object.keys(KINDS)));
const fault = fc.constantFrom(
  { code: "rate_limited", retry_after: 0.5 },
  { code: "unavailable" },
  { code: "token_expired" },
);

/** @param {KindName} name @param {number} n @returns {object} */
const says = (name, n) => {
  const { rule, max } = /** @type {{rule: string, max?: number}} */ (KINDS[name]);
  return rule === "event" ? { kind: name, id: `event-${n}` } : { kind: name, value: n % ((max ?? 1) + 1) };
};

/** @type {fc.Arbitrary<(page: Page) => unknown>} */
const anything = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(item, kind, fc.constantFrom(undefined, undefined, 0, 1)).map(
      ([i, k, value]) =>
        (/** @type {Page} */ page) =>
          page.click(i, k, value),
    ),
  },
  { weight: 8, arbitrary: fc.constant((/** @type {Page} */ page) => page.hub.step()) },
  { weight: 8, arbitrary: fc.nat(20).map((n) => (/** @type {Page} */ page) => page.hear(n)) },
  { weight: 2, arbitrary: fc.nat(20).map((n) => (/** @type {Page} */ page) => page.hear(n, true)) },
  {
    weight: 2,
    arbitrary: fc
      .nat(100)
      .map((n) => (/** @type {Page} */ page) => page.connected && page.take(page.past[n % (page.past.length || 1)])),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(item, kind, fc.nat(50), fc.constantFrom("ada", "ben")).map(
      ([i, k, n, who]) =>
        (/** @type {Page} */ page) =>
          page.hub.react(who, i, says(k, n)),
    ),
  },
  { weight: 2, arbitrary: fault.map((f) => (/** @type {Page} */ page) => page.hub.step(f)) },
  { weight: 1, arbitrary: fc.constant((/** @type {Page} */ page) => page.cut()) },
  { weight: 1, arbitrary: fc.constant((/** @type {Page} */ page) => page.reload()) },
  { weight: 4, arbitrary: fc.constant((/** @type {Page} */ page) => page.connect()) },
  {
    weight: 3,
    arbitrary: fc
      .nat(5)
      .map((n) => (/** @type {Page} */ page) => page.timers.splice(n % (page.timers.length || 1), 1)[0]?.()),
  },
);

const LONG = { minLength: 30, maxLength: 150, size: /** @type {const} */ ("max") };

/** What the same person does on another device. @type {fc.Arbitrary<(page: Page) => unknown>} */
const elsewhere = fc.tuple(item, kind, fc.nat(50), fc.integer({ min: -5e6, max: 5e6 })).map(
  ([i, k, n, late]) =>
    (/** @type {Page} */ page) =>
      page.hub.react(OWN, i, { ...says(k, n), seq: Date.now() * 1000 + late }),
);

test("whatever comes in whatever order, it ends at the hub's truth and shows nothing twice", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anything, LONG), fc.boolean(), async (steps, identified) => {
      const page = new Page(identified);
      for (const step of steps) {
        await step(page);
        await null;
      }
      await page.settle();
      await page.expectTruth();
    }),
    { numRuns: RUNS },
  );
});

test("what the same person does on another device is followed, at the latest when it asks again", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 5, arbitrary: anything }, { weight: 1, arbitrary: elsewhere }), LONG),
      async (steps) => {
        const page = new Page(true);
        page.companions = true;
        for (const step of steps) {
          await step(page);
          await null;
        }
        await page.settle();
        page.session.opened(OWN);
        await page.settle();
        await page.expectTruth();
      },
    ),
    { numRuns: RUNS },
  );
});

test("what the same person does on another device is shown as theirs at once", async () => {
  const page = new Page(true);
  page.companions = true;
  await page.settle();
  page.click("post:1", "clap", 2);
  page.hub.react(OWN, "post:1", { kind: "like", value: 1, seq: Date.now() * 1000 });
  page.hear(0);
  assert.equal(page.session.state("post:1").mine.clap, 2, "a click of one's own has no answer yet, and stays");
  await page.settle();
  assert.deepEqual(page.session.state("post:1").mine, { like: 1, clap: 2 });
  page.hub.react(OWN, "post:1", { kind: "dislike", value: 1, seq: Date.now() * 1000 + 1 });
  const [newer] = page.hub.says;
  page.hear(0);
  assert.deepEqual(nonZero(page.session.state("post:1").mine), { dislike: 1, clap: 2 });
  page.hub.react("ben", "post:1", { kind: "love", value: 1, seq: 1 });
  page.hear(0);
  page.take({ ...newer, ev: "counts", v: 1, mine: { like: 1 } });
  assert.deepEqual(nonZero(page.session.state("post:1").mine), { dislike: 1, clap: 2 }, "what is older says nothing");
  await page.expectTruth();
});

test("a reaction that an earlier page sent counts once, and one that it made offline is sent as it was", async () => {
  for (const heard of [true, false]) {
    const page = new Page(true);
    await page.settle();
    page.click("post:1", "share");
    page.click("post:2", "clap", 3);
    if (heard) page.hub.step();
    page.reload();
    await page.settle();
    assert.deepEqual(page.hub.item("post:1").sums(), { share: 1 });
    assert.deepEqual(page.hub.item("post:2").sums(OWN), { clap: 3 });
    await page.expectTruth();
    assert.deepEqual(page.session.wishes(), []);
  }
});

test("a newer reaction stands although the earlier page had the later clock", async () => {
  const page = new Page(true);
  await page.settle();
  const { now } = Date;
  Date.now = () => now() + 60_000;
  page.click("post:1", "like", 1);
  Date.now = now;
  page.reload();
  page.click("post:1", "like", 0);
  await page.settle();
  assert.deepEqual(page.hub.item("post:1").sums(OWN), {});
  await page.expectTruth();
});
