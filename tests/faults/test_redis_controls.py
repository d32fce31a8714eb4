"""The oracle bites: a hub that counts by a bare increment is found out. See also the control in test_redis_failover.py,
where nothing waits for the replica."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from fault_proxy import fault_proxy
from hubs import eventually
from redis_scene import Scene, scene
from redis_servers import single

LOST_ANSWERS = 3


def bare(port: int) -> Sequence[str]:
    """The command of a hub with a bare counter."""
    hub = Path(__file__).with_name("bare_redis_hub.py")
    return (sys.executable, str(hub), "serve", "--host", "127.0.0.1", "--port", str(port))


async def _miscounted_shares(on: Scene) -> list[str]:
    return [found for found in await on.miscounts() if "shares" in found]


async def test_control_the_oracle_sees_that_a_bare_increment_counts_twice_what_got_no_answer(tmp_path: Path) -> None:
    with single() as server:
        async with fault_proxy(server.port) as proxy:
            async with scene(tmp_path, f"redis://127.0.0.1:{proxy.port}", command=bare) as on:
                assert await _miscounted_shares(on) == [], "without a fault it counts well"
                on.go_on()
                for lost in range(LOST_ANSWERS):
                    proxy.lose_answer_to(b"HINCRBY")
                    await eventually(lambda lost=lost: proxy.lost_answers > lost)  # type: ignore[misc]
                found = await _miscounted_shares(on)
                assert found
                assert all(one.startswith("doubled: ") for one in found)
