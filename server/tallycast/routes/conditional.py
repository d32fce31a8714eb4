"""Answers that a client may keep and ask for again: ETag and 304 (RFC 9110, sections 8.8.3 and 13.1.2)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

_TAG = re.compile(r'(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


def conditional(request: Request, body: bytes, headers: Mapping[str, str]) -> Response:
    """`body` with a strong ETag of it, or 304 without it where If-None-Match names that tag.

    `headers` stand on both; without a Content-Type among them it is JSON. A tag marked weak counts too: If-None-Match
    compares weakly.
    """
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    asked = ", ".join(request.headers.getlist("if-none-match"))
    if asked.strip() == "*" or tag in _TAG.findall(asked):
        return Response(status_code=304, headers={**headers, "ETag": tag})
    return Response(body, headers={**headers, "ETag": tag}, media_type="application/json")
