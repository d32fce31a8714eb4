// Draws the report's plots with uPlot, and lets its reader move through them by pointer and by keyboard.
"use strict";

const result = JSON.parse(document.getElementById("result").textContent);
const specs = JSON.parse(document.getElementById("plots").textContent);
const root = document.documentElement;
const probe = document.body.appendChild(document.createElement("span"));
const GAP_PX = 8;
const Y_AXIS_PX = 64; // the same in all plots, so that their seconds stand below one another
const PERCENT_PX = 84; // a label of many nines
const LEAST_MS = 0.001; // a logarithmic scale has no 0
const PRINTED_PX = { half: 320, wide: 660 };
const charts = new Map();

const digits = (value, places) =>
  value.toLocaleString("en", { minimumFractionDigits: places, maximumFractionDigits: places });
const number = (value) => digits(value, Number.isInteger(value) || Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2);

function bytes(value) {
  const power = Math.min(3, Math.max(0, Math.floor(Math.log2(Math.abs(value) || 1) / 10)));
  return `${number(value / 1024 ** power)} ${["B", "KiB", "MiB", "GiB"][power]}`;
}

const WRITERS = {
  ms: (value) => `${number(value)} ms`,
  "/s": (value) => `${number(value)}/s`,
  "": number,
  bytes,
  share: (value) => `${digits(value * 100, 0)} %`,
};

// Ticks carry as few digits as tell them apart.
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 3 });
const TICKS = {
  ms: (value) => (value < 1000 ? `${compact.format(value)} ms` : `${compact.format(value / 1000)} s`),
  "/s": (value) => compact.format(value),
  "": (value) => compact.format(value),
  bytes,
  share: WRITERS.share,
};
const BYTE_STEPS = Array.from({ length: 40 }, (_, power) => 2 ** power);

const tenths = (percentile) => -Math.log10(1 - percentile / 100); // 0 %: 0, 90 %: 1, 99 %: 2, 99.9 %: 3
const percent = (tenth) => `${Number((100 - 100 * 10 ** -tenth).toPrecision(Math.max(3, Math.floor(tenth) + 2)))} %`;

// Where the percentiles' axis is labelled: as many as there is room for, 0 % and 50 % if they stand clear.
function percentiles(width_px, min, max) {
  const room_px = width_px / (max - min);
  const step = Math.ceil(PERCENT_PX / room_px);
  const nines = Array.from({ length: 9 }, (_, index) => index + 1).filter((nine) => (nine - 1) % step === 0);
  const first = room_px > 1.4 * PERCENT_PX ? [0, tenths(50)] : room_px > 0.6 * PERCENT_PX ? [0] : [];
  return [...first, ...nines].filter((x) => x >= min && x <= max);
}

function decades(min, max) {
  const all = Array.from({ length: 12 }, (_, power) => 10 ** (power - 4));
  const fine = max / min > 100 ? [1] : [1, 2, 5];
  return all.flatMap((each) => fine.map((times) => each * times)).filter((y) => y >= min * 0.999 && y <= max * 1.001);
}

function overTime({ lines }) {
  const { seconds } = result;
  return [seconds.map(({ t_s }) => t_s), ...lines.map(({ column }) => seconds.map((second) => second[column]))];
}

// The curves on their common percentiles. 100 % would be infinitely far to the right: the largest value stands at one
// in as many as were counted.
function overPercentiles({ lines }) {
  const curves = lines.map(({ column }) => {
    const { count, curve } = result.latency[column];
    const last = tenths(100 * (1 - 1 / Math.max(2, count)));
    return curve.map(([percentile, ms]) => [percentile < 100 ? Math.min(tenths(percentile), last) : last, ms]);
  });
  const xs = [...new Set(curves.flat().map(([x]) => x))].sort((a, b) => a - b);
  const ys = curves.map((curve) => {
    let at = 0;
    return xs.map((x) => {
      while (at < curve.length && curve[at][0] < x) at += 1;
      return at < curve.length ? curve[at][1] : null;
    });
  });
  return [xs, ...ys];
}

