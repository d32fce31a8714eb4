"""The rules of alerts: what a creator wants to be told of, and when that is so. Pure, no I/O.

A rule that may hold, cease and hold again has two bounds: it fires at one and is armed again only at the other, so that
a number that trembles around a bound tells of it once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

from tallycast.errors import Refused

MOST_MARKS = 20
MOST_COUNT = 10**12
MOST_MINUTES = 1440
MOST_QUIET_S = 30 * 86_400
LEAST_SILENCE_S, MOST_SILENCE_S = 60, 30 * 86_400
QUIET_S = 3600
CALMER = 0.75  # of its bound: a rate is armed again below that
Z = 1.959964  # of the normal distribution: 95 % lie within

# What history keeps sums of: everything, or what ends with a separator, at most four of them deep.
_SECTION = re.compile(r"(?:[^:/]*[:/]){0,4}")
_ITEM = re.compile(r"[A-Za-z0-9._~:/@%+=,-]{1,200}")

Verdict = Literal["holds", "stays", "ceases"]


class Target(NamedTuple):
    """What a rule looks at: one item, or all whose ids begin with `name`."""

    name: str
    every: bool

    @property
    def text(self) -> str:
        """`post:1`, or `post:*` of all that begin so."""
        return self.name + "*" * self.every


class Count(NamedTuple):
    """An item's count reaches one of `marks`: once for each item and mark."""

    kind: str
    marks: tuple[int, ...]

    def hears(self, kinds: Collection[str]) -> bool:
        """Whether it is to be judged when the counts of these kinds moved."""
        return self.kind in kinds

    def reached(self, way: Sequence[int]) -> list[int]:
        """The marks that a count has come up to on its way, which is what it was at first and after each step."""
        steps = list(pairwise(way))
        return [mark for mark in self.marks if any(before < mark <= after for before, after in steps)]


class Rate(NamedTuple):
    """In `minutes` a count moved by `factor` times what is usual there, and by `minimum` at least."""

    kind: str
    factor: float
    minimum: int
    minutes: int
    quiet_s: int

    def hears(self, _kinds: Collection[str]) -> bool:
        """It is judged as time passes."""
        return False

    def judge(self, n: int, usual: float) -> Verdict:
        """`n` is by how much it moved in the last `minutes`, `usual` by how much it does in as long a time."""
        bound = max(self.factor * usual, self.minimum)
        return "holds" if n >= bound else "ceases" if n < bound * CALMER else "stays"


class Ratio(NamedTuple):
    """Of an item's votes, `minimum` at the least, a smaller part than `below` are `up`, and that is no mere chance."""

    up: str
    down: str
    below: float
    minimum: int
    quiet_s: int

    def hears(self, kinds: Collection[str]) -> bool:
        """Whether it is to be judged when the counts of these kinds moved."""
        return self.up in kinds or self.down in kinds

    def judge(self, up: int, down: int) -> Verdict:
        """So many votes for and against. It ceases once the votes themselves are not below the bound any more."""
        votes = up + down
        if votes <= 0:
            return "ceases"
        if votes >= self.minimum and wilson_upper(up, votes) < self.below:
            return "holds"
        return "ceases" if up / votes >= self.below else "stays"


class Silence(NamedTuple):
    """No count of the target moves for `for_s` seconds: once, until one moves again."""

    for_s: int

    def hears(self, _kinds: Collection[str]) -> bool:
        """Whatever moves ends it."""
        return True


Rule = Count | Rate | Ratio | Silence
RULES: Mapping[str, Callable[..., Rule]] = {"count": Count, "rate": Rate, "ratio": Ratio, "silence": Silence}


def name_of(rule: Rule) -> str:
    """What the API calls it: a key of RULES."""
    return next(name for name, make in RULES.items() if make is type(rule))


