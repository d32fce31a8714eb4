"""Documents and journals in Redis: a hash for each space, a stream for each journal. See store/records.py."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection
from importlib import resources
from itertools import count
from typing import Any

from tallycast.store.records import ANY, CHANGES, Entry, Expected
from tallycast.store.redis.changes import Changes
from tallycast.store.redis.keys import Keys
from tallycast.store.redis.line import Ask
from tallycast.store.redis.servers import Command, command

SCRIPTS = resources.files("tallycast.store.redis").joinpath("scripts")
RECORD = SCRIPTS.joinpath("record.lua").read_bytes()
APPEND = SCRIPTS.joinpath("append.lua").read_bytes()
MARK_BYTES = 8
DOCUMENT = b"="  # what the fields of documents begin with
BODY = "body"  # the field of a journal's entries

_ID = re.compile(r"\d{1,20}(-\d{1,20})?")


class RedisRecords:
    """Documents. A space is one hash, so that a change and its revision are one step on a cluster too."""

    def __init__(self, keys: Keys, read: Ask, write: Ask) -> None:
        self._keys = keys
        self._read = read
        self._write = write

    async def get(self, space: str, key: str) -> bytes | None:
        """See Records.get."""
        body: bytes | None = await self._look(space, "HGET", DOCUMENT + key.encode())
        return body

    async def all(self, space: str) -> dict[str, bytes]:
        """See Records.all."""
        answer: list[bytes] = await self._look(space, "HGETALL")
        return documents(dict(zip(answer[::2], answer[1::2], strict=True)))

    async def put(self, space: str, key: str, body: bytes, expected: Expected) -> bool:
        """See Records.put."""
        return await self._change(space, key, expected, body)

    async def delete(self, space: str, key: str, expected: Expected) -> bool:
        """See Records.delete."""
        if expected is None:
            raise ValueError("what is expected to be nothing cannot be deleted")
        return await self._change(space, key, expected)

    async def revisions(self, spaces: Collection[str]) -> dict[str, int]:
        """See Records.revisions."""
        keys = {space: self._keys.records(space) for space in spaces}
        answers = await self._read([Command(command("HGET", key, b""), key) for key in keys.values()])
        return {space: int(answer or 0) for space, answer in zip(keys, answers, strict=True)}

    async def _look(self, space: str, verb: str, *words: bytes) -> Any:
        key = self._keys.records(space)
        (answer,) = await self._read([Command(command(verb, key, *words), key)])
        return answer

    async def _change(self, space: str, key: str, expected: Expected, *body: bytes) -> bool:
        if expected is None or expected == ANY:
            expects: tuple[str, bytes] = ("any" if expected else "none", b"")
        else:
            expects = ("this", expected)
        hash_key = self._keys.records(space)
        field, mark = DOCUMENT + key.encode(), secrets.token_bytes(MARK_BYTES)
        packed = command("EVAL", RECORD, 1, hash_key, field, mark, *expects, *body)
        (answer,) = await self._write([Command(packed, hash_key)])
        return bool(answer)


class RedisJournal:
    """Journals. `hub` is this process's own name, by which Redis knows an entry that is sent again.

    `changes` adds to the journal of changes where the scripts that count cannot.
    """

    def __init__(self, keys: Keys, hub: str, read: Ask, write: Ask) -> None:
        self._keys = keys
        self._hub = hub
        self._numbers = count(1)
        self._read = read
        self._write = write
        self.changes = Changes(keys.journal(CHANGES), self._changing, read, write)

    async def append(self, name: str, body: bytes, *, most: int) -> str:
        """See Journal.append."""
        (answer,) = await self._write([self._appending(name, "=", most, body)])
        return str(answer, "ascii")

    async def after(self, name: str, id: str, *, limit: int) -> list[Entry]:
        """See Journal.after. Raises ValueError for an id that is none."""
        return await self._entries(name, "XRANGE", _bound(id) or "-", "+", limit)

    async def newest(self, name: str, *, before: str = "", limit: int) -> list[Entry]:
        """See Journal.newest. Raises ValueError for an id that is none."""
        return await self._entries(name, "XREVRANGE", _bound(before) or "+", "-", limit)

    async def _entries(self, name: str, verb: str, first: str, last: str, limit: int) -> list[Entry]:
        if name == CHANGES:
            await self.changes.settle()
        key = self._keys.journal(name)
        (answer,) = await self._read([Command(command(verb, key, first, last, "COUNT", limit), key)])
        return [entry(id, fields) for id, fields in answer]

    def _changing(self, body: bytes) -> Command:
        return self._appending(CHANGES, "~", self.changes.most, body)

    def _appending(self, name: str, about: str, most: int, body: bytes) -> Command:
        """The command that adds an entry; `about` is ~ where some more than `most` may be kept, else =."""
        key, hubs = self._keys.journal(name), self._keys.appenders(name)
        words = (self._hub, next(self._numbers), body, "MAXLEN", about, most)
        return Command(command("EVAL", APPEND, 2, key, hubs, *words), key)


def documents(fields: dict[bytes, bytes]) -> dict[str, bytes]:
    """The documents in a space's hash by key, in the order of their keys."""
    return {field[1:].decode(): fields[field] for field in sorted(fields) if field.startswith(DOCUMENT)}


def entry(id: bytes, fields: list[bytes]) -> Entry:
    """An entry as Redis gives it."""
    text = id.decode()
    return Entry(text, int(text.partition("-")[0]), fields[1])


def _bound(id: str) -> str:
    """The end of a range that leaves out the entry with that id; "" for none."""
    if id and not _ID.fullmatch(id):
        raise ValueError(f"{id!r} is no id of an entry")
    return f"({id}" if id else ""
