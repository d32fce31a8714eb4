"""The hub's log: lines of text or of JSON on standard error, uvicorn's records among them."""

from __future__ import annotations

import logging
import sys
import time
from typing import Literal

import orjson

from tallycast import request_id

# C0 and C1 controls and the line separators: what a client sent must not start a line or move a terminal's cursor.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_ESCAPES |= {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x2028: "\\u2028", 0x2029: "\\u2029"}


def configure(log_format: Literal["text", "json"], level: str) -> None:
    """Send all records of `level` ("debug" … "critical") and above to standard error, one line each.

    A traceback follows its line in text and is a field of it in JSON. Meant for a process of the hub's own: a hub
    mounted in another app leaves the log to that app. May be called again. uvicorn must run with `log_config=None`.
    """
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    handler.addFilter(without_queries)
    root = logging.getLogger()
    for old in [old for old in root.handlers if isinstance(old, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """A class of its own, so that configure replaces its handler and no other."""


class TextFormatter(logging.Formatter):
    """`2026-11-21T12:00:00.123Z INFO tallycast.hub: message`, then a traceback if there is one."""

    def __init__(self) -> None:
        self.converter = time.gmtime
        super().__init__("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        record.message = record.message.translate(_ESCAPES)
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message` and, where there is one, `request_id`, `exception`.

    The request is the one that is being served where the record is formatted, which is where it was made.
    """

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _utf8(record.getMessage()),
        }
        if serving := request_id.current():
            line["request_id"] = serving
        if record.exc_info:
            line["exception"] = _utf8(self.formatException(record.exc_info))
        return orjson.dumps(line).decode()


def without_queries(record: logging.LogRecord) -> bool:
    """A filter that takes the query string off the paths in uvicorn's records: careless clients put tokens there."""
    if record.name.startswith("uvicorn") and isinstance(record.args, tuple):
        record.args = tuple(
            arg.partition("?")[0] if isinstance(arg, str) and arg.startswith("/") else arg for arg in record.args
        )
    return True


def _utf8(text: str) -> str:
    """`text` with lone surrogates written out, since JSON in UTF-8 cannot hold them."""
    return text.encode("utf-8", "backslashreplace").decode()
