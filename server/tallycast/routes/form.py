"""POST /v1/items/{item}/reactions: a reaction from a plain HTML form, answered by sending the browser back.

What keeps it safe without a script: the page's origin must be on the list, the way back leads to such an origin alone,
and everything may be sent twice. docs/protocol.md, section "Without a script", is the contract.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from html import escape
from typing import NamedTuple
from urllib.parse import parse_qsl, quote

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tallycast import wire
from tallycast.errors import Refused
from tallycast.identity import Actor
from tallycast.origins import Origins
from tallycast.routes.http import DAY_S
from tallycast.routes.incoming import read_body
from tallycast.routes.problems import problem_of
from tallycast.service import Service

COOKIE = "tallycast_visitor"
MEDIA_TYPE = "application/x-www-form-urlencoded"
FIELDS = ("kind", "value", "id", "token", "return")
TWICE_S = 20  # within which two submissions of somebody without a cookie are taken for one

_NUMBER = re.compile(r"[0-9]{1,9}")
_PAGE = re.compile(r"https?://[\w.:\[\]-]{1,260}", re.ASCII)
_ORIGIN_OF = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]+")
# Browsers read a backslash as a slash and skip tabs and line ends: with them a path could lead to another site.
_WAY = re.compile(r"[^\x00-\x20\\\x7f]*")
_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~-._"
_NO_PAGE = (
    "the request does not say which page it comes from: it needs an Origin header, or a Referer, of a page that may use"
    " this hub. A page with the Referrer-Policy no-referrer or same-origin sends none"
)


class Visit(NamedTuple):
    """Who reacts, and the token to remember them by where they are new."""

    actor: Actor
    token: str | None


async def react(request: Request) -> Response:
    """One reaction, answered with 303 to the page that it came from once it is durable; a page that says why else."""
    service: Service = request.app.state.service
    kind: object = None
    back = ""
    try:
        try:
            # Read first, refused then: an answer that overtakes what the browser still sends might not be seen.
            body = await read_body(
                request, most_bytes=service.settings.message_bytes, within_s=service.settings.request_s
            )
            page = page_origin(request.headers, service.origins)
            back = page + "/"
            fields = _fields(request.headers, body)
            kind = fields.get("kind")
            back = way_back(fields.get("return"), page, request.headers, service.origins)
            item = wire.check_item(request.path_params["item"])
            # Checked before a visitor is made for it: who sends nonsense needs no identity.
            reaction = service.kinds.reaction(item, "", kind, _value(fields), fields.get("id"), None)
            visit = _visit(request, service, fields.get("token"), item)
        except Refused as refusal:
            service.count_refused(kind, refusal.code)
            raise
        await service.react(visit.actor, reaction._replace(actor=visit.actor.name), service.address(request))
    except (Refused, HTTPException) as error:
        return refusal_page(request.headers, error, back)
    answer = Response(status_code=303, headers={"Location": back, "Cache-Control": "no-store"})
    if visit.token is not None:
        _remember(request, answer, visit.token, service.settings.visitor_days * DAY_S)
    return answer


def page_origin(headers: Headers, origins: Origins) -> str:
    """The origin of the page that holds the form. Raises Refused (`forbidden`).

    A form is sent without asking the hub first, so nobody is taken at less than an Origin that is on the list, `*` or
    not. Browsers of before 2020 and text browsers send none with a form: theirs is the Referer's.
    """
    named, host = headers.get("origin"), headers.get("host")
    if named is None:
        match = _ORIGIN_OF.match(headers.get("referer", ""))
        named = match[0] if match else None
    if named is None or named == "null":
        raise Refused("forbidden", _NO_PAGE)
    if not _PAGE.fullmatch(named) or not origins.allows(named, host):
        raise Refused("forbidden", "pages of this origin may not use this hub: its operator lists those that may")
    return named


def way_back(wanted: str | None, page: str, headers: Headers, origins: Origins) -> str:
    """The URL to send the browser to: `wanted`, else the Referer, else the front page of the page's own site.

    `wanted` is a path of the page's site or a URL of an origin that is on the list; `*` on it lets pages of any site
    react, and still sends nobody to another site than theirs. Raises Refused (`bad_request`).
    """
    if wanted is None:
        referer = headers.get("referer", "")
        return _safe(referer, page, headers, origins) or page + "/"
    url = _safe(page + wanted if re.match(r"/(?!/)", wanted) else wanted, page, headers, origins)
    if url is None:
        raise Refused("bad_request", "return must be a path, such as /post/1, or a URL of an origin on the hub's list")
    return url


def _safe(url: str, page: str, headers: Headers, origins: Origins) -> str | None:
    match = _ORIGIN_OF.match(url)
    if match is None or not url.startswith(("http://", "https://")) or not _WAY.fullmatch(url):
        return None
    listed = not origins.any and origins.allows(match[0], headers.get("host"))
    return quote(url, safe=_URL_CHARACTERS) if listed or match[0] == page else None


def _fields(headers: Headers, body: bytes) -> dict[str, str]:
    """The form's fields of FIELDS, without empty ones. Raises Refused (`bad_request`)."""
    if headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise Refused("bad_request", f"this takes a form: send {MEDIA_TYPE}, or JSON to /v1/reactions")
    try:
        pairs = [pair for pair in parse_qsl(body.decode("ascii"), errors="strict") if pair[0] in FIELDS]
    except UnicodeDecodeError:
        raise Refused("bad_request", "the form is not UTF-8") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Refused("bad_request", "a field stands twice in the form")
    return fields


