"""The result as one HTML file that works anywhere: no network, both themes, phones, paper.

Everything that may be somebody else's words (a scenario's name, a hub's error codes) is escaped, and a policy lets run
only the script that is written here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Final

from tallycast_loadtest import figures, machine, plots
from tallycast_loadtest.figures import Figure, at, number, of, of_bytes, printable, several, written
from tallycast_loadtest.results import METRICS, Result, Unit

OUTCOMES: Final = {  # of the verdict: the colour's name, and the mark beside the headline
    "ok": ("success", "✓"),
    "interrupted": ("warning", "…"),
    "generator saturated": ("warning", "!"),
    "thresholds missed": ("failure", "✗"),
    "wrong counts": ("failure", "✗"),
}
WRITERS: Final[Mapping[Unit, Callable[[float], str]]] = {  # of a threshold's unit
    "ms": of("ms"),
    "us": of("µs"),
    "s": of("s"),
    "bytes": of_bytes,
    "/s": of("/s"),
    "share": number,
    "count": number,
}


def write(result: Result, path: Path) -> None:
    """Write the report. Raises OSError where it cannot."""
    path.write_text(page(result.to_json(), path.with_suffix(".json").name), "utf-8")


def page(found: Mapping[str, Any], json_name: str = "result.json") -> str:
    """The report of a result's JSON. Its reader can save that JSON, at first as `json_name`."""
    result = _shareable(figures.finite(found))
    style = _own("uplot/uPlot.min.css") + "\n" + _own("page.css")
    library = f"/*\n{_own('uplot/LICENSE')}\n*/\n{_own('uplot/uPlot.iife.min.js')}"
    script = _own("page.js")
    outcome, mark = OUTCOMES.get(result["verdict"], ("warning", "?"))
    started = str(result["started"]).replace("T", " ").replace("Z", " UTC")
    scenario = printable(at(result, "scenario.name") or "load test")
    tool = " ".join(printable(at(result, f"tool.{key}") or "") for key in ("name", "version"))
    return Template(_own("page.html")).substitute(
        policy=_policy(style, library, script),
        title=escape(f"{scenario}: {figures.headline(result)}"),
        style=style,
        outcome=outcome,
        mark=mark,
        file_name=escape(json_name),
        eyebrow=escape(f"{scenario} · {_hub(result)} · {printable(started)} · {number(result['duration_s'])} s"),
        headline=escape(figures.headline(result)),
        story=escape(re.sub(r"(?<=\d) (?=(ms|s|%)\W)", "\N{NO-BREAK SPACE}", " ".join(figures.story(result)))),
        why=_list("why", figures.reasons(result)),
        tiles=_tiles(result),
        thresholds=_thresholds(result),
        log=" checked" if plots.far_apart(result) else "",
        latency_table=_latency_table(result),
        marks=_marks(result),
        latency_plots=_plots(plots.LATENCY, result),
        traffic_plots=_plots(plots.TRAFFIC, result),
        cost_plots=_plots(plots.COST, result),
        proof=_proof(result),
        traffic_tables=f"<div>{_section(result, 'Rates')}{_errors(result)}</div>{_section(result, 'Deliveries')}",
        cost_tables=_section(result, "What the hub spent") + _section(result, "The load generator"),
        command=escape(printable(machine.shell_line(result["command"]), most=4000)),
        setup=_setup(result),
        glossary="".join(f"<div><dt>{escape(word)}</dt><dd>{escape(is_)}</dd></div>" for word, is_ in _GLOSSARY),
        footer=escape(f"Written by {tool}. Plots by uPlot, © 2022 Leon Sorokin, MIT licence."),
        result=_data(result),
        plots=_data(plots.spec(result)),
        library=library,
        script=script,
    )


_GLOSSARY: Final = tuple(figures.GLOSSARY.items())


def _shareable(result: Mapping[str, Any]) -> dict[str, Any]:
    """Without the secrets that a command line or an address may hold: reports are passed on."""
    hub = {**result["hub"], "url": machine.address(str(at(result, "hub.url") or ""))}
    return {**result, "command": machine.spoken(result["command"]), "hub": hub}


def _own(name: str) -> str:
    return files("tallycast_loadtest").joinpath("report", *name.split("/")).read_text("utf-8")


