"""What is a burst: newcomers from few networks, far above what an item usually gets. Pure, clocks are handed in.

Over the last WINDOW_S seconds, people counted once each, all of these must hold:

- networks from which at least CROWD newcomers came, the MOST_NETWORKS largest of them, brought together at least TIMES
  what the item usually gets in such a time, and not less than TIMES * FLOOR;
- they brought at least SHARE of all newcomers: who is talked of everywhere gets newcomers from everywhere;
- newcomers are at least SHARE of all who reacted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Set
from typing import NamedTuple

WINDOW_S = 60.0
TIMES = 10.0
FLOOR = 6.0  # people a window: what an item is taken to get usually, if it gets less
CROWD = 10
MOST_NETWORKS = 16
SHARE = 0.5
USUAL_S = 7200.0  # how far back the mean goes: what is that long ago counts for a third of what is now
MOST_FRESH = 10_000  # newcomers of one item that are kept; more let go of the oldest


class Verdict(NamedTuple):
    """Why it is a burst: its networks, people a minute from them, the item's usual people a minute, and which share of
    all who reacted are newcomers."""

    networks: frozenset[str]
    rate: float
    usual: float
    fresh: float


class Watch:
    """What one item gets. A network is any text that stands for one."""

    __slots__ = ("_at_s", "_fresh", "_others", "_usual")

    def __init__(self, now_s: float) -> None:
        self._fresh: dict[str, tuple[float, str, str]] = {}  # by newcomer: when seen, from where, and in what kind
        self._others: list[tuple[float, int]] = []  # when, and how many
        self._usual = 0.0
        self._at_s = now_s

    def note(
        self, now_s: float, fresh: Iterable[tuple[str, str, str]], others: int, apart: Set[str] = frozenset()
    ) -> None:
        """So many others reacted since the last call, and these newcomers, each with a network and a kind.

        What has left the window becomes part of what is usual, newcomers from the networks `apart` excepted.
        """
        for name, network, kind in fresh:
            self._fresh.setdefault(name, (now_s, network, kind))
        if others:
            self._others.append((now_s, others))
        begin_s = now_s - WINDOW_S
        gone = 0.0
        while self._others and self._others[0][0] <= begin_s:
            at_s, number = self._others.pop(0)
            gone += number * _weight(begin_s - at_s)
        while self._fresh:
            name, (at_s, network, _) = next(iter(self._fresh.items()))
            if at_s > begin_s and len(self._fresh) <= MOST_FRESH:
                break
            del self._fresh[name]
            if network not in apart:
                gone += _weight(begin_s - at_s)
        # One person adds what makes the mean of so many people a minute just so many a minute.
        self._usual = self.usual(now_s) + gone * 60 / USUAL_S
        self._at_s = now_s

    def usual(self, now_s: float) -> float:
        """People a minute, the exponentially weighted mean of the past hours without this window."""
        return self._usual * _weight(now_s - self._at_s)

    def judge(self, now_s: float) -> Verdict | None:
        """Whether what is in the window is a burst."""
        newcomers = len(self._fresh)
        if newcomers < TIMES * FLOOR:
            return None
        usual = self.usual(now_s)
        least = TIMES * max(usual * WINDOW_S / 60, FLOOR)
        everybody = newcomers + sum(number for _, number in self._others)
        if newcomers < least or newcomers < SHARE * everybody:
            return None
        crowds = Counter(network for _, network, _ in self._fresh.values()).most_common(MOST_NETWORKS)
        networks = {network: number for network, number in crowds if number >= CROWD}
        together = sum(networks.values())
        if together < least or together < SHARE * newcomers:
            return None
        return Verdict(frozenset(networks), together * 60 / WINDOW_S, usual, newcomers / everybody)

    def of(self, networks: Set[str]) -> list[tuple[str, str]]:
        """The newcomers in the window who came from these networks, each with a kind in which they reacted."""
        return [(name, kind) for name, (_, network, kind) in self._fresh.items() if network in networks]


def _weight(ago_s: float) -> float:
    """What one of so long ago counts beside one of now."""
    return math.exp(-max(ago_s, 0.0) / USUAL_S)
