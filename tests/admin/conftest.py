"""Real hubs for administrators: one on a file, and two on one Redis, each with a key that the command line made."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from admin.scene import KINDS
from hubs import OwnHub, defaults, running
from redis_servers import single


class Run(NamedTuple):
    """Hubs on one store, and clients of theirs with a key that may everything."""

    hubs: tuple[OwnHub, ...]
    webs: tuple[httpx.Client, ...]

    def tallycast(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command with the first hub's settings."""
        return tallycast(self.hubs[0], *arguments)


def tallycast(hub: OwnHub, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {f"TALLYCAST_{name.upper()}": str(value) for name, value in hub.settings.items()}
    command = (sys.executable, "-m", "tallycast", *arguments)
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def made(hub: OwnHub, *arguments: str) -> dict[str, Any]:
    """A key that `tallycast key make` has just made beside the hub."""
    done = tallycast(hub, "key", "make", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(hubs: tuple[OwnHub, ...]) -> Iterator[Run]:
    rights = [word for right in ("read", "write", "moderate", "keys") for word in ("--right", right)]
    headers = {"Authorization": f"Bearer {made(hubs[0], 'Tests', *rights)['token']}"}
    webs = tuple(httpx.Client(base_url=hub.http, headers=headers, trust_env=False) for hub in hubs)
    try:
        yield Run(hubs, webs)
    finally:
        for web in webs:
            web.close()


@pytest.fixture(scope="module")
def on_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A hub on a file."""
    directory = tmp_path_factory.mktemp("file")
    with running(directory, **defaults(kinds=_kinds(directory), reactions_per_second=0)) as hub:
        yield from run((hub,))


@pytest.fixture(scope="module")
def on_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Two hubs on one Redis."""
    directory = tmp_path_factory.mktemp("redis")
    with single() as server:
        settings = defaults(kinds=_kinds(directory), store=server.url, reactions_per_second=0)
        with running(directory, **settings) as first, running(directory, **settings) as second:
            yield from run((first, second))


def _kinds(directory: Path) -> Path:
    path = directory / "kinds.toml"
    path.write_text(KINDS)
    return path
