"""Sending commands to the Redis that is responsible for them, and trying again for about a second."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple, Protocol

from hiredis import pack_command
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import (
    AskError,
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisClusterException,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

RETRY_S = 1.0  # how long a blip may take
LEAST_PAUSE_S, MOST_PAUSE_S = 0.01, 0.2
FIND_S = 1.5  # until a node or sentinel has told who has what: a silent one takes a second, the next one is random
MOST_REDIRECTS = 5  # at once: then nodes that contradict each other are given time
RESET = "the connection was reset a moment ago"  # of which uvloop tells by a RuntimeError
COMMANDS_A_SEND = 1_000  # so that neither side holds many megabytes of them


class NotConfirmedError(RedisError):
    """It was done, but is not yet where the setting `ack` wants it to be."""


# What may be over in a moment. RedisClusterException: no node of the cluster answered.
PASSING = (
    RedisConnectionError,
    RedisTimeoutError,
    OSError,
    ClusterDownError,
    MasterDownError,
    NotConfirmedError,
    ReadOnlyError,  # a server that was the master until now
    RedisClusterException,
    TryAgainError,
)
REFUSING = (AuthenticationError, AuthorizationError)  # redis-py counts them among the errors of a connection


class Command(NamedTuple):
    """A command on the wire, and a key that tells its slot."""

    packed: bytes
    key: str


def command(*words: str | int | bytes) -> bytes:
    """A command as it goes over the wire."""
    return pack_command(words)  # type: ignore[arg-type,no-any-return]


ASKING = command("ASKING")


class Confirmation(NamedTuple):
    """A command that follows others on their connection and tells how many have what these wrote: WAIT or WAITAOF.

    One must; the command is given `within_s` to wait for it.
    """

    packed: bytes
    within_s: float

    def missed(self, answer: Any) -> Exception | None:
        """What is wrong with its answer: a number, or a list that begins with the one that counts."""
        if isinstance(answer, Exception):
            return answer
        number = answer[0] if isinstance(answer, list) else answer
        return None if number >= 1 else NotConfirmedError("not confirmed in time")


class Server(Protocol):
    """Lends connections to one Redis."""

    def connection(self) -> AbstractAsyncContextManager[AbstractConnection]:
        """A connection for this user alone, given back at the end."""
        ...


class Servers(Protocol):
    """Knows who is responsible for what."""

    async def find(self) -> None:
        """Learn who has what, unless that is known. Raises what PASSING lists."""
        ...

    def server(self, key: str) -> Server:
        """The one that has the key's slot. Raises RedisClusterException where nobody has it."""
        ...

    async def heed(self, error: Exception) -> Server | None:
        """Learn from an answer that refused a command; the server to ask instead this once, if it names one."""
        ...

    def each(self, keys: Sequence[str]) -> list[str]:
        """Some of the keys: one for each server that has slots, as far as they do."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class OneServer:
    """A single Redis, or the master that sentinels name."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AbstractConnection]:
        pool = self._client.connection_pool
        try:
            connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            raise RedisConnectionError(RESET) from error
        try:
            yield connection
        finally:
            await pool.release(connection)

    async def find(self) -> None:
        pass

    def server(self, key: str) -> Server:
        return self

    async def heed(self, error: Exception) -> Server | None:
        return None

    def each(self, keys: Sequence[str]) -> list[str]:
        return list(keys[:1])

    async def close(self) -> None:
        await self._client.aclose()
        await self._client.connection_pool.disconnect()


class Node:
    """A node of a cluster."""

    def __init__(self, node: ClusterNode) -> None:
        self._node = node

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and other._node is self._node

    def __hash__(self) -> int:
        return hash(self._node)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AbstractConnection]:
        connection = self._node.acquire_connection()
        try:
            yield connection
        finally:
            self._node.release(connection)


class Shards:
    """The masters of a cluster."""

    def __init__(self, client: RedisCluster) -> None:
        self._client = client
        self._known = False
        self._newcomers: dict[tuple[str, int], ClusterNode] = {}  # that are given slots and have none yet

    async def find(self) -> None:
        if not self._known:
            try:
                async with asyncio.timeout(FIND_S):
                    await self._client.nodes_manager.initialize()
            except TimeoutError:
                raise RedisClusterException(f"no node told who has what within {FIND_S:g} s") from None
            self._known = True

    def server(self, key: str) -> Server:
        return Node(self._client.nodes_manager.get_node_from_slot(self._client.keyslot(key)))

    async def heed(self, error: Exception) -> Server | None:
        nodes = self._client.nodes_manager
        if isinstance(error, MovedError):  # a subclass of AskError
            await nodes.move_slot(error)
        elif isinstance(error, AskError):
            return Node(nodes.get_node(error.host, error.port) or self._newcomer(error.host, error.port))
        elif isinstance(error, PASSING) and not isinstance(error, (NotConfirmedError, TryAgainError)):
            self._known = False
        return None

    def each(self, keys: Sequence[str]) -> list[str]:
        if not self._known:
            return list(keys[:1])
        found: dict[Server | None, str] = {}
        for key in keys:
            try:
                found[self.server(key)] = key
            except RedisClusterException:  # nobody has it: whoever asks for this key will be told
                found[None] = key
        return list(found.values())

    async def close(self) -> None:
        for node in self._newcomers.values():
            await node.disconnect()
        # The client's own aclose() does nothing where it was not initialized as a whole, and leaves connections open.
        await self._client.nodes_manager.aclose()
        await self._client.nodes_manager.aclose("startup_nodes")

    def _newcomer(self, host: str, port: int) -> ClusterNode:
        node = self._newcomers.get((host, port))
        if node is None:
            kwargs = self._client.nodes_manager.connection_kwargs
            node = self._newcomers[host, port] = ClusterNode(host, port, **kwargs)
        return node


