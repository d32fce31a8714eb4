"""The link to the hub: a Session's messages over one connection after the other, until one fails for good."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from tallycast_client.backoff import delay_s
from tallycast_client.dial import LinkLost, closed, dial
from tallycast_client.errors import Refused, TransportError, Unreachable
from tallycast_client.messages import decode
from tallycast_client.session import Bye, Effect, Failed, Session

Token = str | Callable[[], str | Awaitable[str]]


class LinkState(NamedTuple):
    """How the link stands: `why` is what ended the last connection, `retry_in_s` when the next attempt comes."""

    name: Literal["connecting", "open", "waiting", "closed"]
    why: str = ""
    retry_in_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the link waits for what; see Client."""

    timeout_s: float
    open_timeout_s: float | None
    heartbeat_s: float
    base_s: float
    cap_s: float


class Link:
    """Keeps one Session connected. `act` gets its effects, `tell` the state of the link whenever it changes."""

    def __init__(
        self,
        session: Session,
        live: str,
        token: Token | None,
        patience: Patience,
        rng: Random,
        *,
        act: Callable[[Effect], None],
        tell: Callable[[LinkState], None],
    ) -> None:
        self._session, self._live, self._token, self._patience, self._rng = session, live, token, patience, rng
        self._act, self._tell = act, tell
        self._kick = asyncio.Event()
        self._open_since_s: float | None = None
        self._retry_after_s: float | None = None

    def kick(self) -> None:
        """The session may have something to send."""
        self._kick.set()

    async def run(self) -> None:
        """Never returns. Raises what no further attempt would mend."""
        loop = asyncio.get_running_loop()
        give_up_s = None if self._patience.open_timeout_s is None else loop.time() + self._patience.open_timeout_s
        attempt = 0
        self._tell(LinkState("connecting"))
        while True:
            self._open_since_s = self._retry_after_s = None
            try:
                await self._connection()
            except LinkLost as lost:
                if self._open_since_s is not None:
                    give_up_s = None
                    # Only a connection that stood for a while proves that the hub is well again.
                    if loop.time() - self._open_since_s >= self._patience.cap_s:
                        attempt = 0
                wait_s = self._wait_s(attempt, lost)
                attempt += 1
                if give_up_s is not None and loop.time() + wait_s > give_up_s:
                    raise lost.refusal or Unreachable(str(lost)) from lost
                self._tell(LinkState("waiting", str(lost), wait_s))
                await asyncio.sleep(wait_s)
                self._tell(LinkState("connecting", str(lost)))

    def _wait_s(self, attempt: int, lost: LinkLost) -> float:
        if self._retry_after_s is not None:  # of a bye, which the hub has spread over its viewers itself
            return self._retry_after_s
        return (lost.retry_after_s or 0.0) + delay_s(attempt, self._rng, self._patience.base_s, self._patience.cap_s)

    async def _connection(self) -> None:
        """One connection from its handshake to its end. Never returns; raises LinkLost or what is final."""
        ws = await dial(self._live, timeout_s=self._patience.timeout_s, heartbeat_s=self._patience.heartbeat_s)
        reader = asyncio.create_task(self._read(ws), name="tallycast_client.read")
        writer = asyncio.create_task(self._write(ws), name="tallycast_client.write")
        try:
            self._session.opened()
            self._note_open()
            # The writer ends quietly with the connection: what came before the end is still to be read.
            await asyncio.wait((reader, writer), return_when=asyncio.FIRST_EXCEPTION)
            for task in (writer, reader):
                if task.done():
                    await task
        except ConnectionClosed as end:
            renewable = callable(self._token) and self._session.ready
            raise closed(end, renewable=renewable) from end
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)
            self._session.lost()
            await ws.close()

    async def _read(self, ws: ClientConnection) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            for effect in self._session.receive(decode(await ws.recv()), clock()):
                if isinstance(effect, Failed):
                    raise effect.refusal
                if isinstance(effect, Bye):
                    self._retry_after_s = effect.retry_after_s
                else:
                    self._act(effect)
            self._note_open()
            self._kick.set()

    async def _write(self, ws: ClientConnection) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            self._kick.clear()
            if self._session.wants_token:
                self._session.authenticate(await self._fetch_token())
            try:
                for data in self._session.take(now_s := clock()):
                    await ws.send(data, text=True)
            except ConnectionClosed:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._session.wake_s(now_s)):
                    await self._kick.wait()

    def _note_open(self) -> None:
        if self._session.ready and self._open_since_s is None:
            self._open_since_s = asyncio.get_running_loop().time()
            self._tell(LinkState("open"))

    async def _fetch_token(self) -> str:
        """The token to use now. A function that cannot get one because of the network is asked again later."""
        if not callable(self._token):
            assert self._token is not None
            return self._token
        try:
            async with asyncio.timeout(self._patience.timeout_s):
                token = self._token()
                return await token if inspect.isawaitable(token) else token
        except (OSError, TransportError) as error:
            raise LinkLost(f"no token: {error or type(error).__name__}") from error
        except Refused as error:
            if error.retry_after_s is None:
                raise
            raise LinkLost(f"no token: {error}", retry_after_s=error.retry_after_s, refusal=error) from error
