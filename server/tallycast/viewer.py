"""One connection's conversation: what it watches, who it is, what it may still do. It never waits for anything.

The same conversation is held over the fast lane (transport.py) and over plain ASGI (routes/live.py): both hand it
whole text messages and give it a Channel to answer through.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tallycast import wire
from tallycast.errors import CODES, Refused, Unavailable
from tallycast.items import Item
from tallycast.store.base import Reading

if TYPE_CHECKING:
    from tallycast.handshake import Admission
    from tallycast.identity import Actor
    from tallycast.service import Service

log = logging.getLogger("tallycast.viewer")

MOST_ERRORS = 20  # of the client's own making, within…
ERRORS_WITHIN_S = 60.0
MOST_READS = 32  # subscriptions of one viewer that wait for the store


class Channel(Protocol):
    """Where a conversation's words go, whole WebSocket frames, and what it says of the client's.

    `write` says something at once. Not within Conversation.message(): what is said there is an answer().
    """

    @property
    def write(self) -> Callable[[bytes], object]: ...

    def answer(self, frame: bytes) -> None:
        """Say `frame` after what was said before; it may go out together with other answers."""
        ...

    def hold(self) -> None:
        """Tell the conversation of nothing more until release()."""
        ...

    def release(self) -> None:
        """The end of hold(); also where the connection has gone meanwhile."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Say nothing more and close with a code of frames.CLOSE_CODES."""
        ...


class Guest(Protocol):
    """Somebody whose connection stays."""

    def bye(self, retry_after_s: float) -> None:
        """The hub restarts: say so, ask to come back in that many seconds, and close."""
        ...


class Conversation(Guest, Protocol):
    """What a connection is for. The transport calls it, one call at a time, and never after gone()."""

    def message(self, data: bytes) -> None:
        """A whole text message, valid UTF-8, has come."""
        ...

    def pause(self) -> None:
        """The channel is full: what is written now only makes it fuller."""
        ...

    def resume(self) -> None:
        """The channel has room again."""
        ...

    def gone(self) -> None:
        """The connection is closed or about to be: nothing more is said."""
        ...


def _nowhere(frame: bytes) -> None:
    """Where the words to somebody who has gone go."""


