"""Where a hub is, how to get a connection to it, and what it means when that fails or ends. No state."""

from __future__ import annotations

import ssl
import time
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)
from websockets.http11 import Response
from websockets.typing import Subprotocol

from tallycast_client.backoff import retry_after_header_s
from tallycast_client.errors import ProtocolError, Refused, TallycastClientError, Unreachable, refusal
from tallycast_client.messages import SUBPROTOCOL, read_error

LIVE = "/v1/live"
CLOSE_S = 2.0  # until a closing handshake that nobody answers is given up
MAX_MESSAGE_BYTES = 4 * 2**20  # far above the snapshot of as many items as one subscribe message holds
_HTTP_CODES = {401: "unauthenticated", 403: "forbidden", 429: "rate_limited", 503: "unavailable"}
# Saying the same again would end the same way: not UTF-8, policy, too big, viewing needs a token.
_FINAL_CLOSES = {
    1003: ("bad_request", "the hub takes no binary frames"),
    1007: ("bad_request", "the hub found text that is not UTF-8"),
    1008: ("forbidden", "the hub closed the connection for breaking its rules"),
    1009: ("bad_request", "the hub found a message too big"),
    4401: ("unauthenticated", "this hub shows counts only to those who have a token"),
}


class Addresses(NamedTuple):
    """A hub's WebSocket address, and the base of its HTTP paths without a slash at its end."""

    live: str
    http: str


class LinkLost(Exception):
    """There is no connection, and another attempt may get one.

    `retry_after_s` is how long the hub asked to wait; `refusal` is set where somebody answered and said no for now.
    """

    def __init__(self, why: str, *, retry_after_s: float | None = None, refusal: Refused | None = None) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s
        self.refusal = refusal


def addresses(url: str) -> Addresses:
    """A hub's addresses from any one of them: http, https, ws or wss, with or without /v1/live. Raises ValueError."""
    try:
        parts = urlsplit(url)
        known = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    secure = {"http": False, "ws": False, "https": True, "wss": True}.get(parts.scheme) if known else None
    if secure is None:
        raise ValueError(f"a hub's address looks like http://127.0.0.1:8000 or wss://example.org/v1/live, not {url!r}")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("a hub's address has no user, query or fragment; a token goes into `token`")
    path = parts.path.removesuffix("/").removesuffix(LIVE)
    return Addresses(
        urlunsplit(("wss" if secure else "ws", parts.netloc, path + LIVE, "", "")),
        urlunsplit(("https" if secure else "http", parts.netloc, path, "", "")),
    )


async def dial(live: str, *, timeout_s: float, heartbeat_s: float) -> ClientConnection:
    """An open connection whose peer is asked for a sign of life every `heartbeat_s`.

    Raises LinkLost where another attempt may go better, else what it should end with.
    """
    try:
        return await connect(
            live,
            subprotocols=[Subprotocol(SUBPROTOCOL)],
            compression=None,
            open_timeout=timeout_s,
            ping_interval=heartbeat_s,
            ping_timeout=heartbeat_s,
            close_timeout=CLOSE_S,
            max_size=MAX_MESSAGE_BYTES,
        )
    except (OSError, InvalidHandshake, InvalidURI, InvalidProxy) as error:
        raise _dial_failed(error, live) from error


def _dial_failed(error: Exception, live: str) -> LinkLost | TallycastClientError:
    if isinstance(error, InvalidStatus):
        return _turned_away(error.response)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unreachable(f"the certificate of {live} is not to be trusted: {error.verify_message}")
    if isinstance(error, OSError | InvalidMessage | ProxyError):
        return LinkLost(f"cannot reach {live}: {reason(error)}")
    if isinstance(error, InvalidURI | InvalidProxy):
        return Unreachable(f"cannot reach {live}: {error}")
    return ProtocolError(f"what answers at {live} is no hub: {error}")


def _turned_away(response: Response) -> LinkLost | TallycastClientError:
    error = http_refusal(response.status_code, bytes(response.body or b""), response.headers.get("Retry-After"))
    if response.status_code in (408, 425, 429) or response.status_code >= 500:
        return LinkLost(str(error), retry_after_s=error.retry_after_s, refusal=error)
    if response.status_code in (401, 403):
        return error
    return ProtocolError(f"what answers there is no hub, or not of this version: HTTP {response.status_code}")


def http_refusal(status: int, body: bytes, retry_after: str | None) -> Refused:
    """The refusal in an HTTP answer: its problem document, else what its status says."""
    wait_s = retry_after_header_s(retry_after, time.time())
    try:
        problem = orjson.loads(body)
    except orjson.JSONDecodeError:
        problem = None
    if isinstance(problem, dict) and isinstance(problem.get("code"), str):
        error = read_error(problem)
        error.retry_after_s = wait_s if error.retry_after_s is None else error.retry_after_s
        return error
    return refusal(_HTTP_CODES.get(status, f"http_{status}"), f"HTTP {status} instead of an answer", wait_s)


def closed(error: ConnectionClosed, *, renewable: bool) -> LinkLost | Refused:
    """What the end of a connection means; `renewable`: its token was good, and there may be a fresh one."""
    code = error.rcvd.code if error.rcvd is not None else 1006
    final = _FINAL_CLOSES.get(code)
    if final is None or (code == 4401 and renewable):
        return LinkLost(f"the connection ended: {reason(error)}")
    told = f": {error.rcvd.reason}" if error.rcvd is not None and error.rcvd.reason else ""
    return refusal(final[0], f"{final[1]} ({code}{told})")


def reason(error: Exception) -> str:
    """Why it failed, in a few words."""
    if isinstance(error, ConnectionRefusedError):  # asyncio names only the address
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
