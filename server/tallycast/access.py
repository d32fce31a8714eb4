"""Who may administrate: API keys, what each is good for, and a right to it kept by nobody but its holder.

A key is `tk_<id>_<secret>`. The store has the SHA-256 of the secret alone: it is 256 random bits, which no table and no
guessing reaches, so that a slow hash would only slow the hub. Whoever deletes the document revokes the key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets as random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import orjson

from tallycast.chores import every
from tallycast.errors import Refused
from tallycast.limits import Rate
from tallycast.mirrors import Mirror, Mirrors
from tallycast.store.records import ANY

SPACE = "keys"
Right = Literal["read", "write", "moderate", "keys"]
RIGHTS: tuple[Right, ...] = ("read", "write", "moderate", "keys")
MOST_NAME = 64  # characters
MOST_TTL_S = 100 * 365 * 86_400

WRONG_PER_MINUTE = 30  # wrong keys of one address
USED_EVERY_S = 3600.0  # how exactly it is known when a key was last used

_TOKEN = re.compile(r"tk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,%d}" % MOST_NAME)
_PREFIX = re.compile(r"[A-Za-z0-9._~:/@%+=,-]{0,200}")


class Key(NamedTuple):
    """An API key as it is kept. Times are Unix times in seconds; `hash` is the SHA-256 of the secret in hex."""

    name: str
    hash: str
    rights: tuple[Right, ...]
    prefix: str
    made_at: int
    expires_at: int | None = None
    last_used: int | None = None  # to within USED_EVERY_S

    def public(self, id: str) -> dict[str, Any]:
        """What may be shown of it."""
        return {"id": id, **{field: value for field, value in self._asdict().items() if field != "hash"}}

    def described(self) -> dict[str, Any]:
        """What the audit log says of it."""
        return {"name": self.name, "rights": self.rights, "prefix": self.prefix, "expires_at": self.expires_at}


class Admin(NamedTuple):
    """Who asks: their key's name and id, their rights, and with what the ids of their items begin ("": all)."""

    name: str
    key: str
    rights: frozenset[Right]
    prefix: str

    @property
    def who(self) -> str:
        """How the audit log names them: names need not be unique, ids are."""
        return f"{self.name} ({self.key})"


def load_key(body: bytes) -> Key:
    """A document of the space `keys`."""
    fields = orjson.loads(body)
    return Key(**{**fields, "rights": tuple(fields["rights"])})


def dump_key(key: Key) -> bytes:
    """The document of a key."""
    return orjson.dumps(key._asdict())


