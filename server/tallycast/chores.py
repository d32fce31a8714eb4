"""Work that is done now and then for as long as the hub runs, and that a store's trouble does not end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tallycast.errors import Unavailable

log = logging.getLogger("tallycast.chores")


async def every(pause_s: float, work: Callable[[], Awaitable[object]], what: str) -> None:
    """Do `work`, pause, and so on until cancelled. `what` names it in the log, where each trouble stands once."""
    well = True
    while True:
        try:
            await work()
        except Unavailable as error:
            if well:
                log.warning("%s: %s; tried again", what, error.message)
            well = False
        except Exception:
            log.exception("%s failed", what)
            well = False
        else:
            well = True
        await asyncio.sleep(pause_s)
