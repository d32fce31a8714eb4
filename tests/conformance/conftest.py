"""The conformance suite speaks only docs/protocol.md, to a real server on a real port.

It runs over every way to serve the hub (lanes.py). To run it against any other hub, whose kinds are the packaged ones:

    CONFORMANCE_URL=http://127.0.0.1:8000 CONFORMANCE_SECRET=… pytest tests/conformance

The secret signs the tests' user tokens. The hub should have TALLYCAST_CONNECTS_PER_SECOND=0,
TALLYCAST_VISITORS_PER_MINUTE=0 and TALLYCAST_ORIGINS=https://good.example,https://*.wild.example. Tests that need
other settings, a second secret or a hub of their own are then skipped, and say so.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from itertools import count
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from hubs import OLD_SECRET, SECRET, Hub, OwnHub, defaults, running
from lanes import LANES, Start
from talk import Talk, talking

ELSEWHERE = os.environ.get("CONFORMANCE_URL")
ORIGINS = "https://good.example,https://*.wild.example"


@pytest.fixture(scope="session", params=["elsewhere"] if ELSEWHERE else list(LANES))
def lane(request: pytest.FixtureRequest) -> str:
    """The name of the way to serve that a test runs over."""
    return str(request.param)


@pytest.fixture(scope="session")
def start(lane: str, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Starts a further hub of the lane with settings of its own: `with start(viewing="token") as hub:`."""
    if lane not in LANES:
        pytest.skip("needs a hub with settings of its own, not the one of CONFORMANCE_URL")
    number = count()

    def start(**settings: object) -> AbstractContextManager[OwnHub]:
        directory = tmp_path_factory.mktemp(f"{lane}-{next(number)}")
        return running(directory, command=LANES[lane].command, prefix=LANES[lane].prefix, **defaults(**settings))

    return start


@pytest.fixture(scope="session")
def hub(lane: str, request: pytest.FixtureRequest) -> Iterator[Hub]:
    """The hub that all tests of a lane share; it allows ORIGINS, and an older secret beside the one that signs."""
    if lane == "elsewhere":
        at = urlsplit(str(ELSEWHERE))
        secret = os.environ.get("CONFORMANCE_SECRET", SECRET)
        yield Hub(at.port or 80, at.path.rstrip("/"), host=at.hostname or "127.0.0.1", secret=secret)
        return
    start: Start = request.getfixturevalue("start")
    with start(origins=ORIGINS, secret=f"{SECRET},{OLD_SECRET}") as hub:
        yield hub


@pytest.fixture
def item() -> str:
    """The id of an item that nobody ever reacted to."""
    return f"t:{uuid4().hex}"


@pytest.fixture
def actor() -> str:
    """The name of a user who never reacted."""
    return f"u:{uuid4().hex}"


@pytest.fixture
async def reader(hub: Hub) -> AsyncIterator[Talk]:
    """A connection without identity."""
    async with talking(hub.live) as talk:
        yield talk


@pytest.fixture
async def user(hub: Hub, actor: str) -> AsyncIterator[Talk]:
    """A connection of `actor`."""
    async with talking(hub.live, hub.token(actor)) as talk:
        yield talk


@pytest.fixture
async def web(hub: Hub) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the hub."""
    async with httpx.AsyncClient(base_url=hub.http, timeout=20, trust_env=False, verify=False) as client:
        yield client
