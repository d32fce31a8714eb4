"""Who reacts: tokens (JWT, HS256) of a site's users and of anonymous visitors, and the secret that signs them."""

from __future__ import annotations

import base64
import hmac
import math
import os
import re
import secrets as random
import stat
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jwt
import orjson

from tallycast.errors import ConfigError, Refused
from tallycast.settings import MAKE_A_SECRET, Settings, check_secret
from tallycast.store.schema import store_path

MAX_TOKEN_CHARACTERS = 4096
MAX_TTL_S = 100 * 365.25 * 86_400
AUDIENCE = "tallycast"
# A site's clock may be ahead of the hub's: a token that it made just now must not be "not yet valid".
LEEWAY_S = 60.0

_ALGORITHM = "HS256"
_SUB = re.compile(r"(?!~)[\x20-\x7e]{1,128}")  # names with a tilde before them are the hub's own
_SCOPE = re.compile(r"[A-Za-z0-9._~:/@%+=,-]{1,200}|[A-Za-z0-9._~:/@%+=,-]{0,199}\*")


class Actor(NamedTuple):
    """Who reacts: its name (a token's `sub`), until when (Unix time in seconds), and on which items.

    `items` holds item ids and prefixes ending in `*`; None is every item.
    """

    name: str
    expires_s: float
    items: tuple[str, ...] | None

    def may(self, item: str) -> bool:
        """Whether the token is good for `item`."""
        if self.items is None:
            return True
        return any(item.startswith(scope[:-1]) if scope[-1] == "*" else item == scope for scope in self.items)


class Identity:
    """Verifies and signs tokens under a hub's secrets: the first signs, all verify.

    `visitor_s` is how long a visitor's token is good, `clock` gives Unix time in seconds. Raises ConfigError without
    a secret and on one that is a public key.
    """

    def __init__(self, secrets: Sequence[str], *, visitor_s: float, clock: Callable[[], float] = time.time) -> None:
        if not secrets:
            raise ConfigError(f"no secret to sign tokens with: set TALLYCAST_SECRET; `{MAKE_A_SECRET}` makes one")
        self._keys = tuple(secret.encode() for secret in secrets)
        algorithm = jwt.get_algorithm_by_name(_ALGORITHM)
        for key in self._keys:
            try:
                algorithm.prepare_key(key)
            except jwt.InvalidKeyError:
                raise ConfigError(
                    f"TALLYCAST_SECRET holds a key pair's key, which is no secret; `{MAKE_A_SECRET}` makes one"
                ) from None
        # Only the signature layer of PyJWT: its claims layer reads the wall clock and refuses an `iat` ahead of it.
        self._jws = jwt.PyJWS(algorithms=[_ALGORITHM])
        self._visitor_s = visitor_s
        self._clock = clock

    def verify(self, token: str) -> Actor:
        """Whose `token` it is. Raises Refused (`bad_token`, `token_expired`); its message never holds the token.

        `exp` is exact; `nbf`, when there, may be up to LEEWAY_S ahead; `aud`, when there, must name `tallycast`
        (RFC 7519 §4.1.3). Other claims mean nothing here.
        """
        if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
            raise _bad(f"a token is ASCII text of at most {MAX_TOKEN_CHARACTERS} characters")
        claims = _claims(self._payload(token))
        name, expires_s = claims.get("sub"), claims.get("exp")
        if not isinstance(name, str) or not _SUB.fullmatch(name):
            raise _bad("the token's `sub` must be 1–128 printable ASCII characters, the first of them no ~")
        if expires_s is None or not _is_time(expires_s):
            raise _bad("the token's `exp` must be a Unix time in seconds")
        now_s = self._clock()
        if expires_s <= now_s:
            raise Refused("token_expired", "the token has expired: get a new one")
        if "nbf" in claims and not (_is_time(claims["nbf"]) and claims["nbf"] <= now_s + LEEWAY_S):
            raise _bad("the token's `nbf` must be a Unix time in seconds that has come")
        if "aud" in claims and AUDIENCE not in (claims["aud"] if isinstance(claims["aud"], list) else [claims["aud"]]):
            raise _bad(f"the token is for somebody else: its `aud`, if any, must be {AUDIENCE!r}")
        scopes = claims.get("items")
        return Actor(name, float(expires_s), None if scopes is None else _scopes(scopes))

    def bearer(self, authorization: str) -> Actor:
        """Whose token the value of an `Authorization` header holds. Raises Refused as verify does."""
        scheme, _, token = authorization.strip().partition(" ")
        if scheme.lower() != "bearer":  # RFC 9110 §11.1: the scheme in any case
            raise _bad("Authorization must be of the form: Bearer <token>")
        return self.verify(token.strip())

    def visitor(self, seed: bytes | None = None) -> tuple[str, Actor]:
        """A new anonymous identity: its token and its actor, whose name begins `v:` and cannot be guessed.

        With a `seed` it is the same for the same seed, on every hub with this secret.
        """
        expires_s = int(self._clock() + self._visitor_s)
        if seed is None:
            name = "v:" + random.token_urlsafe(16)
        else:
            # The blank keeps this apart from what JWT signs, which has none.
            digest = hmac.digest(self._keys[0], b"visitor " + seed, "sha256")
            name = "v:" + base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
        return self._encode({"sub": name, "exp": expires_s}), Actor(name, float(expires_s), None)

    def sign(self, sub: str, *, ttl_s: float, items: Sequence[str] | None = None) -> str:
        """A token for the user `sub`, good for `ttl_s` seconds and, where `items` are given, for those alone.

        `items` are ids and prefixes ending in `*`. Raises ConfigError on a `sub`, time or item that verify would
        refuse.
        """
        if not _SUB.fullmatch(sub):
            raise ConfigError("a user's name is 1–128 printable ASCII characters, the first of them no ~")
        if not 1 <= ttl_s <= MAX_TTL_S:
            raise ConfigError("a token is good for 1 second to 100 years")
        claims: dict[str, Any] = {"sub": sub, "exp": int(self._clock() + ttl_s)}
        if items is not None:
            try:
                claims["items"] = _scopes(list(items))
            except Refused as refused:
                raise ConfigError(refused.message) from None
        token = self._encode(claims)
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise ConfigError(f"a token has at most {MAX_TOKEN_CHARACTERS} characters: name fewer items, or a prefix")
        return token

    def _payload(self, token: str) -> bytes:
        """The signed bytes of `token`, if one of the secrets signed it."""
        for key in self._keys:
            try:
                payload: bytes = self._jws.decode(token, key, algorithms=[_ALGORITHM])
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidAlgorithmError:
                raise _bad(f"a token must be signed with {_ALGORITHM}") from None
            except jwt.InvalidTokenError:
                raise _bad("the token is no JWT of three parts, header.claims.signature") from None
            return payload
        raise _bad("the token's signature is wrong: it was not signed with this hub's secret, or was changed")

    def _encode(self, claims: dict[str, Any]) -> str:
        return self._jws.encode(orjson.dumps(claims), self._keys[0], algorithm=_ALGORITHM)


