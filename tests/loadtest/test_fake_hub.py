"""The hub with planted faults is a hub: whoever follows the protocol gets along with it, but for what is planted."""

from __future__ import annotations

from itertools import pairwise

import httpx

from hubs import token
from loadtest.fake_hub import Plan, fake_hub
from talk import talking


async def test_without_a_plan_it_does_as_the_protocol_says() -> None:
    with fake_hub() as hub:
        async with (
            httpx.AsyncClient(base_url=hub.url) as http,
            talking(hub.live) as viewer,
            talking(hub.live, token("u:1")) as actor,
        ):
            assert (await http.get("/v1/config")).json()["kinds"]["clap"]["max"] == 50
            assert await viewer.subscribe("a") == [{"item": "a", "v": 0, "counts": {}}]
            ack = await actor.react("a", "like", 1, seq=5)
            assert (ack["counts"], ack["mine"]) == ({"like": 1}, {"like": 1})
            assert (await viewer.counts("a", lambda counts: counts == {"like": 1}))["v"] == ack["v"]
            late = await actor.react("a", "like", 0, seq=4)
            refused = await actor.ask("react", item="a", kind="nonsense", value=1)
            assert (refused["ev"], refused["code"]) == ("error", "unknown_kind")
            assert (late["v"], late["counts"]) == (ack["v"], {"like": 1})
            again = [await actor.react("a", "share", None, id="the-same-id") for _ in range(2)]
            assert [answer["counts"]["share"] for answer in again] == [1, 1]
            assert (await http.get("/v1/counts?item=a&item=b")).json()["items"] == [
                {"item": "a", "v": again[1]["v"], "counts": {"like": 1, "share": 1}},
                {"item": "b", "v": 0, "counts": {}},
            ]
        assert not hub.planted


async def test_what_is_planted_happens_and_is_noted() -> None:
    with fake_hub(Plan(lost_every=2, doubled_every=3, fork_every=2, fall_every=2)) as hub:
        async with talking(hub.live) as viewer, talking(hub.live, token("u:1")) as actor:
            await viewer.subscribe("a")
            for number in range(6):
                await actor.react("a", "share", None, id=f"event-no-{number}")
                ack = await actor.react("a", "download", None, id=f"event-no-{number}")
            await viewer.until(lambda frame: frame.get("v") == ack["v"])
            await viewer.came_meanwhile()
    assert ack["counts"] == {"share": 6 - 3, "download": 6 + 2}
    assert hub.planted == {"lost": 3, "doubled": 2, "fell": 5, "forked": 5}
    frames = [frame for frame in viewer.frames if frame["ev"] == "counts"]
    assert sum(after["v"] < before["v"] for before, after in pairwise(frames)) == 5
    assert sum("love" in frame["counts"] for frame in frames) == 5
