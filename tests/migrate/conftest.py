from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from moves import PREFIXES, take_small_steps
from redis_servers import RedisServer, single


@pytest.fixture(scope="package")
def server() -> Iterator[RedisServer]:
    """A server for all of these tests. What they write stays: use `prefix`."""
    with single() as one:
        yield one


@pytest.fixture(autouse=True)
def a_clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TALLYCAST_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def prefix() -> str:
    """One that no other test has."""
    return next(PREFIXES)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little data takes many steps."""
    take_small_steps(monkeypatch)
