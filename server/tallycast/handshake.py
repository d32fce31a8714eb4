"""Who may open a connection: origin, token, rate and number, one answer for every way in. No I/O."""

from __future__ import annotations

import binascii
import math
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from websockets.utils import accept_key

from tallycast import request_id, wire
from tallycast.addresses import Proxies, bucket
from tallycast.daily import Daily
from tallycast.errors import Refused
from tallycast.identity import Actor, Identity
from tallycast.kinds import RESERVED
from tallycast.limits import Cap, Rate
from tallycast.metrics import Metrics
from tallycast.origins import Origins
from tallycast.proof import Proofs
from tallycast.settings import Settings

RETRY_S = 5.0  # what one who met a cap on connections is told to wait


class Admission(NamedTuple):
    """Leave to stay: the address that the connection counts for, who it is if it said so at the handshake, and a
    checksum of its user agent, which tells people behind one address apart and takes less room than the text."""

    address: str
    actor: Actor | None
    agent: int = 0


class Gate:
    """Admits connections that stay (sockets and event streams) and keeps count of them.

    Each admit() that returns is paired with one leave(). `headers` are a request's by lower-case name. `daily` names
    those who have no identity; without it nobody reacts who has none. `proofs` has a say in who gets one.
    """

    daily: Daily | None = None
    proofs: Proofs | None = None

    def __init__(
        self, settings: Settings, origins: Origins, identity: Identity, metrics: Metrics, *, clock: Callable[[], float]
    ) -> None:
        self.draining = False
        self.open = 0
        self.most_open = settings.max_connections
        self._origins = origins
        self._identity = identity
        self._proxies = Proxies(settings.trusted_proxies)
        self._metrics = metrics
        self._clock = clock
        self._rate = Rate(settings.connects_per_second, settings.connects_per_second * 10)
        self._strangers = Rate(settings.connects_per_second, settings.connects_per_second * 10)
        self._viewing_needs_token = settings.viewing == "token"
        self._cap = Cap(settings.connections_per_ip)

    def address(self, headers: Mapping[bytes, bytes], peer: str) -> str:
        """What limits per address go by: the client's own address, or the network of an IPv6 one."""
        forwarded_for = headers.get(b"x-forwarded-for")
        return bucket(self._proxies.client(peer, forwarded_for.decode("latin-1") if forwarded_for else None))

    def request_id(self, headers: Mapping[bytes, bytes], peer: str) -> str:
        """The id of a request: the one in the X-Request-ID of a trusted proxy, else a new one."""
        given = headers.get(request_id.NAME)
        return request_id.choose(given if given is not None and self._proxies.trusts(peer) else None)

    def identify(self, authorization: str | None) -> Actor | None:
        """Who sent that Authorization header; None for none, or another scheme's, which a proxy may have added.

        Raises Refused (`bad_token`, `token_expired`).
        """
        scheme, _, token = (authorization or "").partition(" ")
        return self._identity.verify(token.strip()) if scheme.lower() == "bearer" else None

    def stranger(self, item: str, address: str, agent: int) -> Actor:
        """Who somebody without identity is to `item` today, for kinds that count everybody once: on every hub the same
        for the same address and agent() of one. No kind of theirs is ever taken back.

        Raises Refused (`unauthenticated`, `rate_limited`: as many an address as connections; `unavailable`).
        """
        if self.daily is None or self._viewing_needs_token:
            raise Refused("unauthenticated", "send a token before you react")
        wait_s = self._strangers.wait_s(address, self._clock())
        if wait_s:
            raise Refused("rate_limited", "too many people without identity at this address", retry_after_s=wait_s)
        return Actor(f"{RESERVED}u:{self.daily.name(item, address, str(agent))}", math.inf, None)

    def admit(self, headers: Mapping[bytes, bytes], peer: str) -> Admission:
        """Let a connection in.

        Raises Refused (`forbidden`, `rate_limited`, `bad_token`, `token_expired`, `unavailable`).
        """
        try:
            return self._admit(headers, peer)
        except Refused as refusal:
            self._metrics.handshakes_refused.labels(refusal.code).inc()
            raise

    def _admit(self, headers: Mapping[bytes, bytes], peer: str) -> Admission:
        if self.draining:
            raise Refused("unavailable", "the hub restarts", retry_after_s=1.0)
        origin = headers.get(b"origin")
        if origin is not None:
            host = headers.get(b"host", b"").decode("latin-1")
            if not self._origins.allows(origin.decode("latin-1"), host):
                raise Refused("forbidden", "this origin is not on the hub's list: see TALLYCAST_ORIGINS")
        address = self.address(headers, peer)
        wait_s = self._rate.wait_s(address, self._clock())
        if wait_s:
            raise Refused("rate_limited", "too many new connections from this address", retry_after_s=wait_s)
        authorization = headers.get(b"authorization")
        actor = self.identify(authorization.decode("latin-1")) if authorization else None
        if self.most_open and self.open >= self.most_open:
            raise Refused("rate_limited", "the hub has as many connections as it may", retry_after_s=RETRY_S)
        if not self._cap.enter(address):
            raise Refused("rate_limited", "too many connections from this address", retry_after_s=RETRY_S)
        self.open += 1
        return Admission(address, actor, agent(headers))

    def leave(self, admission: Admission) -> None:
        """The connection of `admission` has gone."""
        self.open -= 1
        self._cap.leave(admission.address)


def agent(headers: Mapping[bytes, bytes]) -> int:
    """A checksum of the user agent that a request names, 0 for none."""
    return zlib.crc32(headers.get(b"user-agent", b""))


def by_name(headers: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers by lower-case name; those that stand several times as one, joined by commas (RFC 9110 §5.3)."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = found[name] + b", " + value if name in found else value
    return found


def upgrade(method: bytes, headers: Mapping[bytes, bytes], more: bytes = b"") -> bytes:
    """The 101 answer to a WebSocket handshake (RFC 6455 §4.2). Raises Refused (`bad_request`).

    `more` are further lines of its head, each with its end. The subprotocol is chosen when it is offered; no extension
    is ever agreed to, compression least of all: it would cost 250 KiB a connection.
    """
    if method != b"GET":
        raise Refused("bad_request", "a WebSocket handshake is a GET request")
    if headers.get(b"sec-websocket-version") != b"13":
        raise Refused("bad_request", "Sec-WebSocket-Version must be 13")
    key = headers.get(b"sec-websocket-key", b"")
    try:
        if len(binascii.a2b_base64(key, strict_mode=True)) != 16:
            raise ValueError
    except ValueError:
        raise Refused("bad_request", "Sec-WebSocket-Key must be 16 bytes in base64") from None
    answer = (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n"
        % accept_key(key.decode("ascii")).encode("ascii")
    )
    if offers_subprotocol(headers.get(b"sec-websocket-protocol", b"")):
        answer += b"Sec-WebSocket-Protocol: " + wire.SUBPROTOCOL.encode() + b"\r\n"
    return answer + more + b"\r\n"


def offers_subprotocol(offered: bytes) -> bool:
    """Whether a Sec-WebSocket-Protocol header names ours."""
    return wire.SUBPROTOCOL.encode() in [name.strip() for name in offered.split(b",")]
