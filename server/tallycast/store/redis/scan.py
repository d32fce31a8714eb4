"""Walking through all items of a Redis store in steps so short that hubs are not held up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

from redis.asyncio import RedisCluster
from redis.exceptions import RedisClusterException, RedisError

from tallycast.errors import ConfigError
from tallycast.store.redis.client import Client, connect
from tallycast.store.redis.keys import HEADER, Keys
from tallycast.store.redis.start import look
from tallycast.store.redis.trouble import explain
from tallycast.store.redis.url import RedisUrl, is_redis, parse_redis_url

ANSWER_S = 10.0  # nobody waits for these answers but the operator
KEYS_A_STEP = 500
FIELDS_A_STEP = 1_000  # of a hash or set: some 0.2 ms of Redis's time

Page = dict[bytes, bytes]  # of an item's hash: actors with their records, the header among them


class Opened(NamedTuple):
    """A Redis store that is looked at from outside of a hub."""

    client: Client
    keys: Keys
    name: str  # its URL without user and password, for errors
    database: int


class Hash(NamedTuple):
    """An item's hash. `whole` is None where it has more than FIELDS_A_STEP fields, and where `wrong` says why not."""

    item: str
    whole: Page | None
    wrong: str = ""


def place_of(url: str) -> RedisUrl:
    """The parts of a URL that is no embedded store's. Raises ConfigError."""
    if not is_redis(url):
        raise ConfigError("store: expected a URL such as sqlite:///tallycast.db or redis://host:6379/0")
    return parse_redis_url(url)


@asynccontextmanager
async def opened(url: str, prefix: str, *, purpose: str) -> AsyncIterator[Opened]:
    """The store at `url`, whose troubles are raised as ConfigError. `purpose` is shown by CLIENT LIST."""
    place = place_of(url)
    keys = Keys(prefix, database=place.database)
    with _one_line(place):
        client = connect(place, name=f"tallycast-{purpose}", answer_s=ANSWER_S)
        try:
            if isinstance(client, RedisCluster):
                await client.initialize()
            await client.execute_command("PING")
            look(place, ack="memory")
            yield Opened(client, keys, str(place), place.database)
        finally:
            await client.aclose()


@contextmanager
def _one_line(place: RedisUrl) -> Iterator[None]:
    try:
        yield
    except (RedisError, RedisClusterException, TimeoutError) as error:
        message, _ = explain(error)
        raise ConfigError(f"store {place}: {message} ({str(error) or 'no answer'})") from None


def heed_interrupt() -> None:
    """Raise CancelledError once more where Ctrl-C came while redis-py was at work, which swallows some."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def pattern(text: str) -> str:
    """What matches names that begin with `text`, in Redis's words."""
    return re.sub(r"([*?\[\]\\])", r"\\\1", text) + "*"


async def items(store: Opened) -> AsyncIterator[list[str]]:
    """The names of all items, each once, some at a time. They are remembered: about 100 bytes each."""
    begin = store.keys.item("")[:-1]
    seen: set[str] = set()
    step: list[str] = []
    async for key in store.client.scan_iter(match=pattern(begin), count=KEYS_A_STEP):
        if not key.endswith(b"}"):
            continue
        item = store.keys.item_of(key)
        if item not in seen:
            seen.add(item)
            step.append(item)
        if len(step) == KEYS_A_STEP:
            heed_interrupt()
            yield step
            step = []
    if step:
        yield step


async def hashes(store: Opened, names: Sequence[str]) -> AsyncIterator[Hash]:
    """The hashes of those items, each as of one moment, large ones left to be read by pages()."""
    sizes = await _pipelined(store, [("HLEN", store.keys.item(name)) for name in names])
    small: dict[str, int] = {}
    for name, size in zip(names, sizes, strict=True):
        if isinstance(size, Exception):
            yield Hash(name, None, f"its key {store.keys.item(name)} holds something else")
        elif size > FIELDS_A_STEP:
            yield Hash(name, None)
        else:
            small[name] = size
    for step in _steps(small):
        found = await _pipelined(store, [("HGETALL", store.keys.item(name)) for name in step])
        for name, fields in zip(step, found, strict=True):
            if isinstance(fields, Exception):
                raise fields
            if fields:  # else it is gone by now
                yield Hash(name, fields)


