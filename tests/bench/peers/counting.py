"""Counting as a plain application does it: two dictionaries, gone with the process."""

from __future__ import annotations

import time
from typing import Any

import orjson


class Counts:
    """What everybody says of every item. `react` takes a reaction apart and gives its acknowledgement."""

    def __init__(self) -> None:
        self._values: dict[tuple[str, object, str], int] = {}
        self._counts: dict[str, dict[str, int]] = {}

    def react(self, actor: object, reaction: dict[str, Any]) -> dict[str, Any]:
        """The acknowledgement of `{"ref":…,"item":…,"kind":…,"value":…}`."""
        item, kind, value = reaction["item"], reaction["kind"], reaction["value"]
        counts = self._counts.setdefault(item, {})
        counts[kind] = counts.get(kind, 0) + value - self._values.get((item, actor, kind), 0)
        self._values[item, actor, kind] = value
        v = time.time_ns() // 1000
        return {"ev": "ack", "ref": reaction["ref"], "item": item, "v": v, "counts": counts, "mine": {kind: value}}

    def react_text(self, actor: object, text: str) -> str:
        """The same from text to text."""
        return orjson.dumps(self.react(actor, orjson.loads(text))).decode()
