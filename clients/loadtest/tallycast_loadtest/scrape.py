"""What the run costs the hub, by its /metrics: CPU, memory, how late its loop is. Pure.

Workers that share a port answer in turn, each for itself: each is followed by its label, and the whole is their sum.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

_CPU, _RSS = "process_cpu_seconds_total", "process_resident_memory_bytes"
_LAG: Final = "tallycast_loop_lag_seconds_bucket"


@dataclass(slots=True)
class _Process:
    """One hub process as it was at a time."""

    at_s: float
    cpu_s: float = math.nan
    rss_bytes: float = math.nan
    late: dict[float, float] = field(default_factory=dict)  # how many timers were at most so many seconds late


@dataclass(frozen=True, slots=True)
class Load:
    """Between two looks: shares of a core, bytes now, and how late a timer was at worst (the bucket's upper end)."""

    cpu: float
    rss_bytes: int
    lag_ms: float | None


class Scrape:
    """Follows a hub. A restart begins its counters anew, and is taken as such."""

    def __init__(self) -> None:
        self._now: dict[str, _Process] = {}
        self.cpu_s = 0.0  # since the first look, or since `reset`
        self._late: defaultdict[float, float] = defaultdict(float)

    def reset(self) -> None:
        """What follows is another phase."""
        self.cpu_s = 0.0
        self._late.clear()

    @property
    def rss_bytes(self) -> float | None:
        """The memory of all its processes, as they were last seen."""
        return sum(process.rss_bytes for process in self._now.values()) if self._now else None

    def look(self, text: str, at_s: float) -> Load | None:
        """Take in what /metrics said; None for a first look, and where there are no figures."""
        seen: dict[str, _Process] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in (_CPU, _RSS, _LAG):
                    process = seen.setdefault(sample.labels.get("worker", ""), _Process(at_s))
                    if sample.name == _CPU:
                        process.cpu_s = sample.value
                    elif sample.name == _RSS:
                        process.rss_bytes = sample.value
                    else:
                        process.late[float(sample.labels["le"])] = sample.value
        load = None
        for worker, process in seen.items():
            if math.isnan(process.cpu_s) or math.isnan(process.rss_bytes):
                continue
            before = self._now.get(worker)
            self._now[worker] = process
            if before is not None:
                load = self._between(before, process)
        return load

    def _between(self, before: _Process, now: _Process) -> Load:
        restarted = now.cpu_s < before.cpu_s
        cpu_s = now.cpu_s if restarted else now.cpu_s - before.cpu_s
        self.cpu_s += cpu_s
        worst, below = None, 0.0
        for bound, count in sorted(now.late.items()):
            late = count - (0 if restarted else before.late.get(bound, 0))
            if late > below:
                worst = bound
            self._late[bound] += late
            below = max(below, late)
        return Load(
            cpu_s / max(now.at_s - before.at_s, 1e-3),
            int(self.rss_bytes or 0),
            None if worst is None else _ms(worst, now.late),
        )

    def lag_ms(self, share: float) -> float | None:
        """How late that share of the hub's timers was at most; the upper end of its bucket."""
        most = self._late.get(math.inf, 0)
        if not most:
            return None
        bound = next(bound for bound, count in sorted(self._late.items()) if count >= share * most)
        return _ms(bound, self._late)


def _ms(bound_s: float, bounds_s: Iterable[float]) -> float:
    """A bucket's upper end; of the last, which has none, the end of the one before."""
    return 1000 * (bound_s if math.isfinite(bound_s) else sorted(bounds_s)[-2])
