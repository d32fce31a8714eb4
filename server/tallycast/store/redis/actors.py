"""That somebody said something at one hub, told to the hubs that have other connections of theirs.

Each actor has a channel, to which the hubs with connections of theirs subscribe: so Redis knows who has them, and
forgets it with the hub. Whoever comes to a channel asks how many hear it. Most are the only one, and then nothing is
ever published there. Else they say HERE; the others answer ALSO, and from then on each tells of what is said through it
(SAID). What stands now is read from Redis: the channel tells only that there is something to read.

A message is the hub's name, so that it passes over what it said itself, one of these three letters, and with SAID the
item.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from tallycast.errors import Unavailable
from tallycast.store.base import Attendant
from tallycast.store.redis.channels import Channels
from tallycast.store.redis.keys import Keys
from tallycast.store.redis.link import batches
from tallycast.store.redis.servers import Command, command
from tallycast.store.redis.tasks import end

log = logging.getLogger("tallycast.redis")

GATHER_S = 0.02  # comings, goings and what is said: by then more of it costs no more
LATE_S = 0.25  # to subscribe usually takes less
AGAIN_S = 0.25  # after a failure
COUNT_AT_ONCE = 500  # channels
CLOSE_S = 0.5

HERE, ALSO, SAID = b"h", b"a", b"s"

Send = Callable[[Sequence[Command]], Awaitable[list[Any]]]


class Attended:
    """An actor whom this hub attends: a Subscriber to their channel. Once not `wanted`, it is about to be forgotten."""

    __slots__ = (
        "_owner",
        "actor",
        "attendant",
        "channel",
        "joined_before",
        "server",
        "since_s",
        "subscribed",
        "wanted",
    )

    def __init__(self, owner: Actors, actor: str, channel: bytes, attendant: Attendant, since_s: float) -> None:
        self._owner = owner
        self.actor = actor
        self.attendant = attendant
        self.channel = channel
        self.server: str | None = None
        self.since_s = since_s
        self.wanted = True
        self.subscribed = False
        self.joined_before = False

    def joined(self) -> None:
        """See Subscriber."""
        self._owner.joined(self)

    def message(self, message: bytes) -> None:
        """See Subscriber."""
        self._owner.heard(self, message)


class Actors:
    """Attends actors and announces what they said, through `channels`.

    `send` sends commands in the order of all else that the store does, and raises Unavailable. Starts with the first
    call, inside the running loop.
    """

    def __init__(self, channels: Channels, keys: Keys, send: Send) -> None:
        self._channels = channels
        self._keys = keys
        self._send = send
        self._name = channels.name.encode()
        self._sharded = channels.routes.sharded
        self._attended: dict[str, Attended] = {}
        self._touched: dict[Attended, None] = {}  # attended or left since the last gathering
        self._uncounted: dict[Attended, None] = {}  # who has to learn how many hear the channel
        self._unsaid: dict[tuple[bytes, bytes], None] = {}  # channels with messages
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._failed = False
        self._closed = False

    def attend(self, actor: str, attendant: Attendant) -> None:
        """See Store.attend."""
        attended = self._attended.get(actor)
        if attended is None:
            channel = self._keys.actor_channel(actor).encode()
            attended = Attended(self, actor, channel, attendant, asyncio.get_running_loop().time())
            self._attended[actor] = attended
        else:  # left a moment ago; nobody here remembers who else has this actor
            attended.attendant, attended.wanted = attendant, True
            self._uncounted[attended] = None
        self._touched[attended] = None
        self._start()

    def unattend(self, actor: str) -> None:
        """See Store.unattend."""
        attended = self._attended.get(actor)
        if attended is not None:
            attended.wanted = False
            self._touched[attended] = None
            self._start()

    def announce(self, actor: str, item: str) -> None:
        """See Store.announce."""
        self._publish(self._keys.actor_channel(actor).encode(), SAID + item.encode())

    async def close(self) -> None:
        """Publish what waits, where that can be done at once. To be called before the channels are closed."""
        self._closed = True
        if self._running is not None:
            await end([self._running])
        if self._unsaid and not self._failed:  # else Redis is away, and nothing was counted just now
            with suppress(Unavailable, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._say()

    # What the channels tell

    def joined(self, attended: Attended) -> None:
        """The channel can be heard. What was said through it before may have been missed."""
        late = attended.joined_before or asyncio.get_running_loop().time() - attended.since_s > LATE_S
        attended.joined_before = True
        self._uncounted[attended] = None
        self._changed.set()
        if late and attended.wanted:
            attended.attendant.said(attended.actor, None)

    def heard(self, attended: Attended, message: bytes) -> None:
        """A message of another hub, or an own one."""
        sender, kind, item = message[: len(self._name)], message[len(self._name) :][:1], message[len(self._name) + 1 :]
        if sender == self._name or not attended.wanted:
            return
        if kind == SAID:
            attended.attendant.said(attended.actor, item.decode(errors="replace"))
        elif kind in (HERE, ALSO):
            attended.attendant.elsewhere(attended.actor)
            # Of what was said until now by whom did not know of the other nothing was announced.
            attended.attendant.said(attended.actor, None)
            if kind == HERE:
                self._publish(attended.channel, ALSO)

    # What Redis is told and asked

    def _start(self) -> None:
        self._changed.set()
        if self._running is None and not self._closed:
            self._running = asyncio.get_running_loop().create_task(self._run())

    def _publish(self, channel: bytes, message: bytes) -> None:
        self._unsaid[channel, message] = None
        self._start()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            await asyncio.sleep(GATHER_S)
            self._changed.clear()
            self._come_and_go()
            try:
                await self._count()
                await self._say()
                self._failed = False
            except Exception as error:
                self._failed = True
                if isinstance(error, Unavailable):
                    log.debug("telling of actors failed: %s", error)
                else:
                    log.exception("telling of actors failed")
                self._changed.set()
                await asyncio.sleep(AGAIN_S)

    def _come_and_go(self) -> None:
        touched, self._touched = self._touched, {}
        for attended in touched:
            if attended.wanted and not attended.subscribed:
                attended.subscribed = True
                self._channels.want(attended)
            elif not attended.wanted:
                if attended.subscribed:
                    self._channels.drop(attended)
                del self._attended[attended.actor]

    async def _count(self) -> None:
        """Learn who is attended by other hubs as well, and let these know."""
        uncounted, self._uncounted = self._uncounted, {}
        asked = [attended for attended in uncounted if attended.wanted and attended.joined_before]
        try:
            numbers = await self._listeners(asked)
        except BaseException:
            self._uncounted = uncounted | self._uncounted
            raise
        for attended, number in zip(asked, numbers, strict=True):
            if number > 1 and attended.wanted:
                attended.attendant.elsewhere(attended.actor)
                if not self._sharded:
                    self._publish(attended.channel, HERE)

    async def _listeners(self, asked: Sequence[Attended]) -> list[int]:
        """How many hubs hear each channel, this one too. On a cluster they are told HERE in passing: a node that no
        longer has a channel's slot refuses that, and would count none."""
        if self._sharded:
            hello = self._name + HERE
            return await self._send([_command(each.channel, "SPUBLISH", each.channel, hello) for each in asked])
        parts = batches((each.channel for each in asked), COUNT_AT_ONCE)
        answers = await self._send([_command(part[0], "PUBSUB", "NUMSUB", *part) for part in parts])
        return [number for answer in answers for number in answer[1::2]]

    async def _say(self) -> None:
        unsaid, self._unsaid = self._unsaid, {}
        verb = "SPUBLISH" if self._sharded else "PUBLISH"
        try:
            await self._send([_command(channel, verb, channel, self._name + message) for channel, message in unsaid])
        except BaseException:
            self._unsaid = unsaid | self._unsaid
            raise


def _command(channel: bytes, *words: str | bytes) -> Command:
    return Command(command(*words), channel.decode())