def wilson_upper(part: int, whole: int) -> float:
    """The upper end of Wilson's 95 % interval: a share above that would hardly show `part` of `whole`.

    Raises ValueError unless 0 ≤ part ≤ whole and whole > 0. After E. B. Wilson, "Probable inference" (1927).
    """
    if not 0 <= part <= whole or not whole:
        raise ValueError(f"{part} of {whole} is no share")
    share = part / whole
    square = Z * Z / whole
    root = Z * math.sqrt(share * (1 - share) / whole + square / (4 * whole))
    return min((share + square / 2 + root) / (1 + square), 1.0)


def parse_target(text: object) -> Target:
    """An item, or a prefix that ends in `*`. Raises Refused (`bad_item`)."""
    if isinstance(text, str):
        every = text.endswith("*")
        name = text[:-1] if every else text
        if _ITEM.fullmatch(name) or (every and not name):
            return Target(name, every)
    raise Refused("bad_item", "target must be an item's id, the beginning of ids followed by *, or * for all")


def parse_rule(body: Mapping[str, Any], target: Target, kinds: Collection[str]) -> Rule:
    """The rule that a description asks for, with defaults for what it leaves out.

    Raises Refused (`bad_request`, `unknown_kind`) with what was expected of which field.
    """
    read = _Fields(body, kinds)
    name = body.get("rule")
    if name == "count":
        return Count(read.kind("kind"), read.marks())
    if name == "rate":
        if target.every and not _SECTION.fullmatch(target.name):
            raise _wrong("target", "an item, *, or a prefix such as post:* whose last character is : or /")
        return Rate(
            read.kind("kind"),
            read.number("factor", 5, low=1.1, high=1000),
            read.whole("minimum", 20, low=1, high=MOST_COUNT),
            read.whole("minutes", 10, low=1, high=MOST_MINUTES),
            read.whole("quiet_s", QUIET_S, low=0, high=MOST_QUIET_S),
        )
    if name == "ratio":
        up, down = read.kind("up", "like"), read.kind("down", "dislike")
        if up == down:
            raise _wrong("down", "another kind than up")
        return Ratio(
            up,
            down,
            read.number("below", 0.5, low=0.01, high=0.99),
            read.whole("minimum", 20, low=1, high=MOST_COUNT),
            read.whole("quiet_s", QUIET_S, low=0, high=MOST_QUIET_S),
        )
    if name == "silence":
        return Silence(read.whole("for_s", None, low=LEAST_SILENCE_S, high=MOST_SILENCE_S))
    raise _wrong("rule", "one of " + ", ".join(RULES))


class _Fields:
    """Reads a description's fields."""

    def __init__(self, body: Mapping[str, Any], kinds: Collection[str]) -> None:
        self._body, self._kinds = body, kinds

    def kind(self, field: str, default: str | None = None) -> str:
        kind = self._body.get(field, default)
        if not isinstance(kind, str) or kind not in self._kinds:
            raise Refused("unknown_kind", f"{field} must be one of {', '.join(self._kinds)}")
        return kind

    def whole(self, field: str, default: int | None, *, low: int, high: int) -> int:
        value = self._body.get(field, default)
        if type(value) is not int or not low <= value <= high:
            raise _wrong(field, f"an integer from {low} to {high}")
        return value

    def number(self, field: str, default: float, *, low: float, high: float) -> float:
        value = self._body.get(field, default)
        if type(value) not in (int, float) or not low <= value <= high:
            raise _wrong(field, f"a number from {low:g} to {high:g}")
        return float(value)

    def marks(self) -> tuple[int, ...]:
        marks = self._body.get("marks")
        if (
            not isinstance(marks, list)
            or not 1 <= len(marks) <= MOST_MARKS
            or any(type(mark) is not int or not 1 <= mark <= MOST_COUNT for mark in marks)
        ):
            raise _wrong("marks", f"a list of 1–{MOST_MARKS} integers from 1 to {MOST_COUNT}")
        return tuple(sorted(set(marks)))


def _wrong(field: str, expected: str) -> Refused:
    return Refused("bad_request", f"{field} must be {expected}")