class Viewer:
    """A conversation in protocol version 1."""

    __slots__ = ("_errors_s", "_reads", "actor", "admission", "channel", "items", "service", "stale", "write")

    def __init__(self, service: Service, channel: Channel, admission: Admission) -> None:
        self.service = service
        self.channel = channel
        self.admission = admission
        self.actor = actor = admission.actor
        self.write: Callable[[bytes], object] = channel.write
        self.items: tuple[Item, ...] = ()  # a tuple is the least an idle viewer can hold
        self.stale: set[Item] | None = None
        self._errors_s: list[float] | None = None
        self._reads = 0
        if actor is not None:
            service.hub.devices.join(actor.name, self)

    def pause(self) -> None:
        """The channel is full."""
        self.service.hub.pause(self)

    def resume(self) -> None:
        """The channel has room again."""
        self.service.hub.resume(self)

    def gone(self) -> None:
        """The connection is closed or about to be."""
        self.write = _nowhere
        self._become(None)
        self.service.hub.leave(self)
        self.items = ()

    def bye(self, retry_after_s: float) -> None:
        """The hub restarts."""
        self.write(wire.bye(retry_after_s))
        self.channel.close(1012, "restart")

    def message(self, data: bytes) -> None:
        """A whole text message, valid UTF-8, has come."""
        ref = None
        message: dict[str, Any] = {}
        try:
            message = wire.loads(data)
            ref = wire.check_ref(message)
            name = message.get("op")
            op = OPS.get(name) if type(name) is str else None
            if op is None:
                raise Refused("unknown_op", f"op must be one of {', '.join(OPS)}")
            op(self, message, ref)
        except Refused as refusal:
            if message.get("op") == "react":
                self.service.count_refused(message.get("kind"), refusal.code)
            self.refused(ref, refusal)

    # What intake.py says of this viewer's reactions

    def acked(self, answers: Sequence[tuple[int | None, bytes]]) -> None:
        """Reactions are durable."""
        self.write(b"".join([wire.ack(ref, body) for ref, body in answers]))

    def refused(self, ref: int | None, refusal: Refused) -> None:
        """A message is answered with an error; too many of the client's own making end the connection."""
        self.channel.answer(wire.error(ref, refusal))
        if not CODES[refusal.code].client_fault:
            return
        now_s = self.service.now_s()
        self._errors_s = [at_s for at_s in self._errors_s or () if at_s > now_s - ERRORS_WITHIN_S]
        self._errors_s.append(now_s)
        if len(self._errors_s) >= MOST_ERRORS:
            self.channel.close(1008, "too many errors")

    # The operations

    def _auth(self, message: dict[str, Any], ref: int | None) -> None:
        token = message.get("token")
        if type(token) is not str:
            raise Refused("bad_request", "auth needs a token")
        actor = self.service.identity.verify(token)
        self._become(actor)
        self.channel.answer(wire.auth(ref, actor.name))

    def _become(self, actor: Actor | None) -> None:
        before, self.actor = self.actor, actor
        if before is not None and actor is not None and before.name == actor.name:
            return  # with a newer token
        devices = self.service.hub.devices
        if before is not None:
            devices.leave(before.name, self)
        if actor is not None:
            devices.join(actor.name, self)

    def _subscribe(self, message: dict[str, Any], ref: int | None) -> None:
        if self._reads >= MOST_READS:
            raise Refused("rate_limited", "too many subscriptions at once: wait for their snapshots", retry_after_s=1.0)
        names = wire.check_items(message.get("items"))
        curious = wire.check_viewers(message)
        actor = self.actor
        try:
            self.service.check_view(actor, names)
        except Refused as refusal:
            if refusal.code == "unauthenticated":
                self.channel.close(4401, "viewing needs a token here: authenticate first")
                return
            raise
        most = self.service.settings.items_per_viewer
        if most and len({item.snapshot.item for item in self.items}.union(names)) > most:
            raise Refused("too_many_items", f"a viewer may watch {most} items: unsubscribe from some first")
        hub = self.service.hub
        items = [hub.item(name) for name in names]
        new = [item for item in items if hub.watch(self, item)]
        self.items += tuple(new)
        wishes = [(item, item.tells(self)) for item in items]
        for item in items:
            hub.tell_viewers(self, item, wanted=curious)
        if actor is None and all(item.known for item in items):
            self.channel.answer(wire.snapshot(ref, [item.body_for(self) for item in items], self.service.approximate))
            return
        self._reads += 1

        def done(result: Reading | Unavailable) -> None:
            self._reads -= 1
            if isinstance(result, Unavailable):
                self._unwatch(new)
                for item, before in wishes:
                    if self in item.watchers:
                        hub.tell_viewers(self, item, wanted=before)
                self.refused(ref, result)
            elif actor is None:
                self.write(wire.snapshot(ref, [item.body_for(self) for item in items], self.service.approximate))
            else:
                mine = [result.mine.get((name, actor.name), {}) for name in names]
                bodies = [wire.with_mine(item.body_for(self, its), its) for item, its in zip(items, mine, strict=True)]
                self.write(wire.snapshot(ref, bodies, self.service.approximate))

        hub.read_then(names, actor.name if actor else None, done)

    def _unsubscribe(self, message: dict[str, Any], ref: int | None) -> None:
        names = set(wire.check_items(message.get("items")))
        self._unwatch([item for item in self.items if item.snapshot.item in names])
        self.channel.answer(wire.ok(ref))

    def _unwatch(self, items: Collection[Item]) -> None:
        left = set(items)
        self.items = tuple(item for item in self.items if item not in left)
        for item in items:
            self.service.hub.unwatch(self, item)
            if self.stale:
                self.stale.discard(item)

    def _react(self, message: dict[str, Any], ref: int | None) -> None:
        actor = self.actor
        get = message.get
        kind = get("kind")
        if actor is None and not self.service.kinds.nameless(kind):
            raise Refused("unauthenticated", "send auth with a token before you react")
        item = wire.check_item(get("item"))
        address, _, agent = self.admission
        if actor is None:
            actor = self.service.gate.stranger(item, address, agent)
        reaction = self.service.kinds.reaction(item, actor.name, kind, get("value"), get("id"), get("seq"))
        self.service.admit(actor, reaction, address)
        if self.service.intake.put(self, ref, reaction):
            self.service.intake.hold(self.channel)

    def _ping(self, message: dict[str, Any], ref: int | None) -> None:
        self.channel.answer(wire.pong(ref))


OPS: dict[str, Callable[[Viewer, dict[str, Any], int | None], None]] = {
    "react": Viewer._react,
    "subscribe": Viewer._subscribe,
    "unsubscribe": Viewer._unsubscribe,
    "auth": Viewer._auth,
    "ping": Viewer._ping,
}
