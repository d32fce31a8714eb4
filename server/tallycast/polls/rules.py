"""What a poll is, what it may be made of and changed to, and which votes it takes. Pure, no I/O.

A vote is a reaction to the poll's item: of a kind `option-N` where one option may be chosen, so that choosing another
takes the first one back, else of `choice-N`. Options are numbered from 1. Times are Unix seconds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import orjson

from tallycast.errors import Refused
from tallycast.kinds import CHOICES, OPTIONS, POLL
from tallycast.veils import Veil

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]{0,63}")  # goes into paths as it is, and is no `.` or `..` there
LEAST_OPTIONS, MOST_OPTIONS = 2, len(OPTIONS)
MOST_QUESTION = 300  # characters
MOST_OPTION = 120
PAST_S = 60.0  # how far in the past a poll may be said to open: clocks differ
NOTICE_S = 1.5  # from a wish to close now until it is so: all hubs hear of it within a second

Choice = Literal["single", "multiple"]
Results = Literal["always", "voted", "closed"]
State = Literal["upcoming", "open", "closing", "closed"]

# What a vote of each kind is: for the option of which number in which sort of poll.
VOTES: Mapping[str, tuple[Choice, int]] = {
    **{kind.name: ("single", number) for number, kind in enumerate(OPTIONS, 1)},
    **{kind.name: ("multiple", number) for number, kind in enumerate(CHOICES, 1)},
}
VOTED_ON = ("question", "options", "choice")  # stand from the first vote on
FIELDS = (*VOTED_ON, "opens_at", "closes_at", "results", "answers")


class Poll(NamedTuple):
    """A poll; a quiz where it has `answers`, the numbers of the right options.

    Votes are taken from `opens_at` until just before `closes_at`. `results` says from when on they are shown: always,
    to whoever has voted, or once it has closed. `closed_at` is when that was, and `closer` the hub that closed it.
    """

    id: str
    question: str
    options: tuple[str, ...]
    choice: Choice
    results: Results
    opens_at: float
    closes_at: float
    created_at: float
    answers: tuple[int, ...] = ()
    closed_at: float | None = None
    closer: str = ""

    @property
    def item(self) -> str:
        """The item that is voted on."""
        return POLL + self.id

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kind of each option's votes."""
        kinds = OPTIONS if self.choice == "single" else CHOICES
        return tuple(kind.name for kind in kinds[: len(self.options)])

    @property
    def veil(self) -> Veil:
        """Who may see how it stands."""
        if self.closed_at is not None or self.results == "always":
            return Veil.LIFTED
        return Veil.VOTERS if self.results == "voted" else Veil.HIDDEN

    def state(self, now_s: float) -> State:
        """`closing`: no more votes are taken, and what was taken is still being counted."""
        if self.closed_at is not None:
            return "closed"
        if now_s >= self.closes_at:
            return "closing"
        return "open" if now_s >= self.opens_at else "upcoming"

    def votes(self, counts: Mapping[str, int]) -> list[int]:
        """The votes for each option, of the counts of its item."""
        return [counts.get(kind, 0) for kind in self.kinds]

    def chosen(self, mine: Mapping[str, int]) -> list[int]:
        """The numbers of the options that somebody has chosen, of what they say of its item."""
        return [number for number, kind in enumerate(self.kinds, 1) if mine.get(kind)]

    def dump(self) -> bytes:
        """The poll as a document."""
        return orjson.dumps(self._asdict())


def load(document: bytes) -> Poll:
    """What dump() made; what a later release has put there besides is left out."""
    fields = {name: value for name, value in orjson.loads(document).items() if name in Poll._fields}
    return Poll(**fields | {name: tuple(fields[name]) for name in ("options", "answers")})


def make(id: str, wish: Mapping[str, Any], now_s: float) -> Poll:
    """A new poll of the fields that `wish` has, times in Unix seconds; opens_at, choice, results and answers may lack.

    Raises Refused (`bad_request`).
    """
    if not ID.fullmatch(id):
        raise _wrong("id is 1–64 of A–Z a–z 0–9 . _ ~ -, and begins with a letter or digit")
    for name in ("question", "options", "closes_at"):
        if name not in wish:
            raise _wrong(f"a poll needs {name}")
    checked = _checked(wish)
    opens_at = checked.get("opens_at", now_s)
    if opens_at < now_s - PAST_S:
        raise _wrong("opens_at lies in the past: leave it out to open at once")
    checked = {"choice": "single", "results": "always", **checked, "opens_at": opens_at}
    return _sound(Poll(id=id, created_at=now_s, **checked), now_s)


