from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tallycast.kinds import Kinds, parse
from tallycast.store import open_store
from tallycast.store.base import Store

Opening = Callable[[], Store]

KINDS_TOML = """
[like]
rule = "toggle"
group = "opinion"
[dislike]
rule = "toggle"
group = "opinion"
[up]
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


def _sqlite(place: Path, kinds: Kinds) -> Store:
    return open_store(f"sqlite:///{place / 'tally.db'}", kinds, durability="full")


# Every store that the contract is for. Each opens the same data anew whenever it is called with the same place.
STORES: dict[str, Callable[[Path, Kinds], Store]] = {"sqlite": _sqlite}


@pytest.fixture(params=sorted(STORES))
def opening(request: pytest.FixtureRequest, tmp_path: Path, kinds: Kinds) -> Opening:
    """Opens the test's own store; again after it was closed, with what was in it."""
    factory = STORES[request.param]
    return lambda: factory(tmp_path, kinds)


@pytest.fixture
async def store(opening: Opening) -> AsyncIterator[Store]:
    opened = opening()
    yield opened
    await opened.close()