def _value(fields: Mapping[str, str]) -> object:
    """The value as a number; what is none is left for the kind's rule to refuse."""
    value = fields.get("value")
    return int(value) if value is not None and _NUMBER.fullmatch(value) else value


def _visit(request: Request, service: Service, token: str | None, item: str) -> Visit:
    """Who sent the form: the token's actor, the cookie's visitor, or a new one.

    Raises Refused (`bad_token`, `token_expired` for a token; `rate_limited` where a new visitor is one too many).
    """
    if token is not None:
        return Visit(service.identity.verify(token), None)
    known = request.cookies.get(COOKIE)
    if known is not None:
        try:
            return Visit(service.identity.verify(known), None)
        except Refused:
            pass  # it has expired, or the hub's secret has changed
    # A second click on the button comes before the first one's cookie does, maybe to another hub. It must not be a
    # second person's: so what tells who this is stands for them, keyed by the secret, for these seconds and this item.
    address = service.address(request)
    if service.gate.proofs is not None:
        service.gate.proofs.check(address)  # a form has none: it says so to who has no cookie yet
    about = (address, *(request.headers.get(name, "") for name in ("user-agent", "accept-language")), item)
    seed = "\n".join((str(int(time.time() // TWICE_S)), *about)).encode()
    made, actor = service.visitor(address, seed)
    return Visit(actor, made)


def _remember(request: Request, answer: Response, token: str, seconds: int) -> None:
    """Set the cookie. A page of another site must be able to send it along, which browsers allow over TLS alone.

    A proxy's word that there is TLS is believed from anybody: it changes nothing but the sender's own cookie.
    """
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    secure = "https" in (request.url.scheme, forwarded)
    answer.set_cookie(
        COOKIE, token, max_age=seconds, path="/", httponly=True, secure=secure, samesite="none" if secure else "lax"
    )


def refusal_page(headers: Headers, error: Refused | HTTPException, back: str = "") -> Response:
    """Why nothing was counted, as a page with a link to `back`; as a problem for whoever wants JSON and no page."""
    problem = problem_of(error)
    accepted = headers.get("accept", "").lower()
    if "json" in accepted and "text/html" not in accepted:
        return problem
    reason = escape(error.message if isinstance(error, Refused) else error.detail)
    link = f'<p><a href="{escape(back)}">Back to the page</a></p>\n' if back else ""
    page = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n<meta name="color-scheme" content="light dark">\n'
        f"<title>Not counted</title>\n<h1>Not counted</h1>\n<p>{reason}.</p>\n{link}</html>\n"
    )
    kept = {name: value for name, value in problem.headers.items() if not name.startswith("content-")}
    policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return Response(
        page, problem.status_code, kept | {"Content-Security-Policy": policy}, media_type="text/html; charset=utf-8"
    )


routes: list[BaseRoute] = [Route("/v1/items/{item:path}/reactions", react, methods=["POST"])]
