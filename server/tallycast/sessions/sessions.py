"""Who is signed in to the dashboard: a signed cookie that names a key or a share link, which must still be there."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jwt
import orjson
from starlette.requests import HTTPConnection

from tallycast.access import Access, Admin
from tallycast.errors import Refused
from tallycast.identity import Actor
from tallycast.kinds import Reaction
from tallycast.limits import Rate
from tallycast.origins import Origins
from tallycast.sessions.links import Link, Links

COOKIE = "tallycast_session"
SESSION_S = 12 * 3600
WRONG_PER_MINUTE = 30  # wrong links of one address
VIEWER = "tallycast-dashboard:"  # names of the tokens that the page's socket has where viewing needs one

_ALGORITHM = "HS256"
_MOST_CHARACTERS = 1024
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN = Origins(())
# What a share link may read. Not webhooks, whose addresses may be secrets, and nothing in bulk.
_SHARED = re.compile(r"/dashboard/.*|/v1/admin/(key|items|items/.*/counts|history/.*|polls(/.*)?|bursts(/.*)?|firings)")


class Session(NamedTuple):
    """Somebody who is signed in, until when (Unix time in seconds), and the link that they came by, if it was one."""

    admin: Admin
    expires_s: int
    link: Link | None = None

    def told(self) -> dict[str, Any]:
        """What the page is told of it."""
        return {
            "name": self.admin.name,
            "key": self.admin.key,
            "rights": sorted(self.admin.rights),
            "prefix": self.admin.prefix,
            "expires_at": self.expires_s,
            "read_only": self.link is not None,
        }


class Sessions:
    """Signs people in, and knows them again. `secrets` are the hub's: the first signs, all verify.

    A cookie holds the id of a key or link, never a key, and each request asks whether that still is good: who
    holds a revoked key is signed out. Hubs on one store with the same secrets know each other's sessions. `clock_s`
    gives Unix time, `ticks_s` a clock that does not go back, both in seconds.
    """

    def __init__(
        self,
        access: Access,
        links: Links,
        secrets: Sequence[str],
        *,
        clock_s: Callable[[], float] = time.time,
        ticks_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.links = links
        self._access = access
        # Keys of their own: no token that a site signs for its users can be a session.
        self._keys = [hmac.digest(secret.encode(), b"dashboard session", "sha256") for secret in secrets]
        self._jws = jwt.PyJWS(algorithms=[_ALGORITHM])
        self._clock_s = clock_s
        self._ticks_s = ticks_s
        self._wrong = Rate(WRONG_PER_MINUTE / 60, WRONG_PER_MINUTE)

    async def sign_in(self, key: str, address: str) -> tuple[Session, str]:
        """The session of who holds an API key, and its cookie's value.

        Raises Refused (Access.holder()'s: `bad_token`, `token_expired`, `rate_limited` after many wrong keys).
        """
        authorization = f"Bearer {key.strip()}"
        await self._access.learn(authorization)
        admin = self._access.holder(authorization, address=address)
        expires_s = int(self._clock_s()) + SESSION_S
        return Session(admin, expires_s), self._sign({"key": admin.key, "exp": expires_s})

    def open_link(self, token: str, address: str) -> tuple[Session, str]:
        """The read-only session of who follows a share link, and its cookie's value. It ends with the link.

        Raises Refused (`rate_limited`, `bad_token`).
        """
        link = self.links.opened(token)
        admin = self._guest(link)
        if link is None or admin is None:
            wait_s = self._wrong.wait_s(address, self._ticks_s())
            if wait_s:
                raise Refused("rate_limited", "too many wrong links from this address", retry_after_s=wait_s)
            raise Refused("bad_token", "this link has ended, or was revoked: ask who sent it for another")
        return Session(admin, link.expires_s, link), self._sign({"link": link.id, "exp": link.expires_s})

    def left_s(self, session: Session) -> int:
        """For how many seconds from now a session is good."""
        return max(0, int(session.expires_s - self._clock_s()))

    def admin(self, request: HTTPConnection) -> Admin | None:
        """Who is signed in, by the request's cookie; None without one. Raises Refused as session() does."""
        session = self.session(request)
        return None if session is None else session.admin

    def session(self, request: HTTPConnection) -> Session | None:
        """The session that the request's cookie names; None where it brings none.

        Raises Refused: `token_expired` and `unauthenticated` where it is over; `forbidden` where the request would
        change something and does not come from a page of the hub's own, or wants what a share link does not show.
        """
        cookie = request.cookies.get(COOKIE)
        if not cookie:
            return None
        changes = request.scope.get("method", "GET") not in _SAFE
        if changes:
            check_own_page(request)
        session = self._read(cookie)
        if session.link is not None:
            if changes:
                raise Refused("forbidden", "a share link only shows: sign in with a key to change something")
            if not _SHARED.fullmatch(_path(request)):
                raise Refused("forbidden", "a share link does not show this: sign in with a key")
        return session

    def check(self, actor: Actor, reaction: Reaction, address: str) -> None:
        """The service's guard: who only watches from the dashboard does not react. Raises Refused (`forbidden`)."""
        if actor.name.startswith(VIEWER):
            raise Refused("forbidden", "the dashboard's token is good for viewing alone")

    def _read(self, cookie: str) -> Session:
        claims = self._claims(cookie)
        expires_s = claims["exp"]
        if expires_s <= self._clock_s():
            raise Refused("token_expired", "the session is over: sign in again")
        if "link" in claims:
            link = self.links.get(claims["link"])
            guest = self._guest(link)
            if link is None or guest is None:
                raise Refused("unauthenticated", "this link has ended, or was revoked: ask who sent it for another")
            return Session(guest, link.expires_s, link)
        admin = self._access.of(claims["key"])
        if admin is None:
            raise Refused("unauthenticated", "the key was revoked: sign in with another")
        return Session(admin, expires_s)

    def _guest(self, link: Link | None) -> Admin | None:
        """Who follows a link: somebody who may see as much of its items as its maker still may."""
        maker = None if link is None else self._access.of(link.key)
        if link is None or maker is None or not link.prefix.startswith(maker.prefix):
            return None
        return Admin(f"link: {link.name}", f"link:{link.id}", frozenset({"read"}), link.prefix)

    def _sign(self, claims: dict[str, Any]) -> str:
        return self._jws.encode(orjson.dumps(claims), self._keys[0], algorithm=_ALGORITHM)

    def _claims(self, cookie: str) -> dict[str, Any]:
        if len(cookie) <= _MOST_CHARACTERS and cookie.isascii():
            for key in self._keys:
                try:
                    claims: dict[str, Any] = orjson.loads(self._jws.decode(cookie, key, algorithms=[_ALGORITHM]))
                except jwt.InvalidTokenError:
                    continue
                return claims
        raise Refused("unauthenticated", "the session is none of this hub's: sign in again")


def _path(request: HTTPConnection) -> str:
    """The path within the hub's app, which may be mounted inside another."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))


def check_own_page(request: HTTPConnection) -> None:
    """Let a request pass that a page of the hub's own sends. Raises Refused (`forbidden`).

    The cookie is SameSite=Strict; this holds too against pages of the same site, such as another subdomain's.
    """
    origin = request.headers.get("origin")
    if origin is None or not _OWN.allows(origin, request.headers.get("host")):
        raise Refused("forbidden", "with the dashboard's cookie only its own pages change something; others use a key")
