"""Unique, rating and external kinds from Python and from the command line, against a hub of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubs import OwnHub, defaults, running
from tallycast_client import Client, Refused

KINDS = '[view]\nrule = "unique"\n[stars]\nrule = "rating"\n[comments]\nrule = "external"\n'


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    directory = tmp_path_factory.mktemp("hub")
    kinds = directory / "kinds.toml"
    kinds.write_text(KINDS)
    with running(directory, **defaults(kinds=kinds)) as hub:
        yield hub


def tallycast(hub: OwnHub, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TALLYCAST_")}
    environ = {**clean, "TALLYCAST_URL": hub.http, "XDG_STATE_HOME": str(home)}
    command = (sys.executable, "-m", "tallycast", "react", *words)
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


async def test_a_program_rates_and_takes_it_back(hub: OwnHub) -> None:
    async with Client(hub.http, token=hub.token("u:1")) as client:
        stands = await client.react("post:1", "stars", 4)
        assert (stands.counts, stands.mine) == ({"stars-4": 1}, {"stars-4": 1})
        assert (await client.react("post:1", "stars", 2)).counts == {"stars-2": 1}
        assert (await client.react("post:1", "stars", 0)).counts == {}
        with pytest.raises(Refused) as caught:
            await client.react("post:1", "comments", 1)
        assert caught.value.code == "forbidden"


async def test_a_program_without_identity_is_counted_once(hub: OwnHub) -> None:
    for _ in range(2):
        async with Client(hub.http) as client:
            assert (await client.react("post:2", "view")).counts == {"view": 1}


def test_the_command_line_rates(hub: OwnHub, tmp_path: Path) -> None:
    done = tallycast(hub, tmp_path, "post:3", "stars", "4")
    assert (done.returncode, done.stdout) == (0, "post:3 stars-4=1\n"), done.stderr
    done = tallycast(hub, tmp_path, "post:3", "stars")
    assert done.returncode == 2 and "say how many" in done.stderr


def test_the_command_line_views_without_becoming_a_visitor(hub: OwnHub, tmp_path: Path) -> None:
    for _ in range(2):
        done = tallycast(hub, tmp_path, "post:4", "view")
        assert (done.returncode, done.stdout) == (0, "post:4 view=1\n"), done.stderr
    assert list(tmp_path.iterdir()) == []
