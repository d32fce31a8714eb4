"""Who did what: the journal `audit`, which holds every act of an administrator and nothing secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from tallycast.store.records import Journal

JOURNAL = "audit"
MOST_ENTRIES = 100_000  # older ones go


class Audit:
    """The log of acts. An act is noted before it is done: what nobody noted was not done."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def note(self, who: str, act: str, about: Mapping[str, Any]) -> None:
        """`who` (Admin.who, or a command's name) is about to do `act`, such as `item.freeze`, to what `about` says.

        Never with a key, token or secret in it. Durable when this returns. Raises Unavailable.
        """
        await self._journal.append(JOURNAL, orjson.dumps({"who": who, "act": act, "about": about}), most=MOST_ENTRIES)

    async def newest(self, *, before: str = "", limit: int) -> list[dict[str, Any]]:
        """The newest entries, newest first, `{"id","at","who","act","about"}` with `at` in Unix seconds.

        `before` is the id of the last entry of the page before. Raises Unavailable.
        """
        entries = await self._journal.newest(JOURNAL, before=before, limit=limit)
        return [{"id": entry.id, "at": entry.at_ms / 1000, **orjson.loads(entry.body)} for entry in entries]
