"""Read-only share links to the dashboard: each a random secret, kept as its hash, with a name, a reach and an end."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from tallycast.access import Admin
from tallycast.errors import Refused

if TYPE_CHECKING:
    from tallycast.mirrors import Mirror, Mirrors

SPACE = "links"
MOST_LINKS = 500
LEAST_TTL_S, MOST_TTL_S = 60, 366 * 86_400

_TOKEN = re.compile(r"tl_([A-Za-z0-9]{12})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,80}")
_PREFIX = re.compile(r"[A-Za-z0-9._~:/@%+=,-]{0,200}")
_PAGE = re.compile(r"#/[A-Za-z0-9._~:/@%+=,?&*-]{0,400}")
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghjkmnpqrstuvwxyz23456789"  # no letters that look like digits


class Wish(NamedTuple):
    """A link that somebody asks for, good for `ttl_s` seconds. See Link."""

    name: str
    prefix: str
    page: str
    ttl_s: int


class Link(NamedTuple):
    """A share link: what it shows of which items, who made it with which key, and from when until when it is good.

    `digest` is the SHA-256 of its token, in hexadecimal; times are Unix seconds.
    """

    id: str
    name: str
    prefix: str
    page: str
    by: str
    key: str
    created_s: int
    expires_s: int
    digest: str

    def told(self) -> dict[str, Any]:
        """What its makers see of it."""
        return {
            "id": self.id,
            "name": self.name,
            "prefix": self.prefix,
            "page": self.page,
            "by": self.by,
            "created_at": self.created_s,
            "expires_at": self.expires_s,
        }


def load_link(body: bytes) -> Link:
    """A link from its document."""
    return Link(**orjson.loads(body))


def dump_link(link: Link) -> bytes:
    """A link as its document."""
    return orjson.dumps(link._asdict())


class Links:
    """All share links of a site. Methods that write raise Unavailable where the store cannot."""

    def __init__(self, mirrors: Mirrors, *, clock_s: Callable[[], float] = time.time) -> None:
        self._links: Mirror[Link] = mirrors.of(SPACE, load_link, dump_link)
        self._clock_s = clock_s

    @staticmethod
    def wish(*, name: object, prefix: object, page: object, ttl_s: object) -> Wish:
        """What somebody asks for, checked. Raises Refused (`bad_request`)."""
        if not isinstance(name, str) or not _NAME.fullmatch(name.strip()):
            raise Refused("bad_request", "name must be 1 to 80 characters that say whom the link is for")
        if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
            raise Refused("bad_request", 'prefix must be the beginning of item ids, "" for all')
        if not isinstance(page, str) or not _PAGE.fullmatch(page):
            raise Refused("bad_request", "page must be a page of the dashboard, such as #/wall")
        if type(ttl_s) is not int or not LEAST_TTL_S <= ttl_s <= MOST_TTL_S:
            raise Refused("bad_request", f"ttl_s must be a whole number of seconds, {LEAST_TTL_S} to {MOST_TTL_S}")
        return Wish(name.strip(), prefix, page, ttl_s)

    async def make(self, admin: Admin, wish: Wish) -> tuple[Link, str]:
        """A new link and its token, which is kept nowhere. Raises Refused (`conflict` where there are too many)."""
        now_s = int(self._clock_s())
        for old in list(self._links.values()):
            if old.expires_s <= now_s:
                await self._links.delete(old.id, old)
        if len(self._links) >= MOST_LINKS:
            raise Refused("conflict", f"there are {MOST_LINKS} links already: revoke some that nobody needs")
        name, prefix, page, ttl_s = wish
        while True:
            id = "".join(secrets.choice(_ALPHABET) for _ in range(12))
            token = f"tl_{id}_{secrets.token_urlsafe(32)}"
            link = Link(id, name, prefix, page, admin.name, admin.key, now_s, now_s + ttl_s, _digest(token))
            if await self._links.put(id, link, None):
                return link, token

    def listed(self, admin: Admin) -> list[Link]:
        """The links that show nothing but what `admin` may see, newest first; those that have ended are not told."""
        now_s = self._clock_s()
        good = (link for link in self._links.values() if link.expires_s > now_s)
        return sorted((link for link in good if link.prefix.startswith(admin.prefix)), key=lambda link: -link.created_s)

    def found(self, admin: Admin, id: str) -> Link:
        """The link of that id, if `admin` may know it. Raises Refused (`not_found`)."""
        link = self._links.get(id)
        if link is None or not link.prefix.startswith(admin.prefix):
            raise Refused("not_found", "there is no such link, or no more")
        return link

    async def revoke(self, link: Link) -> None:
        """End a link now. It is no fault if somebody else was faster."""
        await self._links.delete(link.id, link)

    def get(self, id: str) -> Link | None:
        """The link, None where it has ended or never was."""
        link = self._links.get(id)
        return link if link is not None and link.expires_s > self._clock_s() else None

    def opened(self, token: str) -> Link | None:
        """The link whose token this is; None where it is none, or no more."""
        match = _TOKEN.fullmatch(token)
        link = self.get(match[1]) if match else None
        return link if link is not None and hmac.compare_digest(link.digest, _digest(token)) else None


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()  # of 256 random bits: nothing to guess, so no slow hash
