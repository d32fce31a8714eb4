"""The generator's processes, as their parent sees them: started, spoken to, listened to, ended."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from collections.abc import Callable, Sequence
from typing import Any, Final

from tallycast_loadtest import worker
from tallycast_loadtest.tally import Told
from tallycast_loadtest.worker import Compare, Compared, End, Share

_READY_S: Final = 60.0  # until a process that has not made its viewers by then counts as hung
_END_S: Final = 10.0


class Died(Exception):
    """A process ended that should not have: what it measured is lost, and so is the run."""


class Processes:
    """All of them, for one `async with`. `heard` is called with each part's Told, from the event loop."""

    def __init__(self, shares: Sequence[Share], heard: Callable[[int, Told], None]) -> None:
        self._heard = heard
        self._answers: list[asyncio.Queue[Any]] = [asyncio.Queue() for _ in shares]
        self._ending = False
        self.died: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        context = multiprocessing.get_context("spawn")
        pipes = [context.Pipe() for _ in shares]
        self._pipes = [ours for ours, _ in pipes]
        self._processes = [
            context.Process(target=worker.main, args=(theirs, share), name=f"tallycast-load-{share.part}", daemon=True)
            for (_, theirs), share in zip(pipes, shares, strict=True)
        ]
        # Ctrl-C reaches all processes of a terminal: theirs must not end by it, not even before they ignore it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT,))
        try:
            for process, (_, theirs) in zip(self._processes, pipes, strict=True):
                process.start()
                theirs.close()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def pids(self) -> list[int]:
        """Their process ids."""
        return [process.pid or 0 for process in self._processes]

    async def __aenter__(self) -> Processes:
        loop = asyncio.get_running_loop()
        for part, pipe in enumerate(self._pipes):
            loop.add_reader(pipe.fileno(), self._hear, part)
        return self

    async def __aexit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for pipe in self._pipes:
            loop.remove_reader(pipe.fileno())
            pipe.close()
        for process in self._processes:
            process.join(0 if self.died.done() else 1)
            if process.is_alive():
                process.kill()
                process.join(_END_S)
        if self.died.done():
            self.died.exception()  # it has been told

    def _hear(self, part: int) -> None:
        pipe = self._pipes[part]
        try:
            while pipe.poll():
                word = pipe.recv()
                if isinstance(word, Told):
                    self._heard(part, word)
                else:
                    self._answers[part].put_nowait(word)
        except (EOFError, OSError):
            asyncio.get_running_loop().remove_reader(pipe.fileno())
            self._answers[part].put_nowait(None)
            if not self._ending and not self.died.done():
                process = self._processes[part]
                process.join(1)
                self.died.set_exception(
                    Died(f"process {process.pid} of the generator ended with {process.exitcode}: the run is void")
                )

    async def ready(self) -> None:
        """Wait until all of them can begin. Raises Died."""
        async with asyncio.timeout(_READY_S):
            await self._all_answer()

    def tell(self, word: object) -> None:
        """Say the same short word to all. Raises Died."""
        for part, pipe in enumerate(self._pipes):
            try:
                pipe.send(word)
            except OSError:
                self._hear(part)

    async def compare(self, word: Compare) -> list[Compared]:
        """Have all viewers held to the hub's counts. Raises Died."""
        # Off the loop: a process may be telling us something large itself, and must be heard meanwhile.
        await asyncio.gather(*(asyncio.to_thread(pipe.send, word) for pipe in self._pipes), return_exceptions=True)
        return await self._all_answer()

    async def _all_answer(self) -> list[Any]:
        answers = asyncio.gather(*(queue.get() for queue in self._answers))
        await asyncio.wait((answers, self.died), return_when=asyncio.FIRST_COMPLETED)
        if self.died.done():
            answers.cancel()
            self.died.result()
        return answers.result()

    async def end(self) -> None:
        """Have all of them tell the rest, and end."""
        self._ending = True
        self.tell(End())
        async with asyncio.timeout(_END_S):
            await asyncio.gather(*(self._gone(queue) for queue in self._answers))

    async def _gone(self, queue: asyncio.Queue[Any]) -> None:
        while await queue.get() is not None:
            pass
