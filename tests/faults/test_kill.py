"""kill -9 in mid-load: what was acknowledged is there, nothing is counted that was not said, and the sums are right."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from websockets.exceptions import WebSocketException

from hubs import OwnHub, eventually
from lanes import Start
from talk import Frame, talking

ITEMS = ("kill:1", "kill:2", "kill:3")


class Reactor:
    """An actor who reacts as fast as it is answered, and remembers what it said and what was acknowledged.

    Claps only grow, so that what stands must lie between the last acknowledged and the last said. Shares are events.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.claps_said = dict.fromkeys(ITEMS, 0)
        self.claps_acked = dict.fromkeys(ITEMS, 0)
        self.shares_said: dict[str, set[str]] = {item: set() for item in ITEMS}
        self.shares_acked: dict[str, set[str]] = {item: set() for item in ITEMS}
        self.versions = dict.fromkeys(ITEMS, 0)
        self.acks = 0

    async def run(self, hub: OwnHub) -> None:
        """React on one connection, eight at a time, until it is cut."""
        try:
            async with talking(hub.live, hub.token(self.name)) as talk:
                sent: dict[int, tuple[str, str, Any]] = {}
                ref = 0
                while True:
                    for _ in range(8):
                        ref += 1
                        item = ITEMS[ref % len(ITEMS)]
                        if ref % 2 and self.claps_said[item] < 10_000:
                            self.claps_said[item] += 1
                            sent[ref] = (item, "clap", self.claps_said[item])
                            message = {"item": item, "kind": "clap", "value": self.claps_said[item]}
                        else:
                            id = f"{self.name}-{os.urandom(8).hex()}"
                            self.shares_said[item].add(id)
                            sent[ref] = (item, "share", id)
                            message = {"item": item, "kind": "share", "id": id}
                        await talk.send({"op": "react", "ref": ref, **message})
                    for _ in range(8):
                        self._acked(await talk.until(lambda frame: frame["ev"] == "ack"), sent)
        except (WebSocketException, OSError):
            pass

    def _acked(self, ack: Frame, sent: dict[int, tuple[str, str, Any]]) -> None:
        item, kind, what = sent.pop(ack["ref"])
        if kind == "clap":
            self.claps_acked[item] = max(self.claps_acked[item], what)
        else:
            self.shares_acked[item].add(what)
        self.versions[item] = max(self.versions[item], ack["v"])
        self.acks += 1


KINDS = '[clap]\nrule = "amount"\nmax = 10000\n[share]\nrule = "event"\n'


async def test_every_acknowledged_reaction_outlives_kill_9_and_nothing_is_doubled(start: Start, tmp_path: Path) -> None:
    kinds = tmp_path / "kinds.toml"
    kinds.write_text(KINDS, "utf-8")
    settings = {"kinds": kinds, "reactions_per_second": 0}
    reactors = [Reactor(f"u:{n}") for n in range(6)]
    for acks in (150, 400, 700):
        with start(**settings) as hub:
            running = [asyncio.create_task(reactor.run(hub)) for reactor in reactors]
            await eventually(lambda acks=acks: sum(reactor.acks for reactor in reactors) >= acks)  # type: ignore[misc]
            hub.kill()
            await asyncio.gather(*running)
        result = await asyncio.to_thread(hub.check)
        assert result.returncode == 0, result.stdout + result.stderr
    with start(**settings) as hub:
        claps = dict.fromkeys(ITEMS, 0)
        for reactor in reactors:
            async with talking(hub.live, hub.token(reactor.name)) as talk:
                for entry in await talk.subscribe(*ITEMS):
                    item, stands = entry["item"], entry["mine"].get("clap", 0)
                    assert reactor.claps_acked[item] <= stands <= reactor.claps_said[item]
                    assert entry["v"] >= reactor.versions[item]
                    claps[item] += stands
        async with talking(hub.live) as talk:
            for entry in await talk.subscribe(*ITEMS):
                item, counts = entry["item"], entry["counts"]
                assert counts["clap"] == claps[item]
                acked = sum(len(reactor.shares_acked[item]) for reactor in reactors)
                said = sum(len(reactor.shares_said[item]) for reactor in reactors)
                assert acked <= counts["share"] <= said
        # whoever was not answered says it again, and each event is counted once
        for reactor in reactors:
            async with talking(hub.live, hub.token(reactor.name)) as talk:
                for item in ITEMS:
                    for id in reactor.shares_said[item]:
                        await talk.send({"op": "react", "item": item, "kind": "share", "id": id})
                    for _ in reactor.shares_said[item]:
                        await talk.until(lambda frame: frame["ev"] == "ack")
        async with talking(hub.live) as talk:
            for entry in await talk.subscribe(*ITEMS):
                said = sum(len(reactor.shares_said[entry["item"]]) for reactor in reactors)
                assert entry["counts"]["share"] == said
