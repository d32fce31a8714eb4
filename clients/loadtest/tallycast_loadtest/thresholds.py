"""`--thresholds`: what a run's figures must be, such as `ack_p99<50ms` or `lost==0`."""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Callable
from typing import Final, NamedTuple

from tallycast_loadtest.results import METRICS, Metric, Result, Threshold, Unit

_TEXT: Final = re.compile(r"\s*(\w+)\s*(<=|>=|==|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*(\S*)\s*")
_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    ">=": operator.ge,
    ">": operator.gt,
}
_TIMES_US: Final = {"us": 1.0, "µs": 1.0, "ms": 1e3, "s": 1e6}
_BYTES: Final = {"B": 1.0, "KiB": 1024.0, "MiB": 1024.0**2, "GiB": 1024.0**3}
# For each unit of a figure: the units that may be given, each in that unit. Without one, the figure's own is meant.
_UNITS: Final[dict[Unit, dict[str, float]]] = {
    "us": _TIMES_US,
    "ms": {name: us / 1e3 for name, us in _TIMES_US.items()},
    "s": {name: us / 1e6 for name, us in _TIMES_US.items()},
    "bytes": _BYTES,
    "/s": {"/s": 1.0},
    "share": {"%": 0.01},
    "count": {},
}


class ThresholdError(ValueError):
    """A threshold that means nothing; the text is one line: what is wrong, what is allowed."""


class Limit(NamedTuple):
    """A threshold that was read: `value` is in the metric's unit."""

    text: str
    metric: Metric
    operator: str
    value: float

    def check(self, result: Result) -> Threshold:
        """Whether a run met it. What was not measured meets nothing."""
        found = self.metric.read(result)
        return Threshold(
            text=self.text, value=found, met=found is not None and _OPERATORS[self.operator](found, self.value)
        )


def parse(text: str) -> Limit:
    """Read a threshold: a figure of METRICS, an operator, a number, and a unit or none. Raises ThresholdError."""
    parts = _TEXT.fullmatch(text)
    if parts is None:
        raise ThresholdError(f"threshold {text!r}: expected a figure, one of < <= == >= > and a number: ack_p99<50ms")
    name, sign, number, unit = parts.groups()
    metric = METRICS.get(name)
    if metric is None:
        near = difflib.get_close_matches(name, METRICS, 1, 0.5)
        hint = f", did you mean {near[0]}?" if near else "."
        raise ThresholdError(f"threshold {text!r}: there is no figure {name!r}{hint} Known are {', '.join(METRICS)}")
    units = _UNITS[metric.unit]
    if unit and unit not in units:
        allowed = f"expected {', '.join(units)}" if units else "it has no unit"
        raise ThresholdError(f"threshold {text!r}: {name} cannot be in {unit!r}; {allowed}")
    return Limit(text.strip(), metric, sign, float(number) * (units[unit] if unit else 1.0))