def new_key(
    name: str, rights: Collection[str], *, prefix: str = "", ttl_s: float | None = None, now_s: float
) -> tuple[str, str, Key]:
    """A new key: its id, the token to be shown this once, and what is to be kept under the id.

    Raises ValueError that says what is wrong.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"a key's name is 1–{MOST_NAME} characters, none of them a control character")
    if not rights or any(right not in RIGHTS for right in rights):
        raise ValueError(f"a key needs at least one right of {', '.join(RIGHTS)}")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError("a prefix is the beginning of item ids: at most 200 of A–Z a–z 0–9 . _ ~ : / @ % + = , -")
    if ttl_s is not None and not 1 <= ttl_s <= MOST_TTL_S:
        raise ValueError("a key is good for 1 second to 100 years")
    id, secret = random.token_hex(6), random.token_urlsafe(32)
    expires_at = None if ttl_s is None else int(now_s + ttl_s)
    granted = tuple(right for right in RIGHTS if right in rights)
    return id, f"tk_{id}_{secret}", Key(name, _hash(secret), granted, prefix, int(now_s), expires_at)


class Access:
    """Knows the keys of all hubs' administrators; a key that is revoked at one hub is gone here within a second.

    `clock_s` gives Unix time, `ticks_s` a clock that does not go back, both in seconds.
    """

    def __init__(
        self,
        mirrors: Mirrors,
        *,
        clock_s: Callable[[], float] = time.time,
        ticks_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keys: Mirror[Key] = mirrors.of(SPACE, load_key, dump_key)
        self._clock_s = clock_s
        self._ticks_s = ticks_s
        self._wrong = Rate(WRONG_PER_MINUTE / 60, WRONG_PER_MINUTE)
        self._lookups = Rate(20, 20)  # readings of the store for the sake of keys that are not known here
        self._used: dict[str, int] = {}

    @property
    def keys(self) -> Mapping[str, Key]:
        """All keys by id, the expired ones too."""
        return self._keys

    def authorize(self, authorization: str | None, right: Right, *scopes: str, address: str = "") -> Admin:
        """Who sent that Authorization header, if their key has `right` on all `scopes`: item ids, or prefixes of them.

        `address` is who pays for wrong keys. Raises Refused (holder()'s and permit()'s).
        """
        admin = self.holder(authorization, address=address)
        self.permit(admin, right, *scopes)
        return admin

    def holder(self, authorization: str | None, *, address: str = "") -> Admin:
        """Whose key it is, whatever it is good for.

        Raises Refused (`unauthenticated` without one, `bad_token`, `token_expired`, `rate_limited` for the next wrong
        one of an address that has sent many). A right key always passes: others behind the same proxy lock nobody out.
        """
        scheme, _, token = (authorization or "").strip().partition(" ")
        if scheme.lower() != "bearer":  # RFC 9110 §11.1: the scheme in any case
            raise Refused("unauthenticated", "this needs an API key: send Authorization: Bearer tk_…")
        id, secret = _parts(token)
        key = self._keys.get(id)
        if not hmac.compare_digest(_hash(secret), key.hash if key else _hash("")) or key is None:
            wait_s = self._wrong.wait_s(address, self._ticks_s())
            if wait_s:
                raise Refused("rate_limited", "too many wrong keys from this address", retry_after_s=wait_s)
            raise Refused("bad_token", "there is no such API key, or it was revoked: `tallycast key list` shows them")
        admin = self.of(id)
        if admin is None:
            raise Refused("token_expired", "the API key has expired: make a new one with `tallycast key make`")
        self._used[id] = int(self._clock_s())
        return admin

    def of(self, id: str) -> Admin | None:
        """Who holds the key with that id; None when it is revoked or expired."""
        key = self._keys.get(id)
        if key is None or (key.expires_at is not None and key.expires_at <= self._clock_s()):
            return None
        return Admin(key.name, id, frozenset(key.rights), key.prefix)

    def permit(self, admin: Admin, right: Right, *scopes: str) -> None:
        """Let them do what needs `right` to all `scopes`, items or prefixes of them. Raises Refused (`forbidden`)."""
        if right not in admin.rights:
            raise Refused("forbidden", f"this needs a key with the right {right!r}; yours has {_listed(admin.rights)}")
        for scope in scopes:
            if not scope.startswith(admin.prefix):
                raise Refused("forbidden", f"the key is good for items that begin with {admin.prefix!r} alone")

    async def learn(self, authorization: str | None) -> None:
        """Before holder(): look for a key that was made so lately that it is not known here yet. Raises Unavailable."""
        id, _ = _parts((authorization or "").rpartition(" ")[2])
        if id and id not in self._keys and not self._lookups.wait_s("", self._ticks_s()):
            await self._keys.refresh()

    async def revoke(self, id: str) -> bool:
        """The key is good no more; False where there was none. Raises Unavailable."""
        return await self._keys.delete(id, ANY)

    async def run(self) -> None:
        """Write down now and then when keys were last used, as long as the hub runs."""
        await every(60.0, self.note_use, "noting when keys were used")

    async def note_use(self) -> None:
        """Write down when keys were last used, where it is not known to within USED_EVERY_S. Raises Unavailable."""
        used, self._used = self._used, {}
        for id, at in used.items():
            key = self._keys.get(id)
            if key is not None and at - (key.last_used or 0) >= USED_EVERY_S:
                await self._keys.put(id, key._replace(last_used=at), key)  # not where it was revoked meanwhile


def _parts(token: str) -> tuple[str, str]:
    """The id and the secret of a token; both "" where it is none."""
    match = _TOKEN.fullmatch(token.strip())
    return (match[1], match[2]) if match else ("", "")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _listed(rights: Collection[Right]) -> str:
    ordered: Sequence[str] = [right for right in RIGHTS if right in rights]
    return ", ".join(ordered)