function colour(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

class Chart {
  constructor(box) {
    this.box = box;
    this.figure = box.closest("figure");
    this.wide = this.figure.classList.contains("wide");
    this.spec = specs[box.dataset.plot];
    this.timed = this.spec.over === "time";
    this.data = this.timed ? overTime(this.spec) : overPercentiles(this.spec);
    this.write = WRITERS[this.spec.unit];
    this.hidden = new Set();
    this.makeLegend();
    this.makeTable();
    this.makeSlider();
  }

  // Time, or a percentile, as its reader says it.
  where(index) {
    const x = this.data[0][index];
    return this.timed ? `${number(x)} s` : percent(x);
  }

  draw() {
    const seen = this.plot && { min: this.plot.scales.x.min, max: this.plot.scales.x.max };
    this.plot?.destroy();
    const logarithmic = this.spec.unit === "ms" && this.figure.closest("section").querySelector("#log")?.checked === true;
    const data = logarithmic
      ? this.data.map((values, index) => (index ? values.map((value) => value && Math.max(value, LEAST_MS)) : values))
      : this.data;
    this.plot = new uPlot(this.options(logarithmic), data, this.box);
    if (seen) this.plot.setScale("x", seen);
  }

  options(logarithmic) {
    const font = '12px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif';
    const axis = {
      font,
      stroke: () => colour("soft"),
      grid: { stroke: () => colour("line"), width: 1 },
      ticks: { show: false },
    };
    const xs = this.data[0];
    return {
      width: this.width(),
      height: this.box.clientHeight,
      legend: { show: false },
      padding: [14, this.timed ? 14 : 36, 0, 0],
      cursor: {
        y: false,
        points: { size: 7 },
        drag: { x: true, y: false },
        ...(this.timed && { sync: { key: "time", scales: ["x", null] } }),
      },
      scales: {
        x: { time: false, range: (_, min, max) => whole(min ?? xs[0], max ?? xs.at(-1)) },
        y: logarithmic ? { distr: 3, log: 10, range: (_, min, max) => uPlot.rangeLog(min ?? 1, max ?? 10, 10, true) } : { range: (_, __, max) => [0, (max || 1) * 1.08] },
      },
      axes: [
        {
          ...axis,
          grid: { show: !this.timed, stroke: axis.grid.stroke, width: 1 },
          space: 60,
          gap: 8,
          size: 34,
          ...(!this.timed && { splits: (plot, _, min, max) => percentiles(plot.width - Y_AXIS_PX, min, max) }),
          values: (_, splits) => splits.map((x) => (this.timed ? `${x} s` : percent(x))),
        },
        {
          ...axis,
          size: Y_AXIS_PX,
          space: 36,
          ...(this.spec.unit === "bytes" && { incrs: BYTE_STEPS }),
          ...(logarithmic && { splits: (_, __, min, max) => decades(min, max), filter: (_, splits) => splits }),
          values: (_, splits) => splits.map(TICKS[this.spec.unit]),
        },
      ],
      series: [
        {},
        ...this.spec.lines.map((line) => ({
          show: !this.hidden.has(line.column),
          stroke: () => colour(line.colour),
          points: { fill: () => colour("card") },
          width: line.dashed ? 1.5 : 2,
          ...(line.dashed && { dash: [5, 4] }),
          ...(this.spec.lines.length === 1 && { fill: () => translucent(colour(line.colour)) }),
          ...(!this.timed && { paths: uPlot.paths.stepped({ align: -1 }), points: { show: false } }),
        })),
      ],
      hooks: {
        draw: this.timed ? [(plot) => drawMarks(plot, font)] : [],
        setCursor: [(plot) => this.tell(plot.cursor.left >= 0 ? plot.cursor.idx : null)],
      },
    };
  }

  width() {
    return document.body.classList.contains("printed") ? PRINTED_PX[this.wide ? "wide" : "half"] : this.box.clientWidth;
  }

  resize() {
    const width = this.width();
    if (width > 0 && width !== this.plot.width) this.plot.setSize({ width, height: this.box.clientHeight });
  }

  makeLegend() {
    this.values = this.spec.lines.map(() => element("b"));
    this.when = element("span", { className: "when" });
    const buttons = this.spec.lines.map((line, index) => {
      const sample = element("i", { className: line.dashed ? "dashed" : "" });
      sample.style.color = `var(--${line.colour})`;
      const button = element("button", { type: "button" }, sample, line.name, this.values[index]);
      button.setAttribute("aria-pressed", "true");
      button.addEventListener("click", () => this.toggle(line, index, button));
      return button;
    });
    this.figure.querySelector(".legend").append(...buttons, this.when);
  }

  toggle({ column }, index, button) {
    if (!this.hidden.delete(column)) this.hidden.add(column);
    const shown = !this.hidden.has(column);
    button.setAttribute("aria-pressed", String(shown));
    this.plot.setSeries(index + 1, { show: shown });
  }

  // Shows the values at an index beside their names; null: of none.
  tell(index) {
    const known = index !== null && index !== undefined;
    this.when.textContent = known ? `at ${this.where(index)}` : "";
    this.values.forEach((value, line) => {
      const y = known ? this.data[line + 1][index] : null;
      value.textContent = known ? this.said(y) : "";
    });
    if (known) {
      this.box.setAttribute("aria-valuenow", index);
      this.box.setAttribute("aria-valuetext", this.spoken(index));
    }
  }

  said(value) {
    return value === null || value === undefined ? "–" : this.write(value);
  }

  spoken(index) {
    const values = this.spec.lines.map(({ name }, line) => `${name} ${this.said(this.data[line + 1][index])}`);
    return `${this.where(index)}: ${values.join(", ")}`;
  }

  makeSlider() {
    const { box } = this;
    box.tabIndex = 0;
    for (const [name, value] of Object.entries({
      role: "slider",
      "aria-label": `${this.spec.title}: ${this.timed ? "second" : "percentile"}`,
      "aria-orientation": "horizontal",
      "aria-valuemin": 0,
      "aria-valuemax": this.data[0].length - 1,
      "aria-valuenow": 0,
      "aria-valuetext": this.spoken(0),
    })) {
      box.setAttribute(name, value);
    }
    box.addEventListener("keydown", (event) => {
      const last = this.data[0].length - 1;
      const now = Number(box.getAttribute("aria-valuenow"));
      const next = { ArrowRight: now + 1, ArrowUp: now + 1, ArrowLeft: now - 1, ArrowDown: now - 1, PageUp: now + 10,
        PageDown: now - 10, Home: 0, End: last }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      this.moveTo(Math.min(last, Math.max(0, next)));
    });
  }

  // The cursor of this plot, and of all that share its time.
  moveTo(index) {
    const x = this.data[0][index];
    for (const { plot } of this.timed ? timed() : [this]) {
      plot.setCursor({ left: plot.valToPos(x, "x"), top: 0 });
    }
  }

  // Made when it is first opened: an hour has 3,600 rows.
  makeTable() {
    const details = element("details", {}, element("summary", { textContent: "As a table" }));
    details.addEventListener("toggle", () => {
      if (!details.open || details.children.length > 1) return;
      const row = (kind, cells) => element("tr", {}, ...cells.map((text, index) =>
        element(kind, { textContent: text, className: index ? "number" : "" })));
      const head = row("th", [this.timed ? "second" : "percentile", ...this.spec.lines.map(({ name }) => name)]);
      const rows = this.data[0].map((_, index) =>
        row("td", [this.where(index), ...this.spec.lines.map((_line, line) => this.said(this.data[line + 1][index]))]));
      const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
      const scroll = element("div", { className: "scroll", tabIndex: 0 }, table);
      scroll.setAttribute("role", "region");
      scroll.setAttribute("aria-label", `${this.spec.title} as a table`);
      details.append(scroll);
    });
    this.figure.append(details);
  }
}

const whole = (min, max) => (min === max ? [min - 1, max + 1] : [min, max]); // one second alone stands in the middle
const timed = () => [...charts.values()].filter((chart) => chart.timed);
const translucent = (css) => css.replace(/^rgb\((.*)\)$/, "rgb($1, 0.14)");

// A line where a phase begins or something was done to the hub, its words where there is room.
function drawMarks(plot, font) {
  const { ctx, bbox } = plot;
  const scale = uPlot.pxRatio;
  ctx.save();
  ctx.font = font.replace("12px", `${11 * scale}px`);
  ctx.textAlign = "left";
  ctx.textBaseline = "bottom";
  ctx.setLineDash([2 * scale, 3 * scale]);
  ctx.lineWidth = scale;
  let free = -Infinity;
  for (const { t_s, text } of result.marks ?? []) {
    const x = plot.valToPos(t_s, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.strokeStyle = colour("soft");
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    const width = ctx.measureText(text).width;
    const left = Math.min(x, bbox.left + bbox.width - width);
    if (left < free) continue;
    ctx.fillStyle = colour("soft");
    ctx.fillText(text, left, bbox.top - scale);
    free = left + width + GAP_PX * scale;
  }
  ctx.restore();
}

function redrawAll() {
  for (const { plot } of charts.values()) plot.redraw();
}

const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => root.dataset.theme ?? (dark.matches ? "dark" : "light");
const themeButton = document.getElementById("theme");

function showTheme() {
  themeButton.textContent = theme() === "dark" ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", `Show in ${theme() === "dark" ? "light" : "dark"} colours`);
  redrawAll();
}

themeButton.addEventListener("click", () => {
  root.dataset.theme = theme() === "dark" ? "light" : "dark";
  showTheme();
});
dark.addEventListener("change", showTheme);

document.getElementById("print").addEventListener("click", () => print());
const text = JSON.stringify(result, null, 2);
document.getElementById("download").href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
const raw = document.getElementById("raw");
raw.parentElement.addEventListener("toggle", () => { raw.textContent ||= text; });

for (const box of document.querySelectorAll(".plot")) charts.set(box.dataset.plot, new Chart(box));
for (const chart of charts.values()) chart.draw();
const sized = new ResizeObserver(() => charts.forEach((chart) => chart.resize()));
for (const { box } of charts.values()) sized.observe(box);
document.getElementById("log").addEventListener("change", () => charts.forEach((chart) => chart.draw()));
for (const part of document.querySelectorAll(charts.size ? ".tools, .switch, .hint" : ".tools")) part.hidden = false;
document.getElementById("unplotted").hidden = true;

let themeBefore;
addEventListener("beforeprint", () => {
  themeBefore = root.dataset.theme;
  root.dataset.theme = "light";
  document.body.classList.add("printed");
  charts.forEach((chart) => chart.resize());
  redrawAll();
});
addEventListener("afterprint", () => {
  if (themeBefore === undefined) delete root.dataset.theme;
  else root.dataset.theme = themeBefore;
  document.body.classList.remove("printed");
  charts.forEach((chart) => chart.resize());
  redrawAll();
});
showTheme();
