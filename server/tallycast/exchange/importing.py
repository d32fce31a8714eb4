"""An import: all of it is checked before any of it counts, and it is counted in batches, between which people's
reactions get their turn. Nothing of it is held in memory but a batch.

Every row says what stands, and not by how much to move it: an import that was interrupted is simply sent again.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterable, AsyncIterator
from typing import IO, NamedTuple

import orjson

from tallycast.errors import Refused, Unavailable
from tallycast.exchange.rows import MOST_LINE_BYTES, Bad, Checker, Row
from tallycast.kinds import Reaction
from tallycast.moderator import Moderator

MOST_BYTES = 512 * 1024 * 1024
TURN = 500  # lines that are checked before others have their turn: about a millisecond
BATCH = 2_000  # rows
MOST_NAMED = 20  # bad lines whose reasons are told
TRIES = 5
AGAIN_S = 1.0


class Checked(NamedTuple):
    """An import that was read to its end: `file` holds its good rows, a batch of them in each line."""

    file: IO[bytes]
    rows: int
    bad: int
    first_bad: list[Bad]  # MOST_NAMED of them


class _Spool:
    """The good rows on their way to the file."""

    def __init__(self, file: IO[bytes]) -> None:
        self.rows = 0
        self._file = file
        self._waiting: list[Row] = []

    def add(self, rows: list[Row]) -> None:
        self._waiting += rows
        while len(self._waiting) >= BATCH:
            self._write(self._waiting[:BATCH])
            del self._waiting[:BATCH]

    def end(self) -> None:
        if self._waiting:
            self._write(self._waiting)
        self._file.seek(0)

    def _write(self, rows: list[Row]) -> None:
        self._file.write(orjson.dumps(rows) + b"\n")
        self.rows += len(rows)


async def check(body: AsyncIterable[bytes], checker: Checker) -> Checked:
    """Read an import to its end and check every line. The caller closes the file.

    Raises Refused (`too_big`), Unavailable where the disk has no room, and what reading the body raises.
    """
    file = tempfile.TemporaryFile(prefix="tallycast-import-")  # noqa: SIM115  # it is given away
    try:
        spool = _Spool(file)
        first_bad: list[Bad] = []
        bad = size_bytes = 0
        rest = b""
        async for part in body:
            size_bytes += len(part)
            if size_bytes > MOST_BYTES:
                raise Refused("too_big", f"an import may have {MOST_BYTES} bytes: send it in parts")
            lines = (rest + part).split(b"\n")
            rest = lines.pop()[: MOST_LINE_BYTES + 1]  # of a line that never ends no more is kept than shows that
            bad += await _check_lines(lines, checker, spool, first_bad)
        bad += await _check_lines([rest] if rest else [], checker, spool, first_bad)
        spool.end()
    except OSError as error:
        file.close()
        raise Unavailable(f"the hub's disk does not take the import: {error.strerror}", retry_after_s=60.0) from None
    except BaseException:
        file.close()
        raise
    return Checked(file, spool.rows, bad, first_bad)


async def _check_lines(lines: list[bytes], checker: Checker, spool: _Spool, first_bad: list[Bad]) -> int:
    """How many of them are bad."""
    found = 0
    for at in range(0, len(lines), TURN):
        rows, bad = checker.check(lines[at : at + TURN])
        spool.add(rows)
        found += len(bad)
        first_bad += bad[: MOST_NAMED - len(first_bad)]
        await asyncio.sleep(0)
    return found


async def apply(file: IO[bytes], moderator: Moderator) -> AsyncIterator[int]:
    """Count what was checked, and tell after each batch how many rows of it were.

    Raises Unavailable where the store cannot take it for some seconds.
    """
    done = 0
    for line in file:
        batch = [Reaction(item, actor, kind, value) for item, actor, kind, value in orjson.loads(line)]
        for tries_left in range(TRIES - 1, -1, -1):
            try:
                await moderator.apply(batch)
                break
            except Unavailable:
                if not tries_left:
                    raise
            await asyncio.sleep(AGAIN_S)
        done += len(batch)
        yield done
