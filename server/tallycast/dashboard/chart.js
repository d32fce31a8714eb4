/** A chart of lines over time: by pointer and keyboard, as a table, as CSV and as a picture. uPlot draws it. */

import uPlot from "./uplot.js";
import { el, fileName, fill, save, say } from "./dom.js";
import { compact, number } from "./format.js";
import { colour, onColours } from "./theme.js";

/** @typedef {{key: string, name: string, dashed?: boolean}} Line */
/**
 * @typedef {object} Plan
 * @property {string} title
 * @property {string} file how its files are called
 * @property {(x: number) => string} where an x as words
 * @property {(x: number) => string} tick an x on the axis
 * @property {(x: number) => string} [stamp] an x in CSV; unless given, ISO 8601 of Unix seconds
 * @property {number[]} [steps] between which the axis chooses
 * @property {boolean} [bars] each value fills its time
 * @property {boolean} [tools] with buttons for files and a table
 */

/** How large the page's writing is, of what is usual: a big screen's is larger. */
const scaleOf = () => parseFloat(getComputedStyle(document.documentElement).fontSize) / 16;
const font = (/** @type {number} */ size_px, weight = 400) =>
  `${weight} ${size_px}px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif`;
const COLOURS = 6;
/** @type {Set<Chart>} */ const charts = new Set();
const sized = new ResizeObserver((entries) => {
  for (const { target } of entries) for (const chart of charts) if (chart.box === target) chart.resize();
});

onColours(() => charts.forEach((chart) => chart.plot?.redraw(false)));

export class Chart {
  /** @type {uPlot | undefined} */ plot;
  /** @type {number[]} */ xs = [];
  /** @type {number[][]} by line */ ys = [];
  /** @type {Line[]} */ lines = [];
  /** @type {Set<string>} keys of lines that the reader does not want */ hidden = new Set();
  /** @type {HTMLElement[]} by line */ #values = [];
  #table = el("table");

