"""Which web pages may talk to the hub: the `Origin` of sockets, of CORS and of event streams, by one list."""

from __future__ import annotations

import re
from collections.abc import Sequence

_DEFAULT_PORTS = {"http": "80", "https": "443"}
# RFC 6454 §6.2: scheme "://" host [":" port], and nothing after. A host is a name, IPv4 or IPv6 in brackets.
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_MAX_CHARS = 300  # a scheme, a host name of at most 253 and a port


def parse_origin(entry: str) -> str:
    """One entry of TALLYCAST_ORIGINS in its normal form. Raises ValueError that says what was expected."""
    if entry == "*":
        return entry
    normal = _normal(entry.replace("://*.", "://", 1))
    if normal is None or ("*" in entry and ("://*." not in entry or "[" in entry)):
        raise ValueError("an origin such as https://www.example.com, https://*.example.com or *, without a path")
    return normal.replace("://", "://*.", 1) if "*" in entry else normal


class Origins:
    """The allowed origins. `allowed` holds exact origins, `https://*.example.com` for all its sub-domains, or `*`.

    The hub's own pages and callers without an `Origin`, which are not browsers, are always allowed. Raises ValueError
    on an entry that is no origin; Settings has checked its own.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        entries = [parse_origin(entry) for entry in allowed]
        self.any = "*" in entries
        self._exact = frozenset(entry for entry in entries if "*" not in entry)
        # ("https://", ".example.com"): the scheme before and the rest, port included, after what `*` stands for.
        self._below = tuple(
            (f"{scheme}://", rest) for scheme, _, rest in (entry.partition("://*") for entry in entries) if rest
        )

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Whether a page of `origin` may talk to the hub that was called as `host` (the request's Host header).

        An opaque origin (`null`: a sandboxed frame, a file) is allowed by `*` alone. Behind a proxy `host` must be
        the name that the browser used: the scheme is not compared, since a proxy that ends TLS hides it.
        """
        if origin is None or self.any:
            return True
        normal = _normal(origin)
        if normal is None:
            return False
        if normal in self._exact:
            return True
        scheme = normal.partition("://")[0]
        if host is not None and scheme in _DEFAULT_PORTS and _normal(f"{scheme}://{host}") == normal:
            return True
        return any(
            normal.startswith(before) and normal.endswith(after) and len(normal) > len(before) + len(after)
            for before, after in self._below
        )

    def cors(self, origin: str | None, host: str | None) -> dict[str, str]:
        """The response headers that let the page of `origin` read an answer; empty when it may not or need not.

        With `*` alone the answer is the same for everybody; else the origin is echoed and `Vary` keeps caches from
        mixing answers up, also where the origin is refused or absent. No credentials: a script's token travels in
        `Authorization`, and no answer to it depends on a cookie.
        """
        if self.any:
            return {"Access-Control-Allow-Origin": "*"}
        if origin is None or not self.allows(origin, host):
            return {"Vary": "Origin"}
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}


def _normal(origin: str) -> str | None:
    """In lower case, without the scheme's default port; None when it is no origin (`null` is none)."""
    if len(origin) > _MAX_CHARS:
        return None
    match = _ORIGIN.fullmatch(origin.lower())
    if match is None:
        return None
    scheme, host, port = match["scheme"], match["host"], match["port"]
    if port is not None:
        port = str(int(port))
        if int(port) > 65535:
            return None
    return f"{scheme}://{host}" + ("" if port is None or port == _DEFAULT_PORTS.get(scheme) else f":{port}")
