"""What is heard, and where: each channel is subscribed to at the server that has it, as long as it is wanted."""

from __future__ import annotations

import asyncio
import logging
import secrets
from itertools import count
from typing import Protocol

from tallycast.store.redis.client import connect
from tallycast.store.redis.keys import Keys
from tallycast.store.redis.link import Link
from tallycast.store.redis.routes import TROUBLE, Routes, routes_of
from tallycast.store.redis.tasks import end
from tallycast.store.redis.url import RedisUrl

log = logging.getLogger("tallycast.redis")

CONNECTIONS = 4  # to a server, for probes, besides the one that is subscribed
TRY_AGAIN_S = 0.25  # until the cluster is asked again who has what


class Subscriber(Protocol):
    """Who wants to hear a channel. `server` is where it is heard, kept by Channels. No method may raise."""

    channel: bytes
    server: str | None

    def joined(self) -> None:
        """From now on what is published is heard; what was published before may not have been. May come again."""
        ...

    def message(self, message: bytes) -> None:
        """Something was published."""
        ...


class Channels:
    """The subscriptions at the Redis at `url`. The connections here are its own: no reaction waits for one.

    Starts with the first channel that is wanted, inside the running loop.
    """

    def __init__(self, url: RedisUrl, keys: Keys) -> None:
        self.routes: Routes = routes_of(connect(url, name="tallycast-feed", most=CONNECTIONS))
        self.name = secrets.token_hex(8)  # of this hub, to all that listen
        self._keys = keys
        self._subscribers: dict[bytes, Subscriber] = {}
        self._links: dict[str, Link] = {}
        self._misplaced = asyncio.Event()
        self._placing: asyncio.Task[None] | None = None
        self._closed = False

    def want(self, subscriber: Subscriber) -> None:
        """Hear the subscriber's channel, which nobody else here wants."""
        if self._closed:
            return
        if self._placing is None:
            self._placing = asyncio.get_running_loop().create_task(self._keep_placed())
        self._subscribers[subscriber.channel] = subscriber
        self._place(subscriber)

    def drop(self, subscriber: Subscriber) -> None:
        """Hear it no more."""
        if self._subscribers.pop(subscriber.channel, None) is not None and subscriber.server is not None:
            self._links[subscriber.server].drop(subscriber.channel)

    @property
    def well(self) -> bool:
        """Whether all that is wanted can be heard, as far as is known."""
        return all(link.well for link in self._links.values())

    async def close(self) -> None:
        """End the connections."""
        self._closed = True
        if self._placing is not None:
            await end([self._placing])
        self._subscribers.clear()
        await asyncio.gather(*(link.close() for link in self._links.values()))
        self._links.clear()
        await self.routes.close()

    # What the links tell

    def message(self, channel: bytes, message: bytes) -> None:
        """A publication; see Listener."""
        subscriber = self._subscribers.get(channel)
        if subscriber is not None:  # else left a moment ago
            subscriber.message(message)

    def joined(self, channel: bytes) -> None:
        """A channel can be heard; see Listener."""
        subscriber = self._subscribers.get(channel)
        if subscriber is not None:
            subscriber.joined()

    def left(self, channel: bytes) -> None:
        """The channel's slot has moved; see Listener."""
        subscriber = self._subscribers.get(channel)
        if subscriber is not None and subscriber.server is not None:
            self._links[subscriber.server].drop(channel)
            subscriber.server = None
            self._misplaced.set()

    def broke(self) -> None:
        """A server does not answer; see Listener. In a cluster another may have its slots by now."""
        if self.routes.sharded:
            self._misplaced.set()

    # Where channels are

    def _place(self, subscriber: Subscriber) -> None:
        """Subscribe at the server that has the channel."""
        server = self.routes.server(subscriber.channel)
        if server == subscriber.server and server is not None:
            return
        if subscriber.server is not None:
            self._links[subscriber.server].drop(subscriber.channel)
        subscriber.server = server
        if server is None:
            self._misplaced.set()
            return
        if server not in self._links:
            self._links[server] = self._link(server)
        self._links[server].want(subscriber.channel)

    def _link(self, server: str) -> Link:
        routes = self.routes
        names = (self._keys.probe(f"{self.name}.{number}").encode() for number in count())
        return Link(
            server,
            self,
            sharded=routes.sharded,
            dial=lambda: routes.connection(server),
            is_former=routes.is_former,
            probe=lambda: routes.probe(server, names),
            publish=routes.publish,
        )

    async def _keep_placed(self) -> None:
        while True:
            await self._misplaced.wait()
            self._misplaced.clear()
            try:
                await self.routes.refresh()
            except TROUBLE as error:
                log.debug("asking the cluster who has what failed: %s", error)
                self._misplaced.set()
            except Exception:
                log.exception("asking the cluster who has what failed")
                self._misplaced.set()
            else:
                for subscriber in list(self._subscribers.values()):
                    self._place(subscriber)
                for server in list(self._links):
                    if not self._links[server]:
                        await self._links.pop(server).close()
            await asyncio.sleep(TRY_AGAIN_S)
