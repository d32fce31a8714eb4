"""How many watch each item at each hub: a hash a hub, which Redis forgets when the hub is not heard of any more.

Kept by hub and not by item: a heartbeat is one command however many items are watched, and a hub that dies takes
exactly its own viewers along.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from importlib import resources
from itertools import islice
from typing import Any

from tallycast.errors import Unavailable
from tallycast.store.base import VIEWERS_S
from tallycast.store.redis.client import Client
from tallycast.store.redis.keys import Keys
from tallycast.store.redis.routes import TROUBLE
from tallycast.store.redis.trouble import explain

SCRIPTS = resources.files("tallycast.store.redis").joinpath("scripts")
HERE = SCRIPTS.joinpath("here.lua").read_bytes()
HUBS = SCRIPTS.joinpath("hubs.lua").read_bytes()
CLOSE_S = 0.5
VIEWERS_MS = int(VIEWERS_S * 1000)
ITEMS_A_CALL = 1_000  # about a millisecond of Redis's time


class Presence:
    """Tells through `client`, which it closes in the end, how many watch at the hub of that name, and learns of others.

    See Store.tell_viewers and Store.count_viewers.
    """

    def __init__(self, client: Client, keys: Keys, hub: str) -> None:
        self._client = client
        self._keys = keys
        self._hub = hub
        self._here: dict[str, int] = {}
        self._others: list[str] = []
        self._in_doubt = True  # whether Redis has what was told

    async def tell(self, here: Mapping[str, int]) -> None:
        """So many watch these items here. Raises Unavailable."""
        for item, viewers in here.items():
            if viewers:
                self._here[item] = viewers
            else:
                self._here.pop(item, None)
        try:
            if self._in_doubt or not await self._tell(here):
                self._in_doubt = True
                await self._tell(self._here, everything=True)
            self._in_doubt = False
            hubs = await self._evaluate(HUBS, self._keys.hubs, self._hub, VIEWERS_MS)
        except TROUBLE as error:
            self._in_doubt = True
            raise Unavailable(explain(error)[0]) from None
        self._others = [hub for hub in map(bytes.decode, hubs) if hub != self._hub]

    async def count(self, items: Collection[str]) -> dict[str, int]:
        """How many watch each of these items at the other hubs. Raises Unavailable."""
        names = list(items)
        viewers: Counter[str] = Counter()
        try:
            found = await asyncio.gather(*(self._count(hub, names) for hub in self._others))
        except TROUBLE as error:
            raise Unavailable(explain(error)[0]) from None
        for its in found:
            viewers.update(its)
        return dict(viewers)

    async def close(self) -> None:
        """Tell the others, where that can be done at once, that nobody watches here any more."""
        try:
            if self._here or not self._in_doubt:
                async with asyncio.timeout(CLOSE_S):
                    await self._client.unlink(self._keys.here(self._hub))
                    await self._evaluate(HUBS, self._keys.hubs, self._hub, 0)
        except TROUBLE:
            pass  # Redis forgets it by itself
        await self._client.aclose()

    async def _tell(self, here: Mapping[str, int], *, everything: bool = False) -> bool:
        for part in _parts(here) if here else ((),):
            told = [word for pair in part for word in pair]
            if not await self._evaluate(HERE, self._keys.here(self._hub), VIEWERS_MS, int(everything), *told):
                return False
            everything = False
        return True

    async def _count(self, hub: str, items: Sequence[str]) -> dict[str, int]:
        viewers: dict[str, int] = {}
        for at in range(0, len(items), ITEMS_A_CALL):
            some = items[at : at + ITEMS_A_CALL]
            numbers = await self._client.hmget(self._keys.here(hub), some)
            viewers |= {item: int(n) for item, n in zip(some, numbers, strict=True) if n is not None}
        return viewers

    async def _evaluate(self, script: bytes, key: str, *arguments: str | int) -> Any:
        return await self._client.execute_command("EVAL", script, 1, key, *arguments)


def _parts(here: Mapping[str, int]) -> Iterator[tuple[tuple[str, int], ...]]:
    rest = iter(here.items())
    while part := tuple(islice(rest, ITEMS_A_CALL)):
        yield part
