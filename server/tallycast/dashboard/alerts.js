/** Alerts: the rules, where they are told, and what has fired. */

import { api } from "./api.js";
import { el, fill } from "./dom.js";
import { ago, momentOf, number, percent } from "./format.js";
import { attempt, ask, button, card, nothing, table, tell } from "./parts.js";

/** @typedef {import("./app.js").Context} Context */

/** What a rule says, in words. @param {any} alert @param {(kind: string) => string} label */
function rule(alert, label) {
  const { rule, kind, marks, factor, minimum, up, down, below, for_s } = alert;
  if (rule === "count") return `${label(kind)} reaches ${marks.map(number).join(", ")}`;
  if (rule === "rate")
    return `${kind ? label(kind) : "Reactions"} come ${number(factor)} times as fast as usual, at least ${number(minimum)}`;
  if (rule === "ratio")
    return `${label(up)} against ${label(down)} falls below ${percent(below)}, of at least ${number(minimum)}`;
  return `Nothing happens for ${for_s % 3600 ? `${number(for_s / 60)} min` : `${number(for_s / 3600)} h`}`;
}

/** @param {string} at */
const time = (at) => el("time", { datetime: at, title: momentOf(Date.parse(at) / 1000) }, ago(Date.parse(at) / 1000));

/** @param {Context} context */
export async function page(context) {
  const { root, live, signal, can, keep } = context;
  const alerts = table("Rules", ["Name", "When", "Where", "Told to", { name: "Act", unseen: true }], []);
  const rules = card("Rules", { class: "list" }, alerts.root);
  const hooks = table("Webhooks", ["Name", "Address", "State", { name: "Act", unseen: true }], []);
  const targets = card("Webhooks", { class: "list", note: "Where alerts are told" }, hooks.root);
  const fired = table("Fired", ["When", "Alert", "What"], []);
  const firings = card("Fired lately", { class: "list" }, fired.root);
  fill(root, el("div", { class: "head" }, el("h1", {}, "Alerts")), rules.root, firings.root, targets.root);

  /** @type {Map<string, string>} */ let names = new Map();
  /** @param {HTMLElement} body @param {HTMLElement[]} rows @param {number} columns @param {string} empty @param {string} more */
  const put = (body, rows, columns, empty, more) => {
    if (body.contains(document.activeElement)) return;
    fill(
      body,
      ...(rows.length ? rows : [el("tr", {}, el("td", { colspan: columns }, nothing(empty, el("p", {}, more))))]),
    );
  };

  /** @param {any} alert */
  const alertRow = (alert) => {
    const { id, name, enabled, target, webhooks } = alert;
    const path = `v1/admin/alerts/${encodeURIComponent(id)}`;
    const turn = button(
      enabled ? "Pause" : "Go on",
      () =>
        attempt(async () => {
          await api(path, { method: "PATCH", body: { enabled: !enabled } });
          turn.blur();
          await again();
        }),
      { class: "quiet small" },
    );
    const remove = button(
      "Delete…",
      () =>
        ask(`Delete the alert ${name}?`, { yes: "Delete", danger: true }, async () => {
          await api(path, { method: "DELETE" });
          remove.blur();
          await again();
        }),
      { class: "quiet small" },
    );
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, name, !enabled && el("span", { class: "badge" }, "Paused")),
      el(
        "td",
        {},
        rule(alert, (kind) => live.label(kind)),
      ),
      el("td", {}, target === "*" ? "everywhere" : el("code", {}, target)),
      el(
        "td",
        {},
        webhooks.map((/** @type {string} */ hook) => names.get(hook) ?? hook).join(", ") || "the dashboard alone",
      ),
      el("td", { class: "number" }, can("write") && el("div", { class: "row end" }, turn, remove)),
    );
  };

  /** @param {any} hook */
  const hookRow = ({ id, name, url, type, enabled, disabled_because }) => {
    const path = `v1/admin/webhooks/${encodeURIComponent(id)}`;
    const test = button(
      "Test",
      async () => {
        test.disabled = true;
        await attempt(async () => {
          const { ok, status, ms, error } = await api(`${path}/test`, { method: "POST", body: {} });
          tell(
            ok ? `${name} answered ${status} in ${number(ms)} ms.` : `${name} did not take it: ${error || status}.`,
            !ok,
          );
        });
        test.disabled = false;
      },
      { class: "quiet small" },
    );
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, name),
      el("td", {}, el("code", {}, url), type === "slack" && el("span", { class: "badge" }, "Slack")),
      el(
        "td",
        {},
        el("span", { class: `badge ${enabled ? "good" : "bad"}` }, enabled ? "On" : "Off"),
        disabled_because && ` ${disabled_because}`,
      ),
      el("td", { class: "number" }, can("write") && test),
    );
  };

  const { again, first } = keep(15, rules, async () => {
    const { webhooks } = await api("v1/admin/webhooks", { signal });
    names = new Map(webhooks.map((/** @type {any} */ { id, name }) => [id, name]));
    put(
      hooks.body,
      webhooks.map(hookRow),
      4,
      "No webhooks yet.",
      "Make one with POST /v1/admin/webhooks: docs/alerts.md says how.",
    );
    const found = await api("v1/admin/alerts", { signal });
    put(
      alerts.body,
      found.alerts.map(alertRow),
      5,
      "No alerts yet.",
      "Make one with POST /v1/admin/alerts: on a count, a rate, a ratio, or silence.",
    );
  });
  const { first: firstFirings } = keep(5, firings, async () => {
    const found = await api("v1/admin/firings", { query: { limit: 50 }, signal });
    const rows = found.firings.map((/** @type {any} */ { at, name, text }) =>
      el("tr", {}, el("td", {}, time(at)), el("th", { scope: "row" }, name), el("td", {}, text)),
    );
    put(fired.body, rows, 3, "Nothing has fired yet.", "What fires is shown here, and told to the alert's webhooks.");
  });
  await Promise.all([first, firstFirings]);
}