def _steps(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """The names, in groups of at most FIELDS_A_STEP together."""
    step: list[str] = []
    room = FIELDS_A_STEP
    for name, size in sizes.items():
        if size > room:
            yield step
            step, room = [], FIELDS_A_STEP
        step.append(name)
        room -= size
    yield step


async def pages(store: Opened, item: str) -> AsyncIterator[Page]:
    """A large item's records, each actor once; the header is left out. What changes meanwhile is old or new."""
    key = store.keys.item(item)
    seen: set[bytes] = {HEADER}
    cursor = 0
    while True:
        answer: tuple[int, Page] = await store.client.execute_command("HSCAN", key, cursor, "COUNT", FIELDS_A_STEP)
        cursor, found = answer
        page = {actor: record for actor, record in found.items() if actor not in seen}
        seen.update(page)
        heed_interrupt()
        yield page
        if not cursor:
            return


async def header(store: Opened, item: str) -> bytes | None:
    """An item's header as it is now."""
    found: bytes | None = await store.client.execute_command("HGET", store.keys.item(item), HEADER)
    return found


async def events(store: Opened, names: Sequence[str]) -> list[tuple[str, str, Any]]:
    """The sets of event ids that the items have: item, key and size, an error where the key holds something else."""
    sets = [(name, key) for name in names for key in store.keys.events(name)]
    sizes = await _pipelined(store, [("SCARD", key) for _, key in sets])
    return [(name, key, size) for (name, key), size in zip(sets, sizes, strict=True) if size]


async def estimated(store: Opened, item: str, kinds: Sequence[str]) -> list[str]:
    """Those of the kinds of which the item has a HyperLogLog."""
    there = await _pipelined(store, [("EXISTS", store.keys.people(item, kind)) for kind in kinds])
    return [kind for kind, is_there in zip(kinds, there, strict=True) if is_there]


async def people(store: Opened, item: str, kinds: Sequence[str]) -> dict[str, bytes]:
    """The HyperLogLogs that the item has of those kinds."""
    logs = await _pipelined(store, [("GET", store.keys.people(item, kind)) for kind in kinds])
    return {kind: log for kind, log in zip(kinds, logs, strict=True) if isinstance(log, bytes)}


async def expiries(store: Opened, sets: Sequence[str]) -> list[int]:
    """When each of the keys ends, in s since 1970; -1 for never."""
    return await _pipelined(store, [("EXPIRETIME", key) for key in sets])


async def members(store: Opened, key: str) -> AsyncIterator[list[bytes]]:
    """What a set holds, in parts, in which some members may come twice."""
    cursor = 0
    while True:
        answer: tuple[int, list[bytes]] = await store.client.execute_command(
            "SSCAN", key, cursor, "COUNT", FIELDS_A_STEP
        )
        cursor, found = answer
        yield found
        if not cursor:
            return


async def common(store: Opened, one: str, other: str) -> int:
    """How many members of a set are also in another one of the same slot; the first had better be the smaller."""
    seen: set[bytes] = set()
    async for some in members(store, one):
        there = await store.client.execute_command("SMISMEMBER", other, *some) if some else ()
        seen.update(member for member, is_there in zip(some, there, strict=True) if is_there)
    return len(seen)


async def _pipelined(store: Opened, commands: Sequence[tuple[str, str]]) -> list[Any]:
    """The answers, among them errors that concern one key alone."""
    if not commands:
        return []
    pipeline = store.client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    answers = await pipeline.execute(raise_on_error=False)
    for answer in answers:
        if isinstance(answer, Exception) and not str(answer).startswith("WRONGTYPE"):
            raise answer
    return answers
