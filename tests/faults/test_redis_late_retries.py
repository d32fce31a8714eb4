"""A reaction that comes again, late and through another hub, after a newer one of the same actor: `seq` decides."""

from __future__ import annotations

import time
from asyncio import create_task
from pathlib import Path

from fault_proxy import fault_proxy
from hubs import eventually
from redis_scene import ITEMS, scene
from redis_servers import single
from talk import talking

ACTOR = "u:fickle"
TIMES = 4


async def test_a_late_retry_after_a_lost_answer_undoes_no_newer_wish(tmp_path: Path) -> None:
    """What a hub sent twice itself comes late too, every other time."""
    with single() as server:
        async with fault_proxy(server.port) as proxy:
            urls = server.url, f"redis://127.0.0.1:{proxy.port}"
            async with scene(tmp_path, *urls) as on:
                here, there = on.hubs
                async with (
                    talking(there.live, there.token(ACTOR)) as first,
                    talking(here.live, here.token(ACTOR)) as other,
                ):
                    for turn in range(TIMES):
                        item, kind, seq = ITEMS[turn % len(ITEMS)], "like", time.time_ns() // 1000
                        wish = {"item": item, "kind": kind, "value": 1, "seq": seq}
                        proxy.refusing = True  # so that the hub cannot send it again at once
                        proxy.lose_answer_to(ACTOR.encode())
                        asking = create_task(first.ask("react", **wish))
                        await eventually(lambda turn=turn: proxy.lost_answers > turn)  # type: ignore[misc]
                        newer = await other.react(item, kind, 0, seq=seq + 1)
                        assert newer["mine"] == {}
                        if turn % 2:
                            answer = await asking
                            assert answer["code"] == "unavailable"
                            proxy.refusing = False
                        else:
                            proxy.refusing = False
                            answer = await asking
                            assert answer["mine"] == {}, "the hub's own retry told what stands"
                        while (answer := await first.ask("react", **wish))["ev"] != "ack":
                            assert answer["code"] == "unavailable"
                        assert answer["mine"] == {}
                        assert answer["v"] >= newer["v"]
                    counts = await on.settled()
                    assert all("like" not in its for its in counts.values())
                    assert await on.verdict() == []


async def test_a_retry_that_was_acknowledged_before_undoes_no_newer_wish(tmp_path: Path) -> None:
    with single() as server:
        async with scene(tmp_path, server.url, server.url) as on:
            one, other = on.hubs
            async with talking(one.live, one.token(ACTOR)) as here, talking(other.live, other.token(ACTOR)) as there:
                for turn in range(TIMES):
                    item, seq = ITEMS[turn % len(ITEMS)], time.time_ns() // 1000
                    await here.react(item, "like", 1, seq=seq)
                    newer = await there.react(item, "dislike", 1, seq=seq + 1)
                    assert newer["mine"] == {"dislike": 1}
                    assert (await here.react(item, "like", 1, seq=seq))["mine"] == {"dislike": 1}
                counts = await on.settled()
                assert [its.get("like", 0) for its in counts.values()] == [0, 0, 0]
                assert [its.get("dislike", 0) for its in counts.values()] == [1, 1, 1]
                assert await on.verdict() == []
