from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from filling import OPINION
from places import Place
from redis_servers import RedisServer, redis_cluster, redis_sentinels, redis_single, single
from tallycast.kinds import Kinds, parse
from tallycast.store import open_store
from tallycast.store.base import OpenStore

__all__ = ["redis_cluster", "redis_sentinels", "redis_single"]  # fixtures of these tests

Opening = Callable[[], OpenStore]

KINDS_TOML = f"""{OPINION}[up]
rule = "toggle"
group = "vote"
[down]
rule = "toggle"
group = "vote"
[love]
rule = "toggle"
[clap]
rule = "amount"
max = 50
[share]
rule = "event"
[download]
rule = "event"
"""


@pytest.fixture(scope="session")
def kinds() -> Kinds:
    return parse(KINDS_TOML, "kinds of the store's tests")


# Every store that the contract is for, and the fixture with its servers where it needs some.
STORES: dict[str, str | None] = {
    "sqlite": None,
    "redis": "redis_single",
    "redis-8": "redis_8_single",
    "valkey-8": "valkey_8_single",
    "redis+sentinel": "redis_sentinels",
    "redis+cluster": "redis_cluster",
}


@pytest.fixture(scope="session")
def redis_8_single() -> Iterator[RedisServer]:
    """As redis_single, of a later Redis."""
    with single(program="redis-8") as server:
        yield server


@pytest.fixture(scope="session")
def valkey_8_single() -> Iterator[RedisServer]:
    """As redis_single, of Valkey."""
    with single(program="valkey-8") as server:
        yield server


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that names no places of its own is for the PLACES of its module, else for all stores."""
    named = any(mark.args[0] == "place" for mark in metafunc.definition.iter_markers("parametrize"))
    if "place" in metafunc.fixturenames and not named:
        metafunc.parametrize("place", getattr(metafunc.module, "PLACES", list(STORES)), indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    servers = STORES[request.param]
    url = f"sqlite:///{tmp_path / 'tally.db'}" if servers is None else request.getfixturevalue(servers).url
    return Place(url, f"{tmp_path.name}:")


@pytest.fixture
def opening(place: Place, kinds: Kinds) -> Opening:
    """Opens the test's own store; again after it was closed, with what was in it."""
    return lambda: open_store(place.url, kinds, prefix=place.prefix)


@pytest.fixture
async def store(opening: Opening) -> AsyncIterator[OpenStore]:
    opened = opening()
    yield opened
    await opened.close()
