"""A hub that all tests here share, and whoever makes polls there."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from hubs import OwnHub, defaults, running
from polling import Polling


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    """A hub on which each test makes polls of its own."""
    with running(tmp_path_factory.mktemp("hub"), **defaults(reactions_per_second=0)) as hub:
        yield hub


@pytest.fixture
async def web(hub: OwnHub) -> AsyncIterator[httpx.AsyncClient]:
    """An HTTP client of the hub."""
    async with httpx.AsyncClient(base_url=hub.http, timeout=20, trust_env=False) as client:
        yield client


@pytest.fixture
async def at(hub: OwnHub, web: httpx.AsyncClient) -> Polling:
    """An administrator at the hub."""
    return await Polling.at(hub, web)
