"""The browser's part at `/client/…`: the SDK and the elements, for pages of any origin.

`/client/tallycast.js` is the newest and is asked for again soon; `/client/1/tallycast.js` is release 1 of the files and
never changes once it is out, so that it may be kept for a year and pinned by Subresource Integrity (docs/embed.md).
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from pathlib import Path
from typing import NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from tallycast.routes.conditional import conditional

RELEASE = 1
NAMES = ("tallycast.js", "widget.js", "poll.js", "proof.js")

_PACKAGE = Path(__file__).parent.parent
SOURCES = _PACKAGE.parent.parent / "clients" / "browser"  # in a checkout
PACKED = _PACKAGE / "client"  # what tests/packing.py makes of them, and a wheel holds

SOON = "public, max-age=600"
NEVER_AGAIN = "public, max-age=31536000, immutable"
HEADERS = {
    "Content-Type": "text/javascript; charset=utf-8",
    "Vary": "Accept-Encoding",
    # Other sites' pages load them: modules are fetched with CORS, and pages that are isolated want to be told.
    "Access-Control-Allow-Origin": "*",
    "Cross-Origin-Resource-Policy": "cross-origin",
    "X-Content-Type-Options": "nosniff",
}


class File(NamedTuple):
    """A module as it is served to whoever takes gzip."""

    gzipped: bytes

    @property
    def plain(self) -> bytes:
        """The same for anybody else."""
        return gzip.decompress(self.gzipped)

    @property
    def integrity(self) -> str:
        """What a page's `integrity` attribute says of it."""
        return "sha384-" + base64.b64encode(hashlib.sha384(self.plain).digest()).decode()


def read(name: str) -> File:
    """A module as it was packed; as it is written where a module has been changed since, or nothing is packed.

    Raises OSError where there is neither.
    """
    packed, source = PACKED / f"{name}.gz", SOURCES / name
    changed_s = max((path.stat().st_mtime for path in SOURCES.glob("*.js")), default=0)  # each holds the SDK
    if source.exists() and not (packed.exists() and packed.stat().st_mtime >= changed_s):
        return File(gzip.compress(source.read_bytes(), 9, mtime=0))  # no time in it: the same on each hub
    return File(packed.read_bytes())


FILES = {name: read(name) for name in NAMES}


def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header (RFC 9110, section 12.5.3) lets the answer be gzip."""
    weights = {}
    for entry in accept_encoding.lower().split(","):
        coding, _, parameter = entry.partition(";")
        weights[coding.strip()] = parameter.replace(" ", "") not in ("q=0", "q=0.", "q=0.0", "q=0.00", "q=0.000")
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))


def send(request: Request, cache_control: str) -> Response:
    """The file that the path names, or 304 where the browser has it already. Raises HTTPException (404)."""
    file = FILES.get(request.path_params["name"])
    if file is None:
        raise HTTPException(404)
    headers = HEADERS | {"Cache-Control": cache_control}
    if takes_gzip(", ".join(request.headers.getlist("accept-encoding"))):
        return conditional(request, file.gzipped, headers | {"Content-Encoding": "gzip"})
    return conditional(request, file.plain, headers)


async def newest(request: Request) -> Response:
    """GET /client/{name}"""
    return send(request, SOON)


async def released(request: Request) -> Response:
    """GET /client/1/{name}"""
    return send(request, NEVER_AGAIN)


routes: list[BaseRoute] = [Route("/client/{name}", newest), Route(f"/client/{RELEASE}/{{name}}", released)]
