"""A hub that does as the protocol says, except where a test has scripted otherwise: for tests of clients."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from importlib import resources
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tallycast.errors import Refused
from tallycast.kinds import Said, parse

KINDS = parse(resources.files("tallycast").joinpath("kinds.toml").read_text("utf-8"), "kinds.toml")
SECONDS = 10.0  # until something that has to happen counts as not happening

Message = dict[str, Any]


class Truth:
    """What a hub counted: values by actor, counts as their sums, versions that only grow."""

    def __init__(self) -> None:
        self.said: dict[tuple[str, str], dict[str, Said]] = defaultdict(dict)
        self.ids: set[tuple[str, str, str]] = set()
        self.versions: dict[str, int] = {}

    def counts(self, item: str) -> dict[str, int]:
        """The non-zero counts of an item."""
        found: dict[str, int] = {}
        for (of, _), said in self.said.items():
            for kind, (value, _) in said.items() if of == item else ():
                found[kind] = found.get(kind, 0) + value
        return {kind: count for kind, count in found.items() if count}

    def mine(self, item: str, actor: str) -> dict[str, int]:
        """What an actor says of an item."""
        said = self.said.get((item, actor), {})
        return {kind: value for kind, (value, _) in said.items() if value and KINDS[kind].rule != "event"}

    def body(self, item: str, actor: str | None = None) -> Message:
        """The item as frames carry it."""
        body: Message = {"item": item, "v": self.versions.get(item, 0), "counts": self.counts(item)}
        return body if actor is None else {**body, "mine": self.mine(item, actor)}

    def react(self, actor: str, message: Message) -> None:
        """Count a reaction. Raises Refused."""
        item = message["item"]
        reaction = KINDS.reaction(item, actor, *(message.get(key) for key in ("kind", "value", "id", "seq")))
        if reaction.id is not None:
            key = (actor, reaction.kind, reaction.id)
            if key in self.ids:
                return
            self.ids.add(key)
        before = self.counts(item)
        KINDS.apply(self.said[item, actor], reaction)
        if self.counts(item) != before:
            self.versions[item] = self.versions.get(item, 1_000) + 1


class Talk:
    """One connection, as the hub sees it."""

    def __init__(self, ws: ServerConnection) -> None:
        self.ws = ws
        self.actor: str | None = None
        self.items: set[str] = set()
        self.received: list[Message] = []

    async def send(self, **message: Any) -> None:
        """A message to the client."""
        await self.ws.send(json.dumps(message))

    async def error(self, message: Message, code: str, **more: Any) -> None:
        """An error that answers `message`."""
        await self.send(ev="error", ref=message["ref"], code=code, message=f"scripted {code}", **more)

    def cut(self) -> None:
        """End it without a word, as a cable does."""
        self.ws.transport.abort()


Script = Callable[[Talk, Message], Awaitable[None]]


class ScriptedHub:
    """A WebSocket server on a port of its own.

    `scripts[op]` are done one by one instead of the answers to the next messages with that `op`; `turn_away` are the
    answers to the next handshakes: status, headers, body.
    """

    def __init__(self) -> None:
        self.truth = Truth()
        self.scripts: dict[str, deque[Script]] = defaultdict(deque)
        self.turn_away: deque[tuple[int, dict[str, str], bytes]] = deque()
        self.talks: list[Talk] = []
        self.open: set[Talk] = set()
        self.handshakes = 0
        self._news = asyncio.Condition()
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        await self.start(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, port: int) -> None:
        """Listen; 0 takes a free port."""
        self._server = await serve(
            self._serve, "127.0.0.1", port, process_request=self._handshake, compression=None, close_timeout=1
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Listen no longer, and cut every connection."""
        assert self._server is not None
        self._server.close(close_connections=False)
        for talk in list(self.open):
            talk.cut()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def received(self) -> list[Message]:
        """Every message that came, over all connections."""
        return [message for talk in self.talks for message in talk.received]

    def ops(self, op: str) -> list[Message]:
        """Every message with that `op`."""
        return [message for message in self.received if message["op"] == op]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something that a client does has made the condition true."""
        async with asyncio.timeout(SECONDS), self._news:
            await self._news.wait_for(condition)

    async def publish(self, item: str, actor: str, kind: str, value: int) -> None:
        """Somebody else reacts, and every viewer of the item gets the new counts."""
        self.truth.react(actor, {"item": item, "kind": kind, "value": value})
        await self.push(**self.truth.body(item))

    async def push(self, **body: Any) -> None:
        """A counts frame, whatever it says, to the viewers of its item."""
        for talk in [talk for talk in self.open if body["item"] in talk.items]:
            await talk.send(ev="counts", **body)

    async def do(self, talk: Talk, message: Message) -> None:
        """Answer a message as the protocol says."""
        ref, items = message["ref"], message.get("items", [])
        match message["op"]:
            case "auth":
                talk.actor = message["token"].removeprefix("token of ")
                await talk.send(ev="auth", ref=ref, actor=talk.actor)
            case "subscribe":
                talk.items.update(items)
                await talk.send(ev="snapshot", ref=ref, items=[self.truth.body(item, talk.actor) for item in items])
            case "unsubscribe":
                talk.items.difference_update(items)
                await talk.send(ev="ok", ref=ref)
            case "react" if talk.actor is None:
                await talk.error(message, "unauthenticated")
            case "react":
                try:
                    self.truth.react(talk.actor or "", message)
                except Refused as refused:
                    await talk.error(message, refused.code)
                else:
                    await talk.send(ev="ack", ref=ref, **self.truth.body(message["item"], talk.actor))

    async def _handshake(self, ws: ServerConnection, request: Request) -> Response | None:
        async with self._news:
            self.handshakes += 1
            self._news.notify_all()
        if not self.turn_away:
            return None
        status, headers, body = self.turn_away.popleft()
        response = ws.respond(status, body.decode())
        for name, value in headers.items():
            response.headers[name] = value
        return response

    async def _serve(self, ws: ServerConnection) -> None:
        talk = Talk(ws)
        self.talks.append(talk)
        self.open.add(talk)
        try:
            async for data in ws:
                assert isinstance(data, str)
                assert len(data.encode()) <= 4096, "a client sent more than the protocol allows"
                message = json.loads(data)
                talk.received.append(message)
                scripts = self.scripts[message["op"]]
                await (scripts.popleft() if scripts else self.do)(talk, message)
                async with self._news:
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        finally:
            self.open.discard(talk)
            async with self._news:
                self._news.notify_all()
