"""Documents and journals in Redis, as a migration carries them."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence

from tallycast.store.redis import scan
from tallycast.store.redis.records import BODY, DOCUMENT, MARK_BYTES, RECORD, documents, entry
from tallycast.store.shared import LEFT_JOURNALS, LEFT_SPACES, Document, Note, Shared

NOTES_A_STEP = 500


async def read(store: scan.Opened) -> AsyncIterator[Shared]:
    """All that is to be carried."""
    for space in await _names(store, store.keys.records("")):
        if space not in LEFT_SPACES:
            fields: dict[bytes, bytes] = await store.client.execute_command("HGETALL", store.keys.records(space))
            for key, body in documents(fields).items():
                yield Document(space, key, body)
    for name in await _names(store, store.keys.journal("")):
        if name not in LEFT_JOURNALS:
            async for note in _notes(store, name):
                yield note


async def _names(store: scan.Opened, nameless: str) -> list[str]:
    """What stands between the braces of the keys that are there."""
    begin = nameless.removesuffix("}")
    found: set[str] = set()
    async for key in store.client.scan_iter(match=f"{scan.pattern(begin)}}}", count=scan.KEYS_A_STEP):
        found.add(key[len(begin) : -1].decode())
    return sorted(found)


async def _notes(store: scan.Opened, name: str) -> AsyncIterator[Note]:
    first = "-"
    while True:
        answer = await store.client.execute_command(
            "XRANGE", store.keys.journal(name), first, "+", "COUNT", NOTES_A_STEP
        )
        for id, fields in answer:
            _, at_ms, body = entry(id, [part for pair in fields.items() for part in pair])
            yield Note(name, at_ms, body)
            first = f"({id.decode()}"
        if len(answer) < NOTES_A_STEP:
            return


class SharedTarget:
    """Adds documents and notes to a store. With `resumed` journals are begun anew: they hold what was added before."""

    def __init__(self, store: scan.Opened, *, resumed: bool) -> None:
        self._store = store
        self._resumed = resumed
        self._last_ms: dict[str, int] = {}  # by journal: the time of its last entry

    async def write(self, some: Sequence[Shared]) -> None:
        """See Target.write_shared."""
        for name in {one.journal for one in some if isinstance(one, Note)} - self._last_ms.keys():
            self._last_ms[name] = await self._begin(name)
        pipeline = self._store.client.pipeline(transaction=False)
        keys = self._store.keys
        for one in some:
            if isinstance(one, Document):
                mark, field = secrets.token_bytes(MARK_BYTES), DOCUMENT + one.key.encode()
                pipeline.execute_command("EVAL", RECORD, 1, keys.records(one.space), field, mark, "any", b"", one.body)
            else:
                at_ms = self._last_ms[one.journal] = max(one.at_ms, self._last_ms[one.journal])
                pipeline.execute_command("XADD", keys.journal(one.journal), f"{at_ms}-*", BODY, one.body)
        await pipeline.execute()

    async def _begin(self, name: str) -> int:
        key = self._store.keys.journal(name)
        if self._resumed:
            await self._store.client.execute_command("UNLINK", key)
        last = await self._store.client.execute_command("XREVRANGE", key, "+", "-", "COUNT", 1)
        return entry(last[0][0], [b"", b""]).at_ms if last else 0
