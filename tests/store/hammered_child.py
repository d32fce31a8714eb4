"""A process of test_sqlite_crash.py: reacts until it is killed. Arguments: the path, the number of the first batch.

Prints the number of every batch that was acknowledged. Batch n is `batch(n)`: ten new actors' love and share, and
fifty-fold one old actor's clap.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tallycast.kinds import Reaction, parse
from tallycast.store.sqlite import SqliteStore

KINDS = parse(
    '[love]\nrule = "toggle"\n[clap]\nrule = "amount"\nmax = 1000000\n[share]\nrule = "event"', "kinds of the child"
)


def batch(number: int) -> list[Reaction]:
    item = f"post:{number % 7}"
    new = [f"u:{number}:{n}" for n in range(10)]
    return [
        *(Reaction(item, actor, "love", 1) for actor in new),
        *(Reaction(item, actor, "share", 1, id=f"share-of-{actor}") for actor in new),
        *(Reaction("post:all", "u:old", "clap", number) for _ in range(50)),
    ]


async def main() -> None:
    store = SqliteStore(Path(sys.argv[1]), KINDS)
    first = int(sys.argv[2])

    async def acknowledge(number: int) -> None:
        await store.apply(batch(number))
        print(number, flush=True)

    while True:
        async with asyncio.TaskGroup() as tasks:
            for number in range(first, first + 5):
                tasks.create_task(acknowledge(number))
        first += 5


if __name__ == "__main__":
    asyncio.run(main())
