"""How counts moved, for creators: GET /v1/admin/history/…. docs/history.md has the whole of it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tallycast import wire
from tallycast.errors import Refused
from tallycast.history.queries import Line, Queries, Ratio
from tallycast.history.rollup import MOST_PREFIXES, is_section
from tallycast.history.spans import Span, compared, span_of, step_of, within_of, zone_of
from tallycast.kinds import Kinds
from tallycast.routes.admin.requests import admin_of, moment, prefix_of, reply, whole
from tallycast.routes.http import NO_STORE
from tallycast.store.history import DAY, HOUR, SECTION

MOST_LISTED = 200
MOST_NUMBER = 10**9
HOURS_DAYS = 28
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
VIEWS = ("view", "views")


async def series(request: Request) -> Response:
    """How the counts of an item or a section moved, bucket by bucket."""
    name, head = await _asked(request)
    queries = _queries(request)
    span = span_of(step_of(request.query_params.get("step", "hour")), *_times(request), queries.now_s())
    cumulative = _flag(request, "cumulative")
    line = await queries.series(name, span, _kinds(request))
    if _csv(request):
        return _series_csv(line, cumulative)
    body = head | {"step": request.query_params.get("step", "hour")} | _when(span)
    body |= {"times": line.times, "changes": line.changes}
    if cumulative:
        body["counts"] = line.counts
    return reply(body | {"total": line.total, "undated": line.undated})


async def top(request: Request) -> Response:
    """The items of a section whose counts rose most."""
    section, head = await _section(request)
    kind, within = _kind(request, "kind"), within_of(request.query_params.get("within", "day"))
    ranking = await _queries(request).top(section, kind, within, _limit(request))
    if _csv(request):
        return _table("top", ("item", kind), ranking)
    return reply(head | {"kind": kind, "within": within, "items": [{"item": item, "n": n} for item, n in ranking]})


async def rising(request: Request) -> Response:
    """The items of a section whose counts rise fastest against their usual."""
    section, head = await _section(request)
    kind = _kind(request, "kind")
    least = whole(request, "least", default=10, low=1, high=MOST_NUMBER)
    found = await _queries(request).rising(section, kind, _limit(request, 20), least)
    if _csv(request):
        return _table("rising", ("item", kind, "usual", "times"), found)
    items = [one._asdict() | {"usual": round(one.usual, 3), "times": round(one.times, 3)} for one in found]
    return reply(head | {"kind": kind, "items": items})


async def engagement(request: Request) -> Response:
    """The items of a section that are reacted to most for how often they are viewed."""
    section, head = await _section(request)
    kinds, views = _declared(request), _views(request)
    within = within_of(request.query_params.get("within", "week"))
    least = whole(request, "least", default=100, low=1, high=MOST_NUMBER)
    reactions = [name for name, kind in kinds.items() if name != views and kind.rule not in ("external", "unique")]
    found = await _queries(request).engagement(section, views, reactions, within, _limit(request), least)
    if _csv(request):
        return _table("engagement", ("item", "views", "reactions", "engagement"), found)
    items = [one._asdict() | {"engagement": round(one.engagement, 6)} for one in found]
    return reply(head | {"views": views, "within": within, "items": items})


async def ratio(request: Request) -> Response:
    """How sure it is that an item, or which items of a section, are liked."""
    name, head = await _asked(request)
    queries = _queries(request)
    up, down = _kind(request, "up", "like"), _kind(request, "down", "dislike")
    if name.endswith(SECTION):
        found = await queries.ratios(name, up, down, _limit(request))
    else:
        found = [await queries.ratio(name, up, down)]
    if _csv(request):
        return _table("ratio", ("item", up, down, "ratio", "at_least"), found)
    return reply(head | {"up": up, "down": down, "items": [_rounded(one) for one in found]})


async def hours(request: Request) -> Response:
    """On which days and at which hours an item or a section is reacted to."""
    name, head = await _asked(request)
    queries = _queries(request)
    zone_name = request.query_params.get("zone", "UTC")
    zone = zone_of(zone_name)
    from_s, until_s = _times(request)
    if from_s is None:
        from_s = (until_s if until_s is not None else queries.now_s()) - HOURS_DAYS * DAY
    span = span_of(HOUR, from_s, until_s, queries.now_s())
    week = await queries.hours(name, span, zone, _kinds(request))
    if _csv(request):
        return _table("hours", ("day", *range(24)), ((day, *its) for day, its in zip(DAYS, week, strict=True)))
    return reply(head | {"zone": zone_name} | _when(span) | {"hours": week})


async def compare(request: Request) -> Response:
    """How much moved in a time and in the one before it."""
    name, head = await _asked(request)
    queries = _queries(request)
    found = await queries.compare(name, compared(*_times(request), queries.now_s()))
    if _csv(request):
        rows = ((kind, n, found.before[kind], found.growth[kind]) for kind, n in found.now.items())
        return _table("compare", ("kind", "now", "before", "growth"), rows)
    growth = {kind: None if by is None else round(by, 6) for kind, by in found.growth.items()}
    now = _when(found.span) | {"changes": found.now}
    before = _when(found.span.before) | {"changes": found.before}
    return reply(head | {"now": now, "before": before, "growth": growth})


# What is asked about


async def _asked(request: Request) -> tuple[str, dict[str, Any]]:
    """The name that a request is about, and how its answer begins."""
    item = request.query_params.get("item")
    if item is None:
        return await _section(request)
    if "prefix" in request.query_params:
        raise Refused("bad_request", "ask for an item or a prefix, not for both")
    wire.check_item(item)
    await admin_of(request, "read", item)
    return item, {"item": item}


async def _section(request: Request) -> tuple[str, dict[str, Any]]:
    prefix = prefix_of(request, await admin_of(request, "read"))
    if not is_section(prefix):
        raise Refused("bad_request", f"a prefix ends with : or /, of which it has at most {MOST_PREFIXES}")
    return prefix + SECTION, {"prefix": prefix}


def _queries(request: Request) -> Queries:
    queries: Queries = request.app.state.site.history
    return queries


def _times(request: Request) -> tuple[float | None, float | None]:
    asked = (request.query_params.get(name) for name in ("from", "until"))
    from_s, until_s = (None if text is None else moment(text) for text in asked)
    return from_s, until_s


def _limit(request: Request, default: int = 50) -> int:
    return whole(request, "limit", default=default, low=1, high=MOST_LISTED)


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise Refused("bad_request", f"{name} must be true or false")
    return text == "true"


def _declared(request: Request) -> Kinds:
    kinds: Kinds = request.app.state.service.kinds
    return kinds


def _kinds(request: Request) -> list[str]:
    """The kinds that the query names, a rating's as its parts; none for all."""
    kinds = _declared(request)
    named: dict[str, None] = {}
    for name in request.query_params.getlist("kind"):
        rating = kinds.shown.get(name)
        parts = rating.parts if rating is not None else None
        if parts is None and name not in kinds:
            raise _unknown(kinds, "kind")
        named.update(dict.fromkeys(parts or (name,)))
    return list(named)


