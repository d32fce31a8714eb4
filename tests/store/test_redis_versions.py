"""The Redis store on later servers, also behind sentinels and as a cluster. The contract runs on them as well."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from main_path import take_main_path
from redis_servers import cluster, sentinels, single


@pytest.mark.parametrize(
    ("servers", "program"),
    [(single, "redis-8"), (single, "valkey-8"), (sentinels, "valkey-8"), (cluster, "redis-8"), (cluster, "valkey-8")],
)
async def test_the_main_path_works_on_later_servers(servers: Any, program: str, tmp_path: Path) -> None:
    running: AbstractContextManager[Any] = servers(program=program)
    with running as own:
        await take_main_path(own.url, tmp_path)


def test_the_programs_are_what_they_are_called() -> None:
    for program, line in (("redis-8", b"redis_version:8."), ("valkey-8", b"valkey_version:8.")):
        with single(program=program) as server:
            assert line in server.ask("info", "server")