def change(poll: Poll, wish: Mapping[str, Any], now_s: float, *, voted: bool) -> Poll:
    """The poll with the fields of `wish`; `voted`: somebody has chosen an option.

    Raises Refused: `closed` from closes_at on; `conflict` for what cannot change any more; `bad_request`.
    """
    if poll.state(now_s) in ("closing", "closed"):
        raise Refused("closed", f"poll {poll.id} has closed: it stays as it is")
    checked = {name: value for name, value in _checked(wish).items() if value != getattr(poll, name)}
    for name in VOTED_ON:
        if voted and name in checked:
            raise Refused("conflict", f"{name} cannot change any more: somebody has voted")
    if "opens_at" in checked:
        if now_s >= poll.opens_at:
            raise Refused("conflict", "opens_at cannot change any more: the poll is open")
        if checked["opens_at"] < now_s - PAST_S:
            raise _wrong("opens_at lies in the past")
    changed = _sound(poll._replace(**checked), now_s)
    if changed.closes_at < poll.closes_at and changed.closes_at < now_s + NOTICE_S:
        raise _wrong(f"closes_at must be {NOTICE_S:g} s from now or later, so that all hubs hear of it: or close it")
    return changed


def close(poll: Poll, now_s: float) -> Poll:
    """The poll as one that closes as soon as may be; unchanged where it has, or is about to."""
    closes_at = now_s + NOTICE_S
    if poll.closed_at is not None or poll.closes_at <= closes_at:
        return poll
    return poll._replace(opens_at=min(poll.opens_at, now_s), closes_at=closes_at)


def check_vote(poll: Poll, kind: str, now_s: float) -> None:
    """Let a vote pass. Raises Refused: `closed`; `unknown_kind` or `bad_value` where it has no such option."""
    choice, number = VOTES[kind]
    if choice != poll.choice or number > len(poll.options):
        offered = f"poll {poll.id} takes {poll.kinds[0]} to {poll.kinds[-1]}"
        if choice != poll.choice:
            raise Refused("unknown_kind", f"{offered}: {poll.choice} choice")
        raise Refused("bad_value", f"{offered}: it has no other option")
    if poll.closed_at is not None or now_s >= poll.closes_at:
        raise Refused("closed", f"poll {poll.id} has closed")
    if now_s < poll.opens_at:
        raise Refused("closed", f"poll {poll.id} is not open yet")


def _sound(poll: Poll, now_s: float) -> Poll:
    """The poll, whose fields fit together. Raises Refused (`bad_request`)."""
    if poll.closes_at <= now_s:
        raise _wrong("closes_at lies in the past")
    if poll.closes_at <= poll.opens_at:
        raise _wrong("closes_at must be later than opens_at")
    if any(number > len(poll.options) for number in poll.answers):
        raise _wrong(f"answers holds a number beyond the {len(poll.options)} options, which are numbered from 1")
    return poll


def _checked(wish: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a wish as a poll has them. Raises Refused (`bad_request`)."""
    return {name: CHECKS[name](name, value) for name, value in wish.items()}


def _question(name: str, value: object) -> str:
    return _text(name, value, MOST_QUESTION)


def _options(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not LEAST_OPTIONS <= len(value) <= MOST_OPTIONS:
        raise _wrong(f"{name} is a list of {LEAST_OPTIONS} to {MOST_OPTIONS} texts")
    options = tuple(_text(f"option {number}", option, MOST_OPTION) for number, option in enumerate(value, 1))
    if len({option.casefold() for option in options}) < len(options):
        raise _wrong("two options are the same")
    return options


def _text(name: str, value: object, most: int) -> str:
    if not isinstance(value, str):
        raise _wrong(f"{name} must be a text")
    text = unicodedata.normalize("NFC", value).strip()
    if not 1 <= len(text) <= most or any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in text):
        raise _wrong(f"{name} must have 1 to {most} characters on one line")
    return text


def _one_of(values: tuple[str, ...]) -> Callable[[str, object], str]:
    def check(name: str, value: object) -> str:
        if not isinstance(value, str) or value not in values:
            raise _wrong(f"{name} is one of {', '.join(values)}")
        return value

    return check


def _time(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(f"{name} must be a time")
    return float(value)


def _answers(name: str, value: object) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(number) is int and number >= 1 for number in value):
        raise _wrong(f"{name} is a list of the right options' numbers, from 1; empty where it is no quiz")
    return tuple(sorted(set(value)))


def _wrong(message: str) -> Refused:
    return Refused("bad_request", message)


CHECKS: Mapping[str, Callable[[str, object], Any]] = {
    "question": _question,
    "options": _options,
    "choice": _one_of(get_args(Choice)),
    "results": _one_of(get_args(Results)),
    "opens_at": _time,
    "closes_at": _time,
    "answers": _answers,
}
