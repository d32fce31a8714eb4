"""Which time a query is about: spans, windows that end now, zones. Pure; what is wrong raises Refused."""

from __future__ import annotations

import re
from datetime import UTC, timedelta, timezone, tzinfo
from math import ceil
from typing import Literal, NamedTuple, cast, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tallycast.errors import Refused
from tallycast.store.history import DAY, HOUR, KEPT_S, MINUTE, UNDATED

StepName = Literal["minute", "hour", "day"]
Recent = Literal["hour", "day", "week", "month"]
Within = Recent | Literal["all"]

STEPS: dict[str, int] = {"minute": MINUTE, "hour": HOUR, "day": DAY}
DEFAULT_S = {MINUTE: 3 * HOUR, HOUR: 7 * DAY, DAY: 90 * DAY}
MOST_DAYS = 3_660  # of one series
AHEAD_S = 60  # that another machine's clock may be
FIRST = UNDATED + 1  # the first bucket that says a time

# Rankings of a window: of which buckets, how many, the last of which is now's; then the finer ones of the sums.
WINDOWS: dict[str, tuple[int, int, int, int]] = {
    "hour": (HOUR, 2, MINUTE, 60),
    "day": (HOUR, 24, HOUR, 24),
    "week": (DAY, 7, DAY, 7),
    "month": (DAY, 30, DAY, 30),
}

_OFFSET = re.compile(r"([+-])(0[0-9]|1[0-4]):([0-5][0-9])")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")


class Span(NamedTuple):
    """The buckets `first` to `last` of a step, both included; `last` may still be going on."""

    step: int
    first: int
    last: int

    @property
    def from_s(self) -> int:
        """When it begins, in s since 1970."""
        return self.first * self.step

    @property
    def until_s(self) -> int:
        """When it ends."""
        return (self.last + 1) * self.step

    @property
    def before(self) -> Span:
        """As much, just before it."""
        size = self.last - self.first + 1
        return Span(self.step, max(self.first - size, FIRST), self.first - 1)


def step_of(name: str) -> int:
    """The step of that name in seconds."""
    if name not in STEPS:
        raise Refused("bad_request", f"step must be one of {', '.join(STEPS)}")
    return STEPS[name]


def span_of(step: int, from_s: float | None, until_s: float | None, now_s: float) -> Span:
    """The buckets that a time from `from_s` to `until_s` touches; without: until now, and as long as is usual."""
    end_s = now_s if until_s is None else until_s
    begin_s = end_s - DEFAULT_S[step] if from_s is None else from_s
    if end_s > now_s + step + AHEAD_S:
        raise Refused("bad_request", "until lies in the future")
    if begin_s > now_s + AHEAD_S:
        raise Refused("bad_request", "from lies in the future")
    if begin_s >= end_s:
        raise Refused("bad_request", "from must be before until")
    last = int(now_s // step) if until_s is None else ceil(until_s / step) - 1
    span = Span(step, max(int(begin_s // step), FIRST), max(last, FIRST))
    if step == DAY and span.last - span.first >= MOST_DAYS:
        raise Refused("bad_request", f"at most {MOST_DAYS} days at once: ask for a shorter time")
    if step != DAY and span.from_s < now_s - KEPT_S[step] - step:
        kept, coarser = (
            ("minutes are kept for 48 hours", "hour") if step == MINUTE else ("hours are kept for 90 days", "day")
        )
        raise Refused("bad_request", f"{kept}: ask from later on, or with step={coarser}")
    return span


def compared(from_s: float | None, until_s: float | None, now_s: float) -> Span:
    """The span to compare with the one before it: by hour where hours of both are kept, else by day."""
    end_s = now_s if until_s is None else until_s
    begin_s = end_s - 7 * DAY if from_s is None else from_s
    hours_kept = begin_s - (end_s - begin_s) >= now_s - KEPT_S[HOUR] + HOUR
    return span_of(HOUR if hours_kept else DAY, begin_s, until_s, now_s)


def within_of(name: str) -> Within:
    """The window of that name."""
    names = (*get_args(Recent), "all")
    if name not in names:
        raise Refused("bad_request", f"within must be one of {', '.join(names)}")
    return cast(Within, name)


def zone_of(name: str) -> tzinfo:
    """The time zone of an IANA name (Europe/Berlin), or an offset from UTC (+05:30)."""
    offset = _OFFSET.fullmatch(name)
    if offset is not None:
        away = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(away if offset[1] == "+" else -away)
    if name in ("UTC", "Z"):
        return UTC
    try:
        if _ZONE.fullmatch(name):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a directory of zones is none
        pass
    raise Refused(
        "bad_request", "zone must be a name such as Europe/Berlin that this hub knows, or an offset such as -05:30"
    )
