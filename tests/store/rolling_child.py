"""A process of test_history.py: counts and rolls up at the same time until it is killed; a line for each piece rolled.

Arguments: the store's URL and prefix.
"""

from __future__ import annotations

import asyncio
import sys
from itertools import count

from tallycast.history import rollup
from tallycast.history.rollup import Position, Roll
from tallycast.kinds import Reaction, parse
from tallycast.store import open_store
from tallycast.store.records import CHANGES

KINDS = parse('[love]\nrule = "toggle"\n[clap]\nrule = "amount"\nmax = 50\n', "kinds of the child")


async def main() -> None:
    rollup.PIECE_MOVES = 20  # so that it is killed in the middle of a roll
    store = open_store(sys.argv[1], KINDS, prefix=sys.argv[2])

    async def react() -> None:
        for number in count():
            await store.apply(
                [Reaction(f"post:{n % 400}", f"u:{number}", "love", 1) for n in range(number, number + 150)]
            )

    reacting = asyncio.get_running_loop().create_task(react())
    while not reacting.done():
        position = Position.parse(await store.history.checkpoint())
        roll = Roll()
        for entry in await store.journal.after(CHANGES, position.after, limit=5):
            roll.add(entry)
            if entry.id == position.upto:  # the roll in the middle of which the last one was killed
                break
        while roll.moves:
            behind, rises = roll.piece(position)
            assert await store.history.roll(str(position), str(behind), rises)
            print(behind.done, flush=True)
            position = behind
            if not behind.upto:
                break
        await asyncio.sleep(0)
    await reacting


if __name__ == "__main__":
    asyncio.run(main())
