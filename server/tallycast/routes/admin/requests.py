"""What the administrator's routes share: who asks, the body, numbers and times of the query, answers given once."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from tallycast import wire
from tallycast.access import Access, Admin, Right
from tallycast.errors import Refused
from tallycast.idempotency import Answer
from tallycast.routes.http import NO_STORE
from tallycast.routes.incoming import read_body

MOST_BODY_BYTES = 65_536
LATEST_S = 253_402_300_800.0  # the year 10000, beyond which ISO 8601 and datetime do not go

_WHOLE = re.compile(r"-?[0-9]{1,15}")
_SECONDS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_ACTOR = re.compile(r"[\x20-\x7d][\x20-\x7e]{0,127}")
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


async def asker_of(request: Request) -> Admin:
    """Who sends the request, whatever their rights: by their API key in Authorization, else by the dashboard's cookie.

    Raises Refused (`unauthenticated`, `bad_token`, `token_expired`, `rate_limited`; `forbidden` where a page of another
    site sends the cookie).
    """
    site = request.app.state.site
    authorization = request.headers.get("authorization")
    if authorization is None:
        admin: Admin | None = site.sessions.admin(request)
        if admin is not None:
            return admin
    access: Access = site.access
    await access.learn(authorization)
    return access.holder(authorization, address=request.app.state.service.address(request))


async def admin_of(request: Request, right: Right, *scopes: str) -> Admin:
    """asker_of(), if they have `right` on all `scopes`: item ids, or prefixes of them; "" for the whole site.

    Raises Refused (asker_of()'s, `forbidden`).
    """
    admin = await asker_of(request)
    request.app.state.site.access.permit(admin, right, *scopes)
    return admin


def prefix_of(request: Request, admin: Admin) -> str:
    """The query's `prefix`, unless given the one that the key is good for.

    Raises Refused (`bad_item`, `forbidden` where the key is not good for it).
    """
    prefix = request.query_params.get("prefix")
    if prefix is None:
        return admin.prefix
    if prefix:
        wire.check_item(prefix)
    if not prefix.startswith(admin.prefix):
        raise Refused("forbidden", f"the key is good for items that begin with {admin.prefix!r} alone")
    return prefix


def item_of(request: Request) -> str:
    """The item that the path names. Raises Refused (`bad_item`)."""
    return wire.check_item(request.path_params["item"])


def actor_of(request: Request) -> str:
    """The actor that the path names, who is none of the hub's own. Raises Refused (`bad_request`)."""
    return actor_name(request.path_params["actor"])


def actor_name(actor: object) -> str:
    """The name of an actor who is none of the hub's own. Raises Refused (`bad_request`)."""
    if not isinstance(actor, str) or not _ACTOR.fullmatch(actor):
        raise Refused("bad_request", "an actor's name is 1–128 printable ASCII characters, the first of them not ~")
    return actor


async def raw_body(request: Request, most_bytes: int = MOST_BODY_BYTES) -> bytes:
    """The request's body, which may be asked for again. Raises HTTPException (413, 408, 400)."""
    body: bytes | None = getattr(request.state, "body", None)
    if body is None:
        within_s = request.app.state.service.settings.request_s
        body = request.state.body = await read_body(request, most_bytes=most_bytes, within_s=within_s)
    return body


async def json_body(request: Request, most_bytes: int = MOST_BODY_BYTES) -> dict[str, Any]:
    """The request's body, a JSON object. Raises Refused (`bad_json`), HTTPException (413, 408, 400)."""
    return wire.loads(await raw_body(request, most_bytes))


def fields(body: Mapping[str, Any], *allowed: str) -> None:
    """Let a body pass that has no other keys than `allowed`. Raises Refused (`bad_request`)."""
    for name in body:
        if name not in allowed:
            raise Refused("bad_request", f"no field {name!r} is known here; there are: {', '.join(allowed)}")


def whole(request: Request, name: str, *, default: int, low: int, high: int) -> int:
    """The query's integer `name`, between `low` and `high`. Raises Refused (`bad_request`)."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not _WHOLE.fullmatch(text) or not low <= int(text) <= high:
        raise Refused("bad_request", f"{name} must be an integer from {low} to {high}")
    return int(text)


def moment(text: object) -> float:
    """A time as Unix seconds, of ISO 8601 with its offset (2026-11-22T18:00:00Z; a date is its midnight UTC) or of
    seconds.

    Raises Refused (`bad_request`).
    """
    wrong = Refused("bad_request", "a time is ISO 8601 with its offset, 2026-11-22T18:00:00Z, or Unix seconds")
    if isinstance(text, str) and not _SECONDS.fullmatch(text):
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise wrong from None
        if at.tzinfo is None and len(text) > len("2026-11-22"):
            raise wrong  # whose noon?
        try:
            seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
        except OverflowError:
            raise wrong from None
    elif isinstance(text, bool) or not isinstance(text, str | int | float):
        raise wrong
    else:
        seconds = float(text)
    if not math.isfinite(seconds) or not 0 <= seconds < LATEST_S:
        raise wrong
    return seconds


def reply(body: object, status: int = 200) -> Response:
    """An answer in JSON that nobody keeps."""
    return Response(orjson.dumps(body), status, NO_STORE, "application/json")


def nothing() -> Response:
    """204: it is done, and there is nothing to say of it."""
    return Response(status_code=204, headers=NO_STORE)


async def once(request: Request, admin: Admin, make: Callable[[], Awaitable[Response]]) -> Response:
    """What `make` answers; where an earlier request of this administrator had the same Idempotency-Key, its answer.

    `make` answers in JSON, with nothing secret and no actor's name: it is kept for a day. Raises Refused: what it
    raises, after which the key may be used again; `conflict` where the key came with another body; `bad_request` for a
    key that is none.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return await make()
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        raise Refused("bad_request", "an Idempotency-Key is 1–255 printable ASCII characters without blanks")

    async def answer() -> Answer:
        made = await make()
        return Answer(made.status_code, bytes(made.body).decode())

    target = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    kept = await request.app.state.site.idempotency.once(admin.key, key, target + await raw_body(request), answer)
    return Response(kept.body, kept.status, NO_STORE, "application/json")
