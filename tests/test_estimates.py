"""Where a store estimates how many are different, a hub says so, and by how much, wherever it gives a snapshot."""

from __future__ import annotations

from pathlib import Path

import httpx

from hubs import defaults, running
from redis_servers import RedisServer
from redis_servers import redis_single as redis_single  # the fixture
from talk import talking

KINDS = '[view]\nrule = "unique"\n[like]\nrule = "toggle"\n'
ERROR = {"view": 0.0081}


async def test_snapshots_and_counts_say_what_is_an_estimate(tmp_path: Path, redis_single: RedisServer) -> None:
    kinds = tmp_path / "kinds.toml"
    kinds.write_text(KINDS, "utf-8")
    item = "estimates:1"
    with running(tmp_path, **defaults(store=redis_single.url, kinds=kinds)) as hub:
        async with talking(hub.live) as ann, talking(hub.live, token=hub.token("u:1")) as bob:
            for viewer in (ann, bob, ann):  # from the store, with an actor, from memory
                assert (await viewer.ok("subscribe", items=[item]))["approximate"] == ERROR
            assert (await ann.ok("react", item=item, kind="view", value=1))["counts"] == {"view": 1}
        async with httpx.AsyncClient(base_url=hub.http, trust_env=False) as web:
            assert (await web.get("/v1/counts", params={"item": item})).json()["approximate"] == ERROR


async def test_an_exact_store_says_nothing_of_the_kind(tmp_path: Path) -> None:
    kinds = tmp_path / "kinds.toml"
    kinds.write_text(KINDS, "utf-8")
    with running(tmp_path, **defaults(kinds=kinds)) as hub:
        async with talking(hub.live) as ann:
            assert "approximate" not in await ann.ok("subscribe", items=["post:1"])
