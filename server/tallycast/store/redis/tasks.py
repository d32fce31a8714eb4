"""The end of tasks that use redis-py."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

CANCEL_AGAIN_S = 0.05


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks until they are done, and let go of their exceptions.

    redis-py sends under asyncio.wait_for, which before Python 3.12 loses a cancellation that comes with its result.
    """
    waiting: Collection[asyncio.Task[None]] = tasks
    while waiting:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)
