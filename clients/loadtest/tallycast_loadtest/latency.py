"""Latencies in fixed memory: HdrHistograms of a run and of each of its seconds, merged across processes.

Inside, times are whole microseconds, right to three digits from 1 µs to ten minutes; outside they are milliseconds.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Sequence
from operator import mul
from typing import Final, NamedTuple

from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]

from tallycast_loadtest.results import LatencySummary

_LARGEST_US: Final = 600_000_000
_DIGITS: Final = 3
_EXACT_BITS: Final = 11  # three digits: up to 2^11 µs every microsecond has a place of its own
_EXACT_MASK: Final = (1 << _EXACT_BITS) - 1
_POINTS_PER_HALVING: Final = 5  # of the curve: from 50 % to 75 % as many points as from 75 % to 87.5 %
_HEAD: Final = struct.Struct("<QQ")  # what the histogram itself rounds: the sum and the largest, in µs


class Figures(NamedTuple):
    """The latencies of one second, and how many they were."""

    recorded: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Window:
    """What one process measured since the window was last taken."""

    def __init__(self) -> None:
        self._histogram = _histogram()
        self._sum_us = 0
        self._max_us = 0

    def record(self, us: int, count: int = 1) -> None:
        """Record one latency, or `count` equal ones. Many at once cost far less: `record_many`. Raises ValueError."""
        _refuse_negative(us)
        self._sum_us += us * count
        self._max_us = max(self._max_us, us)
        self._histogram.record_value(min(us, _LARGEST_US), count)

    def record_many(self, us: Sequence[int], counts: Sequence[int] | None = None) -> None:
        """Record latencies, each once or as often as `counts` says at its place, which is never 0.

        Raises ValueError where a latency is below 0: the clocks differ.
        """
        if not us:
            return
        _refuse_negative(min(us))
        self._sum_us += sum(us) if counts is None else sum(map(mul, us, counts))
        self._max_us = max(self._max_us, max(us))
        # Recording costs microseconds, so latencies that share a place in the histogram are recorded as one.
        equal = [value & (-1 << ((value | _EXACT_MASK).bit_length() - _EXACT_BITS)) for value in us]
        places: Counter[int] = Counter()
        if counts is None:
            places.update(equal)
        else:
            for value, count in zip(equal, counts, strict=True):
                places[value] += count
        record = self._histogram.record_value
        for value, count in places.items():
            record(min(value, _LARGEST_US), count)

    def take(self) -> bytes | None:
        """All of it, for `Latency.add` in any process, and begin anew; None where nothing was recorded."""
        if not self._histogram.total_count:
            return None
        taken: bytes = _HEAD.pack(self._sum_us, self._max_us) + self._histogram.encode()
        self.__init__()  # type: ignore[misc]
        return taken


class Latency:
    """One latency over a run and in each of its seconds, from the windows of all processes."""

    def __init__(self) -> None:
        self._whole = _Merged()
        self._seconds: defaultdict[int, list[bytes]] = defaultdict(list)

    def add(self, second: int, window: bytes | None) -> None:
        """Add what a process took from its window in that second of the run."""
        if window is not None:
            self._whole.add(window)
            self._seconds[second].append(window)

    def take_second(self, second: int) -> Figures | None:
        """The figures of a second that is over, which is then forgotten; None where nothing was recorded."""
        merged = _Merged()
        for window in self._seconds.pop(second, ()):
            merged.add(window)
        if not merged.count:
            return None
        p50_ms, p99_ms = merged.percentiles_ms(50, 99)
        return Figures(merged.count, p50_ms, p99_ms, merged.max_ms)

    def summary(self) -> LatencySummary | None:
        """The figures of the whole run; None where nothing was recorded."""
        whole = self._whole
        if not whole.count:
            return None
        p50_ms, p90_ms, p99_ms, p999_ms = whole.percentiles_ms(50, 90, 99, 99.9)
        return LatencySummary(
            count=whole.count,
            mean_ms=whole.mean_ms,
            p50_ms=p50_ms,
            p90_ms=p90_ms,
            p99_ms=p99_ms,
            p999_ms=p999_ms,
            max_ms=whole.max_ms,
            curve=whole.curve(),
        )


class _Merged:
    """Windows added up."""

    def __init__(self) -> None:
        self._histogram = _histogram()
        self._sum_us = 0
        self._max_us = 0

    def add(self, window: bytes) -> None:
        sum_us, max_us = _HEAD.unpack_from(window)
        self._histogram.decode_and_add(window[_HEAD.size :])
        self._sum_us += sum_us
        self._max_us = max(self._max_us, max_us)

    @property
    def count(self) -> int:
        count: int = self._histogram.total_count
        return count

    @property
    def mean_ms(self) -> float:
        return round(self._sum_us / self.count / 1000, 3)

    @property
    def max_ms(self) -> float:
        return self._max_us / 1000

    def percentiles_ms(self, *percentiles: float) -> list[float]:
        """The latencies at these percentiles, which ascend."""
        found = self._histogram.get_percentile_to_value_dict(percentiles)
        return [self._ms(found[percentile]) for percentile in percentiles]

    def curve(self) -> tuple[tuple[float, float], ...]:
        return tuple(
            (round(float(point.percentile_level_iterated_to), 6), self._ms(point.value_iterated_to))
            for point in self._histogram.get_percentile_iterator(_POINTS_PER_HALVING)
        )

    def _ms(self, place_us: int) -> float:
        """A place of the histogram, given by its upper end, which may lie above all that was recorded."""
        return min(place_us, self._max_us) / 1000


def _refuse_negative(us: int) -> None:
    if us < 0:
        raise ValueError(f"a latency of {us} µs: the two times are not of one clock")


def _histogram() -> HdrHistogram:
    return HdrHistogram(1, _LARGEST_US, _DIGITS, b64_wrap=False)
