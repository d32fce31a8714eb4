"""A process of test_sqlite_faults.py: a store whose files may not grow for a while. Argument: the path."""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
from pathlib import Path

from tallycast.errors import Unavailable
from tallycast.kinds import Reaction, parse
from tallycast.store.sqlite import SqliteStore


async def main() -> None:
    logging.disable()
    kinds = parse('[love]\nrule = "toggle"', "kinds of the child")
    store = SqliteStore(Path(sys.argv[1]), kinds)
    await store.apply([Reaction("post:1", "u:1", "love", 1)])
    batch = [Reaction(f"post:{n:0>190}", f"u:{n}", "love", 1) for n in range(2000)]

    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (256 * 1024, hard))
    for _ in range(3):
        try:
            await store.apply(batch)
        except Unavailable as error:
            refused = error.message
        else:
            raise AssertionError("2 MiB went into 256 KiB")
    print("refused:", refused)
    reading = await store.read(["post:1", batch[0].item], [])
    assert reading.snapshots["post:1"].counts == {"love": 1}
    assert reading.snapshots[batch[0].item].v == 0
    print("served")

    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    applied = await store.apply(batch)
    assert len(applied.changed) == len(batch)
    await store.close()
    print("recovered")


asyncio.run(main())
