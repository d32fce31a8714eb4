"""Frozen items and banned actors: who put them there, why, and the guard that refuses their reactions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import orjson

from tallycast.errors import Refused, Unavailable
from tallycast.identity import Actor
from tallycast.kinds import Reaction
from tallycast.mirrors import Mirror, Mirrors
from tallycast.store.records import ANY

SPACE = "bars"
ITEM, ACTOR = "item:", "actor:"


class Bar(NamedTuple):
    """Who barred an item or an actor, when (Unix time in seconds), and what they said of it."""

    by: str
    at: int
    reason: str


def load_bar(body: bytes) -> Bar:
    """A document of the space `bars`."""
    return Bar(**orjson.loads(body))


def dump_bar(bar: Bar) -> bytes:
    """The document of a bar."""
    return orjson.dumps(bar._asdict())


class Bars:
    """Holds on every hub within about a second, here at once. `clock_s` gives Unix time in seconds."""

    def __init__(self, mirrors: Mirrors, *, clock_s: Callable[[], float] = time.time) -> None:
        self._bars: Mirror[Bar] = mirrors.of(SPACE, load_bar, dump_bar)
        self._clock_s = clock_s
        self.frozen: Mapping[str, Bar] = {}
        self.banned: Mapping[str, Bar] = {}
        self._bars.watch(self._changed)
        self._changed()

    def check(self, actor: Actor, reaction: Reaction, address: str) -> None:
        """A service.Guard: `frozen`, `banned`; `unavailable` as long as nobody could read who is."""
        if reaction.item in self.frozen:
            raise Refused("frozen", f"{reaction.item} takes no reactions now")
        if actor.name in self.banned:
            raise Refused("banned", "you may not react here")
        if not self._bars.loaded:
            raise Unavailable("the hub is still reading who may react")

    async def freeze(self, item: str, by: str, reason: str) -> Bar:
        """Let nobody react to `item`. Where it is frozen already, the new reason stands. Raises Unavailable."""
        return await self._put(ITEM + item, by, reason)

    async def thaw(self, item: str) -> None:
        """End of freeze(); no error where there was none. Raises Unavailable."""
        await self._bars.delete(ITEM + item, ANY)

    async def ban(self, actor: str, by: str, reason: str) -> Bar:
        """Let `actor` react to nothing; what they said stays. Raises Unavailable."""
        return await self._put(ACTOR + actor, by, reason)

    async def unban(self, actor: str) -> None:
        """End of ban(); no error where there was none. Raises Unavailable."""
        await self._bars.delete(ACTOR + actor, ANY)

    async def _put(self, key: str, by: str, reason: str) -> Bar:
        bar = Bar(by, int(self._clock_s()), reason)
        await self._bars.put(key, bar, ANY)
        return bar

    def _changed(self) -> None:
        # Two dictionaries, so that a reaction costs two look-ups and no string is joined for it.
        self.frozen = {key[len(ITEM) :]: bar for key, bar in self._bars.items() if key.startswith(ITEM)}
        self.banned = {key[len(ACTOR) :]: bar for key, bar in self._bars.items() if key.startswith(ACTOR)}
