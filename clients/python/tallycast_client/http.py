"""A hub's HTTP part, as far as a client of the socket needs it. Blocking requests of urllib, each on a thread."""

from __future__ import annotations

import asyncio
from http.client import HTTPException
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import orjson

from tallycast_client.dial import addresses, http_refusal, reason
from tallycast_client.errors import ProtocolError, Unreachable
from tallycast_client.messages import Counts, read_snapshot

ITEMS_PER_REQUEST = 100


class Visitor(NamedTuple):
    """An anonymous identity: keep `token`, and the same person stays the same actor for `expires_in_s` seconds."""

    token: str
    actor: str
    expires_in_s: float


async def visitor(url: str, *, timeout_s: float = 10.0) -> Visitor:
    """A new anonymous identity, to be asked for only when somebody first reacts.

    Raises ValueError (`url`), Refused, Unreachable, ProtocolError.
    """
    made = await ask(url, "/v1/visitors", timeout_s, method="POST")
    token, actor, expires_in = made.get("token"), made.get("actor"), made.get("expires_in")
    if not isinstance(token, str) or not isinstance(actor, str) or not isinstance(expires_in, int | float):
        raise ProtocolError("the hub made a visitor without token, actor or expires_in")
    return Visitor(token, actor, float(expires_in))


async def counts(url: str, *items: str, token: str | None = None, timeout_s: float = 10.0) -> list[Counts]:
    """The counts of items, in their order; with a token, also what its actor says of them.

    Raises ValueError (`url`), Refused, Unreachable, ProtocolError.
    """
    found: list[Counts] = []
    for start in range(0, len(items), ITEMS_PER_REQUEST):
        query = urlencode([("item", item) for item in items[start : start + ITEMS_PER_REQUEST]])
        found += read_snapshot(await ask(url, f"/v1/counts?{query}", timeout_s, token=token))
    return found


async def config(url: str, *, timeout_s: float = 10.0) -> dict[str, Any]:
    """The hub's kinds with their rules, labels and emoji, and its tick: {"kinds": {…}, "tick_ms": …}.

    Raises ValueError (`url`), Refused, Unreachable, ProtocolError.
    """
    found = await ask(url, "/v1/config", timeout_s)
    kinds = found.get("kinds")
    if not isinstance(kinds, dict) or not all(isinstance(kind, dict) for kind in kinds.values()):
        raise ProtocolError("the hub's configuration has no kinds")
    return found


async def ask(
    url: str, path: str, timeout_s: float, *, method: str = "GET", token: str | None = None, body: object = None
) -> dict[str, Any]:
    """What the hub answers to a request, a JSON object. `token` may be an API key; `body` is sent as JSON unless None.

    Raises ValueError (`url`), Refused, Unreachable, ProtocolError.
    """
    base = addresses(url).http
    request = Request(base + path, method=method, headers={"Accept": "application/json"})
    if body is not None:
        request.data = orjson.dumps(body)
        request.add_header("Content-Type", "application/json")
    if token is not None:
        # Not to be sent on to where a redirect leads.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    told = await asyncio.to_thread(_fetch, request, base, timeout_s)
    try:
        answer = orjson.loads(told)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise ProtocolError(f"what answers at {base} is no hub: it sent no JSON object")
    return answer


def _fetch(request: Request, base: str, timeout_s: float) -> bytes:
    try:
        with urlopen(request, timeout=timeout_s) as response:
            body: bytes = response.read()
            return body
    except HTTPError as error:
        with error:
            raise http_refusal(error.code, error.read(), error.headers.get("Retry-After")) from None
    except URLError as error:
        told = reason(error.reason) if isinstance(error.reason, OSError) else error.reason
        raise Unreachable(f"cannot reach {base}: {told}") from error
    except (OSError, HTTPException) as error:
        raise Unreachable(f"cannot reach {base}: {error or type(error).__name__}") from error
