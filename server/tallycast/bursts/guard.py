"""Sees every reaction go by, and keeps of it what the judging needs a moment later. Lets everything pass."""

from __future__ import annotations

import time
from collections.abc import Callable

from tallycast.identity import Actor
from tallycast.kinds import RESERVED, Reaction

FRESH_S = 3600.0  # since a visitor's token was made, until which the visitor is a newcomer
MOST_ITEMS = 20_000  # between two looks
MOST_FRESH = 10_000  # of an item between two looks


class Seen:
    """Who reacted to an item since the last look: newcomers, with their address and what kind of, and all others."""

    __slots__ = ("fresh", "others")

    def __init__(self) -> None:
        self.fresh: list[tuple[str, str, str]] = []
        self.others: set[str] = set()


class Guard:
    """Its check() is a service.Guard. `visitor_s` is how long a visitor's token is good; `clock` gives Unix time in
    seconds.

    Addresses are kept until take() hands them on, and no longer.
    """

    def __init__(self, *, visitor_s: float, clock: Callable[[], float] = time.time) -> None:
        self._visitor_s = visitor_s
        self._clock = clock
        self._seen: dict[str, Seen] = {}
        self._fresh_s = clock() + visitor_s - FRESH_S  # a token that expires later was made less than FRESH_S ago

    def check(self, actor: Actor, reaction: Reaction, address: str) -> None:
        """Note the reaction; taking something back is none that swells a count. Never refuses."""
        item, name, kind, value, _, _ = reaction
        if not value:
            return
        seen = self._seen.get(item)
        if seen is None:
            if len(self._seen) >= MOST_ITEMS:
                return
            seen = self._seen[item] = Seen()
        if actor[1] > self._fresh_s and name[:2] == "v:":
            if len(seen.fresh) < MOST_FRESH:
                seen.fresh.append((name, address, kind))
        elif name[0] != RESERVED:
            seen.others.add(name)

    def take(self) -> dict[str, Seen]:
        """What was seen since the last call, by item."""
        self._fresh_s = self._clock() + self._visitor_s - FRESH_S
        seen, self._seen = self._seen, {}
        return seen
