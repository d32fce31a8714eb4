"""Faults: a hub on the fast lane that is starved, flooded, cut, filled or killed, and what must hold nevertheless."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from hubs import OwnHub, defaults, running
from lanes import Start


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts a hub with settings of its own on the test's directory: `with start(ping_s=1) as hub:`."""

    def start(**settings: object) -> AbstractContextManager[OwnHub]:
        return running(tmp_path, **defaults(**settings))

    return start
