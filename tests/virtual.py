"""An event loop on which time passes only when nobody has anything to do: hours of ticks in no time, and no luck."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Waits for nothing: the time that the loop would have slept is added to its clock instead."""

    now_s = 1_000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if not ready and timeout:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """For code that uses timers and futures; real sockets and threads would find the clock running wild."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.now_s

    def spend(self, seconds: float) -> None:
        """Let time pass as if the code that runs now had taken so long."""
        self._virtual.now_s += seconds


def run(main: Coroutine[Any, Any, T]) -> T:
    """asyncio.run() in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