def _policy(style: str, *scripts: str) -> str:
    """Content-Security-Policy: this style, these scripts, the icon, and nothing from anywhere."""
    allowed = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {allowed}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _data(value: Any) -> str:
    """JSON that no HTML parser can take for the end of its script element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _datum(result: Mapping[str, Any], path: str, text: str) -> str:
    """A figure as it is read, with the exact one of the JSON for scripts."""
    value = at(result, path)
    if value is None:
        return f'<span class="soft">{figures.NOTHING}</span>'
    return f'<data value="{escape(json.dumps(value))}" data-path="{escape(path)}">{escape(text)}</data>'


def _tiles(result: Mapping[str, Any]) -> str:
    """The eight figures to see first."""
    return "".join(
        (
            _tile(result, "latency.viewer.p99_ms", "Click to other viewers, 99\N{NO-BREAK SPACE}% within", of("ms")),
            _tile(result, "latency.ack.p99_ms", "Click to answer, 99\N{NO-BREAK SPACE}% within", of("ms")),
            _wrong_tile(result),
            _tile(result, figures.fullest(result) or "", "Viewers at once"),
            _tile(result, "rates.acked_per_s", "Reactions acknowledged", of("/s")),
            _tile(result, "deliveries.frames", "Frames delivered"),
            _tile(result, "hub_cost.cpu_us_per_frame", "Hub's CPU a frame", of("µs")),
            _tile(result, "hub_cost.rss_bytes_per_viewer", "Hub's memory a viewer", of_bytes),
        )
    )


def _tile(result: Mapping[str, Any], path: str, name: str, write: Callable[[float], str] = number) -> str:
    """A figure in large letters, its unit in small ones."""
    text = written(at(result, path), write)
    unit = text.lstrip("-0123456789.,")
    value = text.removesuffix(unit)
    small = f" <small>{escape(unit.strip())}</small>" if value and unit else ""
    return f"<div><dt>{escape(name)}</dt><dd>{_datum(result, path, value)}{small}</dd></div>"


def _wrong_tile(result: Mapping[str, Any]) -> str:
    wrong = sum(at(result, figure.path) or 0 for figure in figures.ORACLE)
    if not at(result, "oracle.acked") and not wrong:
        return f'<div><dt>Wrong counts</dt><dd class="soft">{figures.NOTHING}</dd></div>'
    return f'<div><dt>Wrong counts</dt><dd class="{"wrong" if wrong else "right"}">{number(wrong)}</dd></div>'


def _list(name: str, lines: Iterable[object]) -> str:
    items = "".join(f"<li>{escape(printable(line))}</li>" for line in lines)
    return f'<ul class="{name}">{items}</ul>' if items else ""


def _table(caption: str, rows: Iterable[str], head: str = "", name: str = "") -> str:
    """A table that scrolls by itself where the screen is too narrow. `rows` and `head` are HTML."""
    thead = f"<thead><tr>{head}</tr></thead>" if head else ""
    reach = f' tabindex="0" role="region" aria-label="{escape(caption)}"' if head else ""
    return (
        f'<div class="scroll"{reach}><table class="{name}"><caption>{escape(caption)}</caption>{thead}'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(name: str, cell: str, meaning: str = "", *, kind: str = "number") -> str:
    small = f" <small>{escape(meaning)}</small>" if meaning else ""
    return f'<tr><th scope="row">{escape(name)}{small}</th><td class="{kind}">{cell}</td></tr>'


def _figure_row(result: Mapping[str, Any], figure: Figure, kind: str = "number") -> str:
    text = written(at(result, figure.path), figure.write)
    return _row(figure.name, _datum(result, figure.path, text), figure.meaning, kind=kind)


def _section(result: Mapping[str, Any], name: str) -> str:
    return _table(name, (_figure_row(result, figure) for figure in figures.SECTIONS[name]))


def _latency_table(result: Mapping[str, Any]) -> str:
    """Percentiles in milliseconds; a latency that nobody measured is left out."""
    present = {key: name for key, name in figures.LATENCIES.items() if at(result, f"latency.{key}.count")}
    if not present:
        return '<p class="hint">No latency was measured in this run.</p>'
    head = "".join(f'<th scope="col" class="number">{name}</th>' for name in figures.PERCENTILES.values())
    rows = []
    for key, name in present.items():
        paths = [f"latency.{key}.{figure}" for figure in figures.PERCENTILES]
        cells = (f'<td class="number">{_datum(result, path, written(at(result, path)))}</td>' for path in paths)
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{"".join(cells)}</tr>')
    return _table("In milliseconds, over the whole run", rows, f'<th scope="col">Latency</th>{head}', "latency")


def _marks(result: Mapping[str, Any]) -> str:
    marked = [f"{number(mark['t_s'])} s {printable(mark['text'], most=80)}" for mark in plots.marks(result)]
    return f'<p class="hint">Marked in the plots: {escape("; ".join(marked))}.</p>' if marked else ""


def _thresholds(result: Mapping[str, Any]) -> str:
    if not result["thresholds"]:
        return ""
    rows = []
    for index, threshold in enumerate(result["thresholds"]):
        met = '<span class="met">✓ met</span>' if threshold["met"] else '<span class="missed">✗ missed</span>'
        name = re.match(r"\w*", threshold["text"])
        metric = METRICS.get(name[0]) if name else None
        write = WRITERS[metric.unit] if metric else number
        value = _datum(result, f"thresholds.{index}.value", written(threshold["value"], write))
        rows.append(
            f'<tr><th scope="row"><code>{escape(printable(threshold["text"]))}</code></th>'
            f'<td class="number">{value}</td><td class="number">{met}</td></tr>'
        )
    names = "".join(f'<th scope="col" class="number">{name}</th>' for name in ("was", "outcome"))
    head = f'<th scope="col">Threshold</th>{names}'
    table = _table("What this run had to reach", rows, head)
    return f'<section aria-labelledby="goals-title"><h2 id="goals-title">Thresholds</h2>{table}</section>'


def _proof(result: Mapping[str, Any]) -> str:
    acked, items, viewers = (at(result, f"oracle.{name}") for name in ("acked", "items", "viewers"))
    if not acked and not any(at(result, figure.path) for figure in figures.ORACLE):
        return '<p class="hint">No reaction was acknowledged in this run: there was nothing to compare.</p>'
    rows = [
        _figure_row(result, figure, f"number {'wrong' if at(result, figure.path) else 'right'}")
        for figure in figures.ORACLE
    ]
    if at(result, figures.UNANSWERED.path) is not None:
        rows.append(_figure_row(result, figures.UNANSWERED))
    caption = (
        f"{several(acked, 'acknowledged reaction')} on {several(items, 'item')}, compared with the hub's final counts "
        f"and with what {several(viewers, 'viewer')} saw last"
    )
    examples = _list("examples", at(result, "oracle.examples") or ())
    return _table(caption, rows) + examples


def _errors(result: Mapping[str, Any]) -> str:
    reconnects = "Connections made again after a loss."
    rows = [_row("Reconnects", _datum(result, "reconnects", written(result["reconnects"])), reconnects)]
    for code, count in sorted(result["errors"].items(), key=lambda error: -error[1]):
        rows.append(_row(printable(code, most=80), number(count)))
    if not result["errors"]:
        rows.append(_row("Errors", "0", "Answers that refused a reaction or a connection."))
    return _table("Errors and reconnects", rows)


def _setup(result: Mapping[str, Any]) -> str:
    hub, made_on = at(result, "hub") or {}, at(result, "machine") or {}
    memory = written(made_on.get("memory_bytes") or None, of_bytes)
    machine_of = {"CPU": made_on.get("cpu"), "Cores": made_on.get("cores"), "Memory": memory}
    machine_of |= {"System": made_on.get("system"), "Python": made_on.get("python")}
    hub_is = {"URL": _hub(result), "Kinds": hub.get("kinds"), "Tick": written(hub.get("tick_ms"), of("ms"))}
    tables = {"Machine": machine_of, "Hub": hub_is, "Scenario": result["scenario"]}
    return "".join(_pairs(caption, each) for caption, each in tables.items())


def _pairs(caption: str, of_it: Mapping[str, Any]) -> str:
    """Names and what they are, in as many columns as there is room for."""
    pairs = "".join(
        f"<div><dt>{escape(printable(name))}</dt><dd>{escape(printable(_plain(is_)))}</dd></div>"
        for name, is_ in of_it.items()
    )
    return f'<h3>{escape(caption)}</h3><dl class="pairs">{pairs}</dl>'


def _plain(value: Any) -> str:
    """A value of JSON as one reads it."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_plain(each)}" for name, each in value.items()) or figures.NOTHING
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_plain, value)) or figures.NOTHING
    if value is None or value == "":
        return figures.NOTHING
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{value:,.12g}"  # not rounded: it was given so
    return str(value)


def _hub(result: Mapping[str, Any]) -> str:
    return printable(at(result, "hub.url"))


def _plots(shown: Iterable[plots.Plot], result: Mapping[str, Any]) -> str:
    """All of them, so that one sees what was not measured; nothing where that is true of all."""
    shown = list(shown)
    return "".join(_plot(plot, result) for plot in shown) if any(plots.measured(plot, result) for plot in shown) else ""


def _plot(plot: plots.Plot, result: Mapping[str, Any]) -> str:
    drawn = ""
    if plots.measured(plot, result):
        drawn = (
            f'<div class="legend" role="group" aria-label="Lines: {escape(plot.title)}"></div>'
            f'<div class="plot" data-plot="{plot.id}"></div>'
        )
    return (
        f"<figure{' class=wide' if plot.wide else ''}><figcaption><h3>{escape(plot.title)}</h3>"
        f"<p>{escape(plots.words(plot, result))}</p></figcaption>{drawn}</figure>"
    )
