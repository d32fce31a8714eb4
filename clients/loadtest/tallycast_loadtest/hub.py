"""What a run asks of the hub by HTTP: what it is, its counts, its metrics, tokens. All of it blocks."""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, urlsplit

import jwt
import orjson

from tallycast_loadtest.line import Target
from tallycast_loadtest.oracle import Counts
from tallycast_loadtest.wishes import Rule

TIMEOUT_S: Final = 10.0
_MOST_ITEMS: Final = 100  # of one GET /v1/counts
_TOKEN_S: Final = 7 * 86_400  # longer than any run


class BadInput(Exception):
    """The run cannot be made as it was asked for; the text is one line: what is wrong, and what to do."""


class Unreachable(Exception):
    """Nobody answers at the hub's address, or has stopped to."""


class Hub:
    """A hub, by any of its addresses: http, https, ws or wss, with or without /v1/live. Raises BadInput."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        secure = {"http": False, "ws": False, "https": True, "wss": True}.get(parts.scheme)
        if secure is None or not parts.hostname or port == 0:
            raise BadInput(f"a hub's URL looks like http://127.0.0.1:8000, not {url!r}")
        if parts.username is not None or parts.query or parts.fragment:
            raise BadInput("a hub's URL has no user, query or fragment")
        self._secure, self._host, self._port = secure, parts.hostname, port or (443 if secure else 80)
        self._path = parts.path.removesuffix("/").removesuffix("/v1/live")
        self.url = f"{'https' if secure else 'http'}://{parts.netloc}{self._path}"
        self._netloc = parts.netloc

    def target(self, *, public: bool) -> Target:
        """Where its sockets are. Raises BadInput for a public address unless `public` is set, Unreachable."""
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise Unreachable(f"there is no host {self._host!r}: {error.strerror or error}") from None
        family, _, _, _, address = found[0]
        if not public and not _is_private(str(address[0])):
            raise BadInput(
                f"{self._host} is a public address ({address[0]}): a load test of what is not yours is an attack; "
                "if it is yours, say --yes-i-own-this"
            )
        return Target(family, address, self._netloc, self._path, self._host if self._secure else "")

    @property
    def origin(self) -> str:
        """The origin of its own pages, which it lets in always."""
        return f"{'https' if self._secure else 'http'}://{self._netloc}"

    def config(self) -> tuple[dict[str, Rule], float]:
        """The rules of its kinds, and its tick in ms. Raises BadInput where this is no hub, Unreachable."""
        status, body = self._get("/v1/config")
        try:
            config = orjson.loads(body)
            rules = {
                kind: Rule(told["rule"], told.get("group"), told.get("max", 0))
                for kind, told in config["kinds"].items()
            }
            return rules, float(config["tick_ms"])
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError, ValueError):
            raise BadInput(
                f"what answers at {self.url} is no Tallycast hub: GET /v1/config has status {status} and no config"
            ) from None

    def counts(self, items: Iterable[str], token: str | None) -> dict[str, Counts]:
        """The items as they are now. Raises BadInput where the hub demands a token, Unreachable."""
        rest, found = list(items), {}
        with self._connection() as connection:
            while rest:
                some, rest = rest[:_MOST_ITEMS], rest[_MOST_ITEMS:]
                query = "&".join(f"item={quote(item, safe='')}" for item in some)
                status, body = _ask(connection, "GET", f"{self._path}/v1/counts?{query}", token)
                if status != 200:
                    raise self._refused("GET /v1/counts", status, body)
                for each in orjson.loads(body)["items"]:
                    found[each["item"]] = Counts(each["v"], each["counts"])
        return found

    def shows_counts_to(self, token: str | None) -> bool:
        """Whether the holder of the token, or anybody where it is None, may watch. Raises Unreachable, BadInput."""
        with self._connection() as connection:
            status, body = _ask(connection, "GET", f"{self._path}/v1/counts?item=load", token)
        if status not in (200, 401, 403):
            raise self._refused("GET /v1/counts", status, body)
        return status == 200

    def visitors(self, number: int, sources: Iterator[str | None]) -> list[str]:
        """Tokens of that many new visitors; each of `sources` is asked from for a hundred. Raises BadInput."""
        tokens: list[str] = []
        while len(tokens) < number:
            with self._connection(next(sources)) as connection:
                for _ in range(min(100, number - len(tokens))):
                    status, body = _ask(connection, "POST", f"{self._path}/v1/visitors", None)
                    if status == 429:
                        raise BadInput(
                            f"the hub gave out {len(tokens)} of {number} visitors and no more: sign users' tokens with "
                            "--secret-file, or raise TALLYCAST_VISITORS_PER_MINUTE on the hub"
                        )
                    if status != 201:
                        raise self._refused("POST /v1/visitors", status, body)
                    tokens.append(orjson.loads(body)["token"])
        return tokens

    def metrics(self) -> str | None:
        """Its metrics in Prometheus's text format; None where it does not show them now."""
        with suppress(Unreachable, BadInput):
            status, body = self._get("/metrics", timeout_s=0.9)
            if status == 200:
                return body.decode("utf-8", "replace")
        return None

    def _get(self, path: str, *, timeout_s: float = TIMEOUT_S) -> tuple[int, bytes]:
        with self._connection(timeout_s=timeout_s) as connection:
            return _ask(connection, "GET", self._path + path, None)

    def _connection(self, source: str | None = None, *, timeout_s: float = TIMEOUT_S) -> _Connection:
        make = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        return _Connection(
            make(self._host, self._port, timeout=timeout_s, source_address=None if source is None else (source, 0)),
            self.url,
        )

    def _refused(self, request: str, status: int, body: bytes) -> BadInput | Unreachable:
        detail = ""
        with suppress(orjson.JSONDecodeError, KeyError, TypeError):
            detail = f": {orjson.loads(body)['detail']}"
        kind = BadInput if status < 500 else Unreachable
        return kind(f"the hub at {self.url} answered {request} with {status}{detail}")