  /** @param {Plan} plan @param {AbortSignal} signal ends it */
  constructor(plan, signal) {
    this.plan = plan;
    this.legend = el("div", { class: "legend", role: "group", "aria-label": `Lines: ${plan.title}` });
    this.when = el("span", { class: "when" });
    this.box = el("div", {
      class: "plot",
      tabindex: 0,
      role: "slider",
      "aria-label": plan.title,
      "aria-valuemin": 0,
      "aria-valuemax": 0,
      "aria-valuenow": 0,
      "aria-valuetext": "no data yet",
      onkeydown: (/** @type {KeyboardEvent} */ event) => this.#step(event),
    });
    this.empty = el("p", { class: "empty", hidden: true }, "Nothing happened in this time.");
    const scroll = el(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-label": `${plan.title} as a table` },
      this.#table,
    );
    this.details = el("details", { ontoggle: () => this.#fillTable() }, el("summary", {}, "As a table"), scroll);
    const button = (/** @type {string} */ name, /** @type {() => void} */ act) =>
      el(
        "button",
        { type: "button", class: "quiet", onclick: act, "aria-label": `${plan.title}: save as ${name}` },
        name,
      );
    const tools = el(
      "div",
      { class: "tools" },
      this.details,
      el(
        "span",
        { class: "files" },
        button("CSV", () => this.saveCsv()),
        button("PNG", () => this.savePng()),
      ),
    );
    this.root = el(
      "div",
      { class: "chart" },
      this.legend,
      el("div", { class: "canvas" }, this.box, this.empty),
      plan.tools === false ? null : tools,
    );
    charts.add(this);
    sized.observe(this.box);
    signal.addEventListener("abort", () => this.#end(), { once: true });
  }

  #end() {
    charts.delete(this);
    sized.unobserve(this.box);
    this.plot?.destroy();
  }

  /** Show other numbers. @param {Line[]} lines @param {number[]} xs @param {number[][]} ys */
  show(lines, xs, ys) {
    const same =
      this.plot &&
      lines.length === this.lines.length &&
      lines.every(({ key, name }, at) => this.lines[at]?.key === key && this.lines[at]?.name === name);
    Object.assign(this, { lines, xs, ys });
    if (same) this.plot?.setData([xs, ...ys]);
    else this.#begin();
    this.empty.hidden = ys.some((line) => line.some(Boolean));
    this.box.setAttribute("aria-valuemax", String(Math.max(0, xs.length - 1)));
    this.#tell(this.plot?.cursor.idx);
    if (this.details.open) this.#fillTable();
  }

  /** Move the last point of the lines. @param {number[]} last by line */
  move(last) {
    const at = this.xs.length - 1;
    if (at < 0 || !this.plot) return;
    last.forEach((value, line) => {
      const ys = this.ys[line];
      if (ys) ys[at] = value;
    });
    this.plot.setData([this.xs, ...this.ys]);
    if (last.some(Boolean)) this.empty.hidden = true;
    this.#tell(this.plot.cursor.idx);
    if (this.details.open) this.#fillTable();
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.box;
    if (this.plot && width > 0 && (width !== this.plot.width || height !== this.plot.height))
      this.plot.setSize({ width, height });
  }

  #begin() {
    this.plot?.destroy();
    fill(this.legend, ...this.lines.map((line, at) => this.#name(line, at)), this.when);
    this.plot = new uPlot(this.#options(), [this.xs, ...this.ys], this.box);
  }

  /** @param {Line} line @param {number} at */
  #name(line, at) {
    const value = (this.#values[at] = el("b"));
    const toggle = () => {
      if (!this.hidden.delete(line.key)) this.hidden.add(line.key);
      const shown = !this.hidden.has(line.key);
      button.ariaPressed = String(shown);
      this.plot?.setSeries(at + 1, { show: shown });
    };
    const button = el(
      "button",
      { type: "button", "aria-pressed": String(!this.hidden.has(line.key)), onclick: toggle },
      el("i", { class: `s${(at % COLOURS) + 1}${line.dashed ? " dashed" : ""}` }),
      line.name,
      value,
    );
    return button;
  }

  /** @returns {import("./uplot.js").Options} */
  #options() {
    const scale = scaleOf();
    const axis = {
      font: font(12 * scale),
      stroke: () => colour("--soft"),
      grid: { stroke: () => colour("--line"), width: 1 },
      ticks: { show: false },
    };
    const paths = this.plan.bars ? uPlot.paths.bars?.({ size: [0.8, 40] }) : uPlot.paths.linear?.({});
    return {
      width: Math.max(1, this.box.clientWidth),
      height: Math.max(1, this.box.clientHeight),
      legend: { show: false },
      padding: [10, 26, 0, 0],
      cursor: { y: false, points: { size: 8 }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: (_, min, max) => this.#reach(min ?? 0, max ?? 1) },
        y: { range: (_, min, max) => [Math.min(0, min ?? 0), Math.max(4, (max ?? 0) * 1.1)] },
      },
      axes: [
        {
          ...axis,
          grid: { show: false },
          gap: 8 * scale,
          size: 32 * scale,
          space: 66 * scale,
          values: (_, splits) => splits.map(this.plan.tick),
          ...(this.plan.steps && { incrs: this.plan.steps }),
        },
        {
          ...axis,
          size: 52 * scale,
          space: 34 * scale,
          values: (_, splits) => splits.map((y) => (Number.isInteger(y) ? compact(y) : "")),
        },
      ],
      series: [
        {},
        ...this.lines.map((line, at) => {
          const own = (/** @type {string} */ shade) => () => colour(`--s${(at % COLOURS) + 1}${shade}`);
          const soft = this.lines.length === 1 && own("-soft");
          return {
            show: !this.hidden.has(line.key),
            ...(this.plan.bars
              ? { width: 0, fill: own("-bar") }
              : { width: 2, stroke: own(""), ...(soft && { fill: soft }) }),
            ...(line.dashed && { dash: [5, 4] }),
            paths,
            points: { show: false, fill: () => colour("--card") },
          };
        }),
      ],
      hooks: { setCursor: [(plot) => this.#tell((plot.cursor.left ?? -1) >= 0 ? plot.cursor.idx : null)] },
    };
  }

  /** Bars have half of their width on either side; one point alone stands in the middle. @param {number} min @param {number} max @returns {[number, number]} */
  #reach(min, max) {
    const step = (this.xs[1] ?? min + 60) - (this.xs[0] ?? min);
    const room = this.plan.bars || min === max ? step / 2 : 0;
    return [min - room, max + room];
  }

  /** Show the values at a point beside the lines' names; of the newest where none is pointed at. @param {number | null | undefined} at */
  #tell(at) {
    const last = this.xs.length - 1;
    const index = at ?? last;
    if (index < 0) return;
    say(this.when, at == null ? "" : this.plan.where(this.xs[index] ?? 0));
    this.#values.forEach((value, line) => say(value, number(this.ys[line]?.[index] ?? 0)));
    this.box.setAttribute("aria-valuenow", String(index));
    const spoken = this.lines.map(({ name }, line) => `${name} ${number(this.ys[line]?.[index] ?? 0)}`);
    this.box.setAttribute("aria-valuetext", `${this.plan.where(this.xs[index] ?? 0)}: ${spoken.join(", ")}`);
  }

  /** @param {KeyboardEvent} event */
  #step(event) {
    const last = this.xs.length - 1;
    const now = Number(this.box.getAttribute("aria-valuenow"));
    /** @type {Record<string, number>} */
    const to = {
      ArrowRight: now + 1,
      ArrowUp: now + 1,
      ArrowLeft: now - 1,
      ArrowDown: now - 1,
      PageUp: now + 10,
      PageDown: now - 10,
      Home: 0,
      End: last,
    };
    const next = to[event.key];
    if (next === undefined || last < 0 || !this.plot) return;
    event.preventDefault();
    this.plot.setCursor({ left: this.plot.valToPos(this.xs[Math.min(last, Math.max(0, next))] ?? 0, "x"), top: 0 });
  }

  #rows() {
    return this.xs.map((x, at) => [x, ...this.ys.map((line) => line[at] ?? 0)]);
  }

  /** Only where somebody looks: two days have 2,880 minutes. */
  #fillTable() {
    if (!this.details.open) return;
    const head = el(
      "tr",
      {},
      el("th", { scope: "col" }, "Time"),
      ...this.lines.map(({ name }) => el("th", { scope: "col", class: "number" }, name)),
    );
    const rows = this.#rows()
      .reverse()
      .map(([x, ...ys]) =>
        el(
          "tr",
          {},
          el("th", { scope: "row" }, this.plan.where(x ?? 0)),
          ...ys.map((y) => el("td", { class: "number" }, number(y))),
        ),
      );
    fill(this.#table, el("thead", {}, head), el("tbody", {}, ...rows));
  }

  /** Save the numbers. */
  saveCsv() {
    const stamp = this.plan.stamp ?? ((x) => new Date(x * 1000).toISOString());
    const quoted = (/** @type {string} */ text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
    const rows = [
      ["time", ...this.lines.map(({ key }) => quoted(key))],
      ...this.#rows().map(([x, ...ys]) => [stamp(x ?? 0), ...ys]),
    ];
    save(
      new Blob([rows.map((row) => row.join(",")).join("\r\n") + "\r\n"], { type: "text/csv" }),
      `${fileName(this.plan.file)}.csv`,
    );
  }

  /** Save the picture, with its title, its lines' names and a ground of its own. */
  savePng() {
    if (!this.plot) return;
    const drawn = this.plot.ctx.canvas;
    const scale = uPlot.pxRatio;
    const head_px = 56 * scale;
    const canvas = el("canvas", { width: drawn.width + 32 * scale, height: drawn.height + head_px + 16 * scale });
    const context = canvas.getContext("2d");
    if (!context) return;
    context.fillStyle = colour("--card");
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.fillStyle = colour("--ink");
    context.font = font(15 * scale, 600);
    context.fillText(this.plan.title, 16 * scale, 24 * scale);
    context.font = font(12 * scale);
    let left_px = 16 * scale;
    this.lines.forEach(({ key, name }, at) => {
      if (this.hidden.has(key)) return;
      context.fillStyle = colour(`--s${(at % COLOURS) + 1}`);
      context.fillRect(left_px, 36 * scale, 14 * scale, 4 * scale);
      context.fillStyle = colour("--soft");
      context.fillText(name, left_px + 20 * scale, 42 * scale);
      left_px += context.measureText(name).width + 40 * scale;
    });
    context.drawImage(drawn, 16 * scale, head_px);
    canvas.toBlob((blob) => blob && save(blob, `${fileName(this.plan.file)}.png`));
  }
}
