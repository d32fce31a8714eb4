"""Counts a document of a running hub's store up, so many times, and notes how often it did."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tallycast.store.sqlite_beside import open_records


async def count(path: Path, times: int) -> None:
    beside = open_records(path)
    done = 0
    while done < times:
        before = await beside.records.get("polls", "p")
        assert before is not None
        done += await beside.records.put("polls", "p", str(int(before) + 1).encode(), before)
    await beside.journal.append("audit", str(done).encode(), most=10)
    await beside.close()
    print(done)


asyncio.run(count(Path(sys.argv[1]), int(sys.argv[2])))
