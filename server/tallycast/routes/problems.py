"""Errors as HTTP answers: application/problem+json (RFC 9457), with the same `code` as on the socket."""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tallycast.errors import CODES, Refused
from tallycast.proof import ProofNeeded

MEDIA_TYPE = "application/problem+json"


def problem(
    code: str,
    detail: str,
    *,
    status: int | None = None,
    retry_after_s: float | None = None,
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """The answer to a refused request: `code` is a key of CODES, `detail` what was wrong and what to do.

    `status` is the code's own unless given. `type` is about:blank, so `title` is the status's phrase: `code` says more.
    `more` are members of its own (RFC 9457, section 3.2). A known `retry_after_s` stands in the body, rounded up to
    milliseconds, and as Retry-After, rounded up to seconds.
    """
    status = CODES[code].status if status is None else status
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        **(more or {}),
    }
    all_headers = {"Cache-Control": "no-store", **(headers or {})}
    if retry_after_s is not None:
        body["retry_after"] = math.ceil(retry_after_s * 1000) / 1000  # never 0: that would be no wait
        all_headers["Retry-After"] = str(math.ceil(retry_after_s))
    if status == HTTPStatus.UNAUTHORIZED:
        # RFC 6750, section 3.1: no error code where no token was sent.
        all_headers["WWW-Authenticate"] = "Bearer" if code == "unauthenticated" else 'Bearer error="invalid_token"'
    return Response(orjson.dumps(body), status, all_headers, MEDIA_TYPE)


def closing(request: Request) -> dict[str, str]:
    """Headers of an answer given before the whole body was read: the rest of it is not worth reading.

    HTTP/2 has no such header and resets the one stream instead.
    """
    return {"Connection": "close"} if request.scope.get("http_version", "1.1").startswith("1") else {}


def problem_of(error: Refused | HTTPException) -> Response:
    """The answer to what a route raised.

    An HTTPException is Starlette's own refusal (no such path, no such method), or one that needs a status beside its
    code's.
    """
    if isinstance(error, Refused):
        more = {"challenge": error.challenge} if isinstance(error, ProofNeeded) else None
        return problem(error.code, error.message, retry_after_s=error.retry_after_s, more=more)
    status, headers = error.status_code, dict(error.headers or {})
    if status == HTTPStatus.NOT_FOUND:
        return problem("not_found", "there is nothing at this path: /v1/openapi.json lists what there is")
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
        return problem("method_not_allowed", f"this path takes {headers['Allow']}", headers=headers)
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        return problem("too_big", error.detail, headers=headers)
    code = "internal" if status >= HTTPStatus.INTERNAL_SERVER_ERROR else "bad_request"
    return problem(code, error.detail, status=status, headers=headers)


async def _raised(_request: Request, error: Exception) -> Response:
    assert isinstance(error, (Refused, HTTPException))
    return problem_of(error)


exception_handlers: Mapping[Any, Any] = {Refused: _raised, HTTPException: _raised}


class Unexpected:
    """Middleware: a defect's answer is a problem without a trace; the error goes on up, to the server's log.

    Starlette has a place for this too, but outside of all middleware: its 500 would lack the CORS headers, and a
    browser would show a CORS failure in its stead.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def note_begin(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self.app(scope, receive, note_begin)
        except Exception:
            if not begun:
                answer = problem("internal", "the hub failed at this; its log says how")
                await answer(scope, receive, send)
            raise