async def send(
    servers: Servers,
    commands: Sequence[Command],
    *,
    scripts: Sequence[bytes] = (),
    confirmation: Confirmation | None = None,
    answer_s: float,
    patient: bool = True,
) -> tuple[list[Any], bool]:
    """The answers to `commands` in their order, and whether some were sent again.

    Each may be carried out more than once, and some before others. `scripts` are loaded where one that is called is
    not known. With `confirmation` a command counts as done when that holds on its connection. With `patient`, what may
    pass by itself is tried again for RETRY_S. Raises RedisError, RedisClusterException or OSError when some command has
    no good answer; others may have been carried out then.
    """
    answers: list[Any] = [None] * len(commands)
    waiting = list(range(len(commands)))
    elsewhere: dict[int, Server] = {}
    give_up_s = time.monotonic() + RETRY_S
    pause_s = LEAST_PAUSE_S
    redirects = 0
    again = False
    while True:
        groups: dict[tuple[Server, bool], list[int]] = {}
        try:
            await servers.find()
            for at in waiting:
                place = (elsewhere[at], True) if at in elsewhere else (servers.server(commands[at].key), False)
                groups.setdefault(place, []).append(at)
        except PASSING as error:
            groups.clear()
            answers = [error if at in waiting else answer for at, answer in enumerate(answers)]
        sending = [
            _exchange(server, [commands[at].packed for at in group], scripts, confirmation, answer_s, asking=asking)
            for (server, asking), group in groups.items()
        ]
        # One server's coroutine is awaited as it is: a task a batch costs more than the rest of this.
        got = [await sending[0]] if len(sending) == 1 else await asyncio.gather(*sending)
        for group, its in zip(groups.values(), got, strict=True):
            for at, answer in zip(group, its, strict=True):
                answers[at] = answer
        waiting = [at for at in waiting if isinstance(answers[at], Exception)]
        if not waiting:
            return answers, again
        again = True
        elsewhere = {}
        for at in waiting:
            instead = await servers.heed(answers[at])
            if instead is not None:
                elsewhere[at] = instead
        problems = [answers[at] for at in waiting]
        for problem in problems:
            if isinstance(problem, REFUSING) or not isinstance(problem, (*PASSING, AskError, NoScriptError)):
                raise problem
        redirects += 1
        passing = [problem for problem in problems if redirects > MOST_REDIRECTS or not isinstance(problem, AskError)]
        if not passing:
            continue
        if not patient or time.monotonic() + pause_s > give_up_s:
            raise passing[0]
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.5))
        pause_s = min(pause_s * 2, MOST_PAUSE_S)


async def _exchange(
    server: Server,
    commands: Sequence[bytes],
    scripts: Sequence[bytes],
    confirmation: Confirmation | None,
    answer_s: float,
    *,
    asking: bool,
) -> list[Any]:
    """An answer or an exception for each command, all sent on one connection."""
    answers: list[Any] = []
    try:
        async with server.connection() as connection:
            try:
                for at in range(0, len(commands), COMMANDS_A_SEND):
                    some = commands[at : at + COMMANDS_A_SEND]
                    its = await _ask(connection, some, answer_s, asking=asking)
                    if any(isinstance(answer, NoScriptError) for answer in its):
                        await _ask(connection, scripts, answer_s)
                        its = await _ask(connection, some, answer_s, asking=asking)
                    answers += its
                if any(isinstance(answer, (ReadOnlyError, *REFUSING)) for answer in answers):
                    await connection.disconnect()
                elif confirmation is not None:
                    (reached,) = await _ask(connection, [confirmation.packed], answer_s + confirmation.within_s)
                    missed = confirmation.missed(reached)
                    if missed is not None:
                        answers = [answer if isinstance(answer, Exception) else missed for answer in answers]
            except BaseException:
                await connection.disconnect(nowait=True)  # its next answer would be another's
                raise
    except (RedisError, OSError) as error:
        # Of the commands that were answered none is confirmed.
        done = 0 if confirmation is not None else len(answers)
        answers[done:] = [error] * (len(commands) - done)
    return answers


async def _ask(
    connection: AbstractConnection, commands: Sequence[bytes], answer_s: float, *, asking: bool = False
) -> list[Any]:
    """An answer, or the exception that the server answered, for each command."""
    answers: list[Any] = []
    if asking:
        commands = [one for command in commands for one in (ASKING, command)]
    try:
        await connection.send_packed_command(b"".join(commands))
    except RuntimeError as error:
        raise RedisConnectionError(RESET) from error
    try:
        async with asyncio.timeout(answer_s):  # one for all: redis-py's own, one an answer, cost more than the answer
            for _ in commands:
                try:
                    answers.append(await connection.read_response(timeout=math.inf))
                except RedisConnectionError as error:
                    if not isinstance(error, REFUSING) and not connection.is_connected:
                        raise
                    answers.append(error)
                except RedisError as error:
                    answers.append(error)
    except TimeoutError:
        raise RedisTimeoutError("no answer in time") from None
    return answers[1::2] if asking else answers
