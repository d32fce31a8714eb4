"""From answers and deliveries to what viewers felt: how long after a click did they see it? Pure.

A frame shows a reaction to a viewer when its version is that of the reaction's ack or newer, and the version before it
was older. One frame carries many reactions, and a viewer who was skipped has them with a later one: each counts, with
its own time, so that conflation hides nothing.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from typing import Final

from tallycast_loadtest.latency import Window
from tallycast_loadtest.tally import Answers, Delivery

KEPT_S: Final = 60  # seconds for which answers are kept, for viewers who are far behind
_MOST_TIMES: Final = 32  # of the reactions that a delivery shows; where there are more, some share the earliest's


class Join:
    """Brings together what all processes tell. `owed` is frames that there would be without conflation."""

    def __init__(self) -> None:
        self.owed = 0
        self.window = Window()
        self._versions: defaultdict[str, list[int]] = defaultdict(list)
        self._intended_us: dict[tuple[str, int], list[int]] = {}
        self._seconds: list[list[tuple[str, int]]] = []

    def answers(self, seconds: list[Answers]) -> None:
        """What all processes had acknowledged within one second."""
        fresh = []
        for answers in seconds:
            for (item, v), intended_us in answers.items():
                known = self._intended_us.setdefault((item, v), [])
                if not known:
                    insort(self._versions[item], v)
                    fresh.append((item, v))
                known += intended_us
        self._seconds.append(fresh)
        if len(self._seconds) > KEPT_S:
            for item, v in self._seconds.pop(0):
                del self._intended_us[item, v]
                self._versions[item].remove(v)

    def deliveries(self, deliveries: list[Delivery]) -> None:
        """What viewers got; all that it shows must have been handed in by `answers`."""
        for delivery in deliveries:
            if delivery.before < 0:
                continue
            versions = self._versions[delivery.item]
            shown = versions[bisect_right(versions, delivery.before) : bisect_right(versions, delivery.v)]
            intended_us = sorted(us for v in shown for us in self._intended_us[delivery.item, v])
            if not intended_us:
                continue
            self.owed += len(intended_us) * sum(delivery.viewers)
            latencies_us, counts = [], []
            size = -(-len(intended_us) // _MOST_TIMES)
            for begin in range(0, len(intended_us), size):
                reactions = len(intended_us[begin : begin + size])
                for time_us, viewers in zip(delivery.times_us, delivery.viewers, strict=True):
                    latencies_us.append(max(0, time_us - intended_us[begin]))
                    counts.append(reactions * viewers)
            self.window.record_many(latencies_us, counts)