def _kind(request: Request, parameter: str, default: str | None = None) -> str:
    """The one kind that a parameter names; the first of the kinds file where nothing is said."""
    kinds = _declared(request)
    name = request.query_params.get(parameter, default or next(iter(kinds)))
    if name not in kinds:
        raise _unknown(kinds, parameter)
    return name


def _views(request: Request) -> str:
    """The kind that counts views."""
    kinds = _declared(request)
    if "views" in request.query_params:
        return _kind(request, "views")
    unique = (name for name, kind in kinds.items() if kind.rule == "unique")
    found = next((name for name in (*unique, *VIEWS) if name in kinds), None)
    if found is None:
        raise Refused("bad_request", "views must name the kind that counts views: the kinds file has no unique one")
    return found


def _unknown(kinds: Kinds, parameter: str) -> Refused:
    return Refused("unknown_kind", f"{parameter} must be one of {', '.join(kinds)}")


# Answers


def _when(span: Span) -> dict[str, Any]:
    return {"from": span.from_s, "until": span.until_s}


def _rounded(one: Ratio) -> dict[str, Any]:
    ratio = None if one.ratio is None else round(one.ratio, 6)
    return one._asdict() | {"ratio": ratio, "at_least": round(one.at_least, 6)}


def _csv(request: Request) -> bool:
    form = request.query_params.get("format", "json")
    if form not in ("json", "csv"):
        raise Refused("bad_request", "format must be json or csv")
    return form == "csv"


def _series_csv(line: Line, cumulative: bool) -> Response:
    kinds = list(line.changes)
    header = ["time", *kinds, *(f"{kind}_count" for kind in kinds if cumulative)]
    columns: list[Sequence[Any]] = [
        [datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for at_s in line.times]
    ]
    columns += [line.changes[kind] for kind in kinds]
    columns += [line.counts[kind] for kind in kinds if cumulative]
    return _table("series", header, zip(*columns, strict=True))


def _table(name: str, header: Iterable[Any], rows: Iterable[Iterable[Any]]) -> Response:
    """An answer in CSV, by RFC 4180. A spreadsheet must not take an item's id for a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    for row in rows:
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@" else cell for cell in row])
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="tallycast-{name}.csv"'}
    return Response(text.getvalue(), headers=headers, media_type="text/csv")


routes = [
    Route(f"/v1/admin/history/{route.__name__}", route)
    for route in (series, top, rising, engagement, ratio, hours, compare)
]