def resolve_secret(settings: Settings) -> tuple[str, ...]:
    """The secrets of a hub: those given, else the one kept beside an embedded store, made on the first start.

    It is the file `<store file>.secret`, readable by its owner alone. Raises ConfigError when the file is open to
    others, holds no secret or cannot be made, and when a store that several hubs share comes without a secret.
    """
    if settings.secret:
        return settings.secret
    if not settings.store.startswith("sqlite:"):
        raise ConfigError(f"set TALLYCAST_SECRET, the same for every hub on this store; `{MAKE_A_SECRET}` makes one")
    store = store_path(settings.store)
    path = store.with_name(store.name + ".secret")
    if not path.parent.is_dir():
        raise ConfigError(f"store {store}: its directory does not exist: make it first")
    try:
        if not path.exists():
            _keep(path, random.token_urlsafe(32))
        return (_kept(path),)
    except OSError as error:
        raise ConfigError(
            f"cannot read or make {path}: {error.strerror or error}; mend that, or set TALLYCAST_SECRET"
        ) from None


def _keep(path: Path, secret: str) -> None:
    """Write `secret` so that the file is there whole or not at all, and another process's is never replaced."""
    draft = path.with_name(f"{path.name}.{random.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secret + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return
    finally:
        draft.unlink()
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _kept(path: Path) -> str:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        content = file.read(4096)
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(
            f"{path} is open to other users: chmod 600 {path}, and replace it if somebody may have read it"
        )
    secret = content.decode("latin-1").removesuffix("\n")
    try:
        check_secret(secret)
    except ValueError as error:
        raise ConfigError(
            f"{path} holds no secret: expected {error}; without the file a new one is made and old tokens end"
        ) from None
    return secret


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = orjson.loads(payload)
    except orjson.JSONDecodeError:
        claims = None
    if not isinstance(claims, dict):
        raise _bad("the token's claims must be a JSON object")
    return claims


def _is_time(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _scopes(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(scope, str) and _SCOPE.fullmatch(scope) for scope in value):
        raise _bad("the token's `items` must be a list of item ids and of prefixes ending in *")
    return tuple(value)


def _bad(message: str) -> Refused:
    return Refused("bad_token", message)
