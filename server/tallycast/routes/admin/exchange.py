"""GET /v1/admin/export and POST /v1/admin/import: counts and values of many items, streamed both ways."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any, cast, get_args

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Send

from tallycast.errors import Refused, Unavailable
from tallycast.exchange import exporting, importing
from tallycast.exchange.rows import MEDIA_TYPES, Checker, Format, What, head, written
from tallycast.routes.admin.requests import admin_of, prefix_of
from tallycast.routes.http import NO_STORE
from tallycast.routes.problems import closing, problem

log = logging.getLogger("tallycast.exchange")

TYPES: Mapping[str, Format] = {
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "text/csv": "csv",
}


class Pieces(StreamingResponse):
    """A stream that ends without its end where the store fails: whoever reads it sees that it is not whole."""

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except Unavailable as error:
            log.warning("an export was cut off: %s", error.message)


async def export(request: Request) -> Response:
    """All counts, or all that was said, of items within a prefix; each piece says where to go on after it."""
    what = _what(request)
    format = cast(Format, _choice(request, "format", get_args(Format)))
    admin = await admin_of(request, "moderate" if what == "values" else "read")
    prefix, cursor = prefix_of(request, admin), request.query_params.get("cursor", "")
    site = request.app.state.site
    pieces = (
        exporting.values(site.moderator, prefix, cursor)
        if what == "values"
        else exporting.counts(site.moderator, format, prefix, cursor)
    )
    headers = {**NO_STORE, "Content-Disposition": f'attachment; filename="tallycast-{what}.{format}"'}
    if request.method == "HEAD":
        return Response(headers=headers, media_type=MEDIA_TYPES[format])
    first = await anext(pieces)  # what is wrong with the request shows before the answer begins
    if what == "values":
        await site.audit.note(admin.who, "export.values", {"prefix": prefix})

    async def stream() -> AsyncIterator[bytes]:
        if not cursor:
            yield head(what, format)
        yield written(what, format, *first)
        async for piece in pieces:
            yield written(what, format, *piece)

    return Pieces(stream(), 200, headers, MEDIA_TYPES[format])


async def import_(request: Request) -> Response:
    """Set starting counts, or what actors say, for each line of the body, once all lines were found good."""
    what = _what(request)
    partial = _choice(request, "partial", ("false", "true")) == "true"
    admin = await admin_of(request, "write")
    format = TYPES.get(request.headers.get("content-type", "").partition(";")[0].strip().lower())
    if format is None:
        raise Refused("bad_request", f"an import is one of {', '.join(TYPES)}: say which in Content-Type")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > importing.MOST_BYTES:
        detail = f"an import may have {importing.MOST_BYTES} bytes: send it in parts"
        raise HTTPException(413, detail, closing(request))
    site, service = request.app.state.site, request.app.state.service
    body = _body(request, service.settings.request_s)
    checked = await importing.check(body, Checker(service.kinds, what, format, admin.prefix))
    try:
        if checked.bad and not partial:
            return _refusal(checked)
        about = {"what": what, "rows": checked.rows, "bad": checked.bad}
        await site.audit.note(admin.who, "import", about)
    except BaseException:
        checked.file.close()
        raise
    return StreamingResponse(_progress(checked, site.moderator), 200, NO_STORE, MEDIA_TYPES["ndjson"])


async def _progress(checked: importing.Checked, moderator: Any) -> AsyncIterator[bytes]:
    """A line for each batch that counts now, and one for the end."""
    told: dict[str, Any] = {"state": "running", "rows": checked.rows, "done": 0}
    file: IO[bytes] = checked.file
    with file:
        try:
            async for done in importing.apply(file, moderator):
                told["done"] = done
                yield orjson.dumps(told) + b"\n"
        except Unavailable as error:
            told |= {"state": "failed", "code": error.code, "detail": f"{error.message}: send the whole import again"}
            log.warning("an import stopped after %d of %d rows: %s", told["done"], checked.rows, error.message)
        else:
            told |= {"state": "done", "bad": checked.bad, "errors": [bad._asdict() for bad in checked.first_bad]}
    yield orjson.dumps(told) + b"\n"


def _refusal(checked: importing.Checked) -> Response:
    first, bad = checked.first_bad[0], checked.bad
    checked.file.close()
    others = f", and {bad - 1} more lines are wrong" if bad > 1 else ""
    detail = f"line {first.line}: {first.message}{others}; nothing was imported"
    return problem("bad_request", detail, more={"bad": bad, "errors": [one._asdict() for one in checked.first_bad]})


async def _body(request: Request, within_s: float) -> AsyncIterator[bytes]:
    """The body's parts. Raises HTTPException (400; 408 where one does not come within `within_s` seconds, 0: any)."""
    parts = request.stream()
    while True:
        try:
            async with asyncio.timeout(within_s or None):
                part = await anext(parts)
        except StopAsyncIteration:
            return
        except TimeoutError:
            detail = f"nothing more of the body came within {within_s:g} s"
            raise HTTPException(408, detail, closing(request)) from None
        except ClientDisconnect:
            raise HTTPException(400, "the connection ended before the body did") from None
        yield part


def _what(request: Request) -> What:
    return cast(What, _choice(request, "what", get_args(What)))


def _choice(request: Request, name: str, allowed: tuple[str, ...]) -> str:
    """One of `allowed`, the first unless the query says otherwise. Raises Refused (`bad_request`)."""
    chosen = request.query_params.get(name, allowed[0])
    if chosen not in allowed:
        raise Refused("bad_request", f"{name} must be one of {', '.join(allowed)}")
    return chosen


routes: list[BaseRoute] = [
    Route("/v1/admin/export", export),
    Route("/v1/admin/import", import_, methods=["POST"]),
]
