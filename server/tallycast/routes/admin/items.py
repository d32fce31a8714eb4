"""Items as an administrator sees them: what is counted, what was given, who says what; freezing, thawing, deleting."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tallycast.bars import Bar
from tallycast.errors import Refused
from tallycast.forgetting import alias
from tallycast.moderator import Given, Moderator
from tallycast.routes.admin.requests import (
    actor_name,
    admin_of,
    fields,
    item_of,
    json_body,
    nothing,
    prefix_of,
    raw_body,
    reply,
    whole,
)
from tallycast.store.base import Snapshot

MOST_REASON = 500  # characters
MOST_REMOVED = 1_000  # actors


async def items(request: Request) -> Response:
    """Items whose ids begin with the query's `prefix`, a page of about `limit`."""
    admin = await admin_of(request, "read")
    prefix = prefix_of(request, admin)
    limit = whole(request, "limit", default=100, low=1, high=1000)
    moderator = _moderator(request)
    page = await moderator.items(prefix, request.query_params.get("cursor", ""), limit)
    frozen = moderator.bars.frozen
    listed = [{**snapshot._asdict(), "frozen": snapshot.item in frozen} for snapshot in page.items]
    return reply({"items": listed, "cursor": page.cursor})


async def counts(request: Request) -> Response:
    """An item: its counts, what was given to it, and whether it is frozen."""
    await admin_of(request, "read", item := item_of(request))
    moderator = _moderator(request)
    bar = moderator.bars.frozen.get(item)
    return reply({**_given(await moderator.counts(item)), "frozen": None if bar is None else shown(bar)})


async def give(request: Request) -> Response:
    """Set starting counts, or the numbers of external kinds: {"like": 120}."""
    admin = await admin_of(request, "write", item := item_of(request))
    numbers = await json_body(request)
    if not numbers:
        raise Refused("bad_request", 'say which counts: {"like": 120}')
    moderator = _moderator(request)
    batch = moderator.given(item, numbers)
    await request.app.state.site.audit.note(admin.who, "item.give", {"item": item, "counts": numbers})
    await moderator.apply(batch)
    return reply(_given(await moderator.counts(item)))


async def values(request: Request) -> Response:
    """Who says what of an item, a page of about `limit` actors."""
    await admin_of(request, "moderate", item := item_of(request))
    limit = whole(request, "limit", default=100, low=1, high=1000)
    moderator = _moderator(request)
    said, cursor = await moderator.values(item, request.query_params.get("cursor", ""), limit)
    banned = moderator.bars.banned
    listed = [
        {"actor": actor, "values": {kind: value for kind, (value, _) in kinds.items()}, "banned": actor in banned}
        for actor, kinds in said.items()
    ]
    return reply({"item": item, "values": listed, "cursor": cursor})


async def remove(request: Request) -> Response:
    """Take out what some actors say of an item: {"actors": ["u:1"]}."""
    admin = await admin_of(request, "moderate", item := item_of(request))
    body = await json_body(request)
    fields(body, "actors")
    actors = body.get("actors")
    if not isinstance(actors, list) or not 1 <= len(actors) <= MOST_REMOVED:
        raise Refused("bad_request", f"actors must be a list of 1 to {MOST_REMOVED} names")
    names = list(dict.fromkeys(actor_name(actor) for actor in actors))
    about = {"item": item, "actors": [alias(actor) for actor in names]}
    await request.app.state.site.audit.note(admin.who, "item.remove", about)
    removed = await _moderator(request).remove(item, names)
    found = sum(any(value for value, _ in kinds.values()) for kinds in removed.values.values())
    return reply({**_counted(removed.snapshot), "removed": found})


async def delete(request: Request) -> Response:
    """Take away everything that was said of an item."""
    admin = await admin_of(request, "moderate", item := item_of(request))
    moderator = _moderator(request)
    before = (await moderator.counts(item)).snapshot.counts
    await request.app.state.site.audit.note(admin.who, "item.delete", {"item": item, "counts": before})
    return reply(_counted(await moderator.delete(item)))


async def freeze(request: Request) -> Response:
    """Let nobody react to an item; the body may say why."""
    admin = await admin_of(request, "moderate", item := item_of(request))
    reason = await reason_of(request)
    await request.app.state.site.audit.note(admin.who, "item.freeze", {"item": item, "reason": reason})
    return reply({"item": item, "frozen": shown(await _moderator(request).bars.freeze(item, admin.who, reason))})


async def thaw(request: Request) -> Response:
    """Let people react again."""
    admin = await admin_of(request, "moderate", item := item_of(request))
    await request.app.state.site.audit.note(admin.who, "item.thaw", {"item": item})
    await _moderator(request).bars.thaw(item)
    return nothing()


async def bars(request: Request) -> Response:
    """What is frozen within the key's prefix and, for a key of the whole site, who is banned."""
    admin = await admin_of(request, "moderate")
    bars = _moderator(request).bars
    frozen = [{"item": i, **shown(bar)} for i, bar in bars.frozen.items() if i.startswith(admin.prefix)]
    banned = [] if admin.prefix else [{"actor": actor, **shown(bar)} for actor, bar in bars.banned.items()]
    return reply({"frozen": frozen, "banned": banned})


async def reason_of(request: Request) -> str:
    """The body's `reason`, "" where there is no body. Raises Refused (`bad_json`, `bad_request`)."""
    if not await raw_body(request):
        return ""
    body = await json_body(request)
    fields(body, "reason")
    reason = body.get("reason", "")
    if not isinstance(reason, str) or len(reason) > MOST_REASON:
        raise Refused("bad_request", f"reason is a text of at most {MOST_REASON} characters")
    return reason


def shown(bar: Bar) -> dict[str, Any]:
    """A bar in an answer."""
    return bar._asdict()


def _moderator(request: Request) -> Moderator:
    moderator: Moderator = request.app.state.site.moderator
    return moderator


def _counted(snapshot: Snapshot) -> dict[str, Any]:
    return snapshot._asdict()


def _given(given: Given) -> dict[str, Any]:
    return {**_counted(given.snapshot), "given": given.given}


routes: list[BaseRoute] = [
    Route("/v1/admin/items", items),
    Route("/v1/admin/bars", bars),
    # The last segment decides, as ids may hold slashes: nothing is at /v1/admin/items/{item} itself.
    Route("/v1/admin/items/{item:path}/counts", counts),
    Route("/v1/admin/items/{item:path}/counts", give, methods=["PUT"]),
    Route("/v1/admin/items/{item:path}/values", values),
    Route("/v1/admin/items/{item:path}/values", delete, methods=["DELETE"]),
    Route("/v1/admin/items/{item:path}/remove", remove, methods=["POST"]),
    Route("/v1/admin/items/{item:path}/freeze", freeze, methods=["PUT"]),
    Route("/v1/admin/items/{item:path}/freeze", thaw, methods=["DELETE"]),
]