class _Connection:
    """An HTTP connection for one block, in which its failures are Unreachable."""

    def __init__(self, connection: http.client.HTTPConnection, url: str) -> None:
        self._connection, self._url = connection, url

    def __enter__(self) -> http.client.HTTPConnection:
        return self._connection

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._connection.close()
        if isinstance(error, ssl.SSLCertVerificationError):
            raise Unreachable(f"the certificate of {self._url} is not to be trusted: {error.verify_message}") from None
        if isinstance(error, http.client.HTTPException):
            raise BadInput(f"what answers at {self._url} is no Tallycast hub: it does not speak HTTP") from None
        if isinstance(error, OSError):
            reason = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise Unreachable(f"no hub can be reached at {self._url}: {reason}") from None


def _ask(connection: http.client.HTTPConnection, method: str, path: str, token: str | None) -> tuple[int, bytes]:
    connection.request(method, path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    return answer.status, answer.read()


def sign(actor: str, secret: str) -> str:
    """A user's token, as the site's own server would sign it."""
    return jwt.encode({"sub": actor, "exp": int(time.time()) + _TOKEN_S}, secret, algorithm="HS256")


def missing(kinds: Mapping[str, Any], rules: Mapping[str, Rule]) -> str | None:
    """What to say where the scenario reacts in kinds that the hub does not have."""
    unknown = [kind for kind in kinds if kind not in rules]
    if not unknown:
        return None
    return (
        f"the hub has no kind {unknown[0]!r}: it has {', '.join(rules)}; choose with --set kinds={next(iter(rules))}=1"
    )


def _is_private(address: str) -> bool:
    found = ipaddress.ip_address(address.partition("%")[0])
    return found.is_loopback or found.is_private or found.is_link_local
