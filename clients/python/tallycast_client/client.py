"""The client: what a program calls. What it knows is in session.py, how it stays connected in link.py."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
import weakref
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from tallycast_client.dial import addresses
from tallycast_client.errors import ClientClosed, OperationTimeout
from tallycast_client.link import Link, LinkState, Patience, Token
from tallycast_client.messages import Counts
from tallycast_client.session import Changed, Effect, Session, Settled

Answer = tuple[Counts, ...]


class Updates:
    """Newest counts of subscribed items as they, or how many watch, change; begins with those that are known.

    It holds no queue, only which items changed since it was last asked: who reads slowly gets the newest of each.
    Ends when the client is closed, and raises what the client failed with.
    """

    def __init__(self, client: Client, items: Iterable[str]) -> None:
        self._client = client
        self._stale = dict.fromkeys(items)
        self._changed = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Counts:
        while True:
            while self._stale:
                item = next(iter(self._stale))
                del self._stale[item]
                counts = self._client.newest(item)
                if counts is not None:
                    return counts
            if self._client.failure is not None:
                raise self._client.failure
            if self._client.link.name == "closed":
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()

    def _note(self, item: str | None) -> None:
        if item is not None:
            self._stale[item] = None
        self._changed.set()


class Client:
    """One connection to a hub, made again whenever it is lost until `close`.

    `url` is any address of the hub, http or ws. `token` is a user's or visitor's token, or a function that gives
    one, plain or async, and is asked before each connection and when the token has expired.
    `timeout_s`: how long each request may take over all connections, and each attempt at one.
    `open_timeout_s`: for how long to try for the first connection; 0 is one attempt, None is for ever.
    `heartbeat_s`: a link on which twice as long nothing was heard is dead.
    `on_link` is called with the LinkState whenever it changes.
    """

    def __init__(
        self,
        url: str,
        *,
        token: Token | None = None,
        timeout_s: float = 30.0,
        open_timeout_s: float | None = 10.0,
        heartbeat_s: float = 10.0,
        base_s: float = 0.5,
        cap_s: float = 20.0,
        on_link: Callable[[LinkState], None] | None = None,
        rng: random.Random | None = None,
    ) -> None:
        rng = rng or random.Random()
        self._timeout_s = timeout_s
        self._on_link = on_link
        self._session = Session(rng, authenticates=token is not None, renewable=callable(token))
        self._link = Link(
            self._session,
            addresses(url).live,
            token,
            Patience(timeout_s, open_timeout_s, heartbeat_s, base_s, cap_s),
            rng,
            act=self._act,
            tell=self._set_link,
        )
        self._waiting: dict[int, asyncio.Future[Answer | Exception]] = {}
        self._readers: weakref.WeakSet[Updates] = weakref.WeakSet()
        self._settled = asyncio.Event()  # the first connection is open, or there will be none
        self._runner: asyncio.Task[None] | None = None
        self.link = LinkState("closed", "not opened yet")
        self.failure: Exception | None = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def open(self) -> None:
        """Connect and authenticate. Raises Unreachable, Refused, ProtocolError."""
        if self._runner is not None:
            raise ClientClosed("a client is opened once: make another one")
        self.link = LinkState("connecting")
        self._runner = asyncio.create_task(self._run(), name="tallycast_client")
        try:
            await self._settled.wait()
        except BaseException:
            await self.close()
            raise
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        """End the connection. Whatever waits for an answer gets ClientClosed; iterations over updates end."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        self._end(ClientClosed("the client was closed"))

    @property
    def actor(self) -> str | None:
        """Who reacts here, as the hub named it; None without a token."""
        return self._session.actor

    @property
    def items(self) -> list[str]:
        """The items that are watched."""
        return self._session.items

    def newest(self, item: str) -> Counts | None:
        """The newest counts of a watched item; None where none have come or it is not watched."""
        return self._session.newest(item)

    def updates(self) -> Updates:
        """An iterator over the newest counts as they change; each call makes one of its own."""
        reader = Updates(self, self._session.items)
        self._readers.add(reader)
        return reader

    async def subscribe(self, *items: str, viewers: bool = False) -> dict[str, Counts]:
        """Watch items, over all connections to come; their counts by item.

        `viewers`: be told how many connections watch them, this one among them. The newest subscription to an item
        decides: subscribing again without it ends that.

        Raises ValueError for what is no item id, Refused, OperationTimeout, ClientClosed. Where the hub refuses some,
        the others are watched all the same; `items` tells.
        """
        self._check_open()
        refs = self._session.subscribe(items, viewers=viewers)
        answers = await self._ask(refs, f"subscription to {len(items)} items")
        return {counts.item: self.newest(counts.item) or counts for answer in answers for counts in answer}

    async def unsubscribe(self, *items: str) -> None:
        """Watch items no longer. Raises OperationTimeout, ClientClosed."""
        self._check_open()
        await self._ask(self._session.unsubscribe(items), f"end of the subscription to {len(items)} items")

    async def react(self, item: str, kind: str, value: int = 1) -> Counts:
        """Say `value` of an item in a kind: 1 or 0 of a toggle, the total of an amount. What stands then, durably.

        It is sent again until the hub answers, and counts once; of two reactions the later called stands.
        Raises ValueError, Refused, OperationTimeout, ClientClosed.
        """
        self._check_open()
        ref = self._session.react(item, kind, value, time.time_ns() // 1000)
        return await self._acknowledged(ref, f"reaction {kind} to {item}")

    async def event(self, item: str, kind: str, *, id: str | None = None) -> Counts:
        """Tell that an event happened, once for an `id` however often it is told; one is made where none is given.

        Raises as `react` does.
        """
        self._check_open()
        ref = self._session.event(item, kind, str(uuid.uuid4()) if id is None else id)
        return await self._acknowledged(ref, f"event {kind} of {item}")

    # Requests

    def _check_open(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self.link.name == "closed":
            raise ClientClosed("the client is not open: use `async with Client(…) as hub`")

    async def _acknowledged(self, ref: int, what: str) -> Counts:
        ((counts,),) = await self._ask([ref], what)
        return counts

    async def _ask(self, refs: list[int], what: str) -> list[Answer]:
        """The answers to requests of the session, once all are there. Raises the first refusal."""
        loop = asyncio.get_running_loop()
        futures: dict[int, asyncio.Future[Answer | Exception]] = {ref: loop.create_future() for ref in refs}
        self._waiting.update(futures)
        self._link.kick()
        try:
            async with asyncio.timeout(self._timeout_s):
                answers = [await future for future in futures.values()]
        except TimeoutError:
            hindered = [self._session.abandon(ref) for ref in refs]
            refusal = next((each for each in hindered if each is not None), None)
            if refusal is not None:
                raise refusal from None
            raise OperationTimeout(
                f"no answer to the {what} within {self._timeout_s:g} s; it may have been done"
            ) from None
        finally:
            for ref in refs:
                self._waiting.pop(ref, None)
                self._session.abandon(ref)
            self._link.kick()
        found: list[Answer] = []
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
            found.append(answer)
        return found

    def _act(self, effect: Effect) -> None:
        match effect:
            case Changed(item):
                for reader in self._readers:
                    reader._note(item)
            case Settled(ref, answer):
                future = self._waiting.get(ref)
                if future is not None and not future.done():
                    future.set_result(answer)

    # The link

    async def _run(self) -> None:
        try:
            await self._link.run()
        except Exception as error:
            self.failure = error
            self._end(error)

    def _set_link(self, state: LinkState) -> None:
        self.link = state
        if state.name == "open":
            self._settled.set()
        if self._on_link is not None:
            self._on_link(state)

    def _end(self, error: Exception) -> None:
        if self.link.name != "closed" or self._runner is None:
            self._set_link(LinkState("closed", str(error)))
        for future in self._waiting.values():
            if not future.done():
                future.set_result(error)
        for reader in self._readers:
            reader._note(None)
        self._settled.set()
