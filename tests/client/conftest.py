"""What the client's tests share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any

import pytest

from scripted import ScriptedHub
from tallycast_client import Client


@pytest.fixture
async def hub() -> AsyncIterator[ScriptedHub]:
    """A scripted hub on a port of its own."""
    async with ScriptedHub() as hub:
        yield hub


@pytest.fixture
def client(hub: ScriptedHub) -> Callable[..., Client]:
    """Makes clients of the scripted hub that do not wait long for anything."""

    def make(**options: Any) -> Client:
        quick = {"base_s": 0.01, "cap_s": 0.05, "timeout_s": 5.0, "open_timeout_s": 5.0, "rng": Random(1)}
        return Client(hub.url, **{**quick, **options})

    return make
