"""Going through a store a step with each call: cursors that say where to go on, whoever asks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tallycast.store.redis.keys import Keys
from tallycast.store.redis.line import Line, Way
from tallycast.store.redis.servers import Command, command

PLACES = 1_000  # keys that tell the nodes of a cluster apart

_CURSOR = re.compile(r"([a-z])(\d{1,3})-([0-9a-f]{8})-(\d{1,20})")
_RUN = re.compile(rb"run_id:([0-9a-f]{8})")


class Cursor(NamedTuple):
    """A place in what Redis goes through by itself: the server is named by a key that it has, and its process, since
    cursors of another one mean nothing; `at` is Redis's own."""

    of: str  # a letter: what is gone through
    server: int = 0
    run: str = ""
    at: int = 0

    @classmethod
    def parse(cls, of: str, text: str) -> Cursor:
        """The cursor that `str()` made; the beginning where it is "". Raises ValueError."""
        if not text:
            return cls(of)
        found = _CURSOR.fullmatch(text)
        if found is None or found[1] != of or int(found[4]) >= 2**64:
            raise ValueError("this cursor is not from here")
        return cls(of, int(found[2]), found[3], int(found[4]))

    def __str__(self) -> str:
        return f"{self.of}{self.server}-{self.run}-{self.at}"


class Walk:
    """Goes through keys and hashes. Methods raise ValueError for a cursor that is not from here, and Unavailable.

    Where Redis was started again or replaced meanwhile, they begin again.
    """

    def __init__(self, line: Line, way: Way, keys: Keys) -> None:
        self._line = line
        self._way = way
        self._keys = keys

    async def names(self, of: str, cursor: str, pattern: str, number: int) -> tuple[list[bytes], str]:
        """Keys that match, of about `number` that are looked at, and where to go on: "" at the end."""
        place = Cursor.parse(of, cursor)
        places = {self._keys.pulse(n): n for n in range(PLACES)}
        servers = sorted(places[key] for key in await self._line.each(self._way, list(places)))
        if not cursor or place.server not in servers:
            place = Cursor(of, servers[0])
        key = self._keys.pulse(place.server)
        run, at, found = await self._step(place, key, ("SCAN",), ("MATCH", pattern, "COUNT", number))
        if at:
            return found, str(Cursor(of, place.server, run, at))
        later = [server for server in servers if server > place.server]
        return found, str(Cursor(of, later[0], run, 0)) if later else ""

    async def fields(self, of: str, cursor: str, key: str, number: int) -> tuple[list[bytes], str]:
        """About `number` fields of a hash with their values, in turn, and where to go on."""
        place = Cursor.parse(of, cursor)
        run, at, found = await self._step(place, key, ("HSCAN", key), ("COUNT", number))
        return found, str(Cursor(of, 0, run, at)) if at else ""

    async def _step(
        self, place: Cursor, key: str, verb: Sequence[str], words: Sequence[str | int]
    ) -> tuple[str, int, list[bytes]]:
        at = place.at
        while True:
            asked = (command("INFO", "server"), command(*verb, at, *words))
            (info, (cursor, found)), _ = await self._line.send(self._way, [Command(packed, key) for packed in asked])
            told = _RUN.search(info)
            run = told[1].decode() if told else "0" * 8
            if not at or run == place.run:
                return run, int(cursor), found
            at = 0
