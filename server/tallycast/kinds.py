"""The rules of counting: what a reaction may say and what it does to what its actor said before. Pure, no I/O."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from tallycast.errors import ConfigError, Refused

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
EVENT_ID = re.compile(r"[\x21-\x7e]{8,64}")
MAX_AMOUNT = 1_000_000
MAX_SEQ = 2**53 - 1

Rule = Literal["toggle", "amount", "event"]
RULES: tuple[Rule, ...] = ("toggle", "amount", "event")


class Kind(NamedTuple):
    """One sort of engagement and its rule.

    `group` (toggle only) names the kinds of which an actor may have one at a time; `max` (amount only) is the largest
    total of one actor; `label` and `emoji` are for clients to show.
    """

    name: str
    rule: Rule
    group: str | None = None
    max: int | None = None
    label: str = ""
    emoji: str = ""

    def public(self) -> dict[str, Any]:
        """The kind as GET /v1/config gives it: its fields without the name and without those that are None."""
        return {key: value for key, value in self._asdict().items() if key != "name" and value is not None}


class Reaction(NamedTuple):
    """What one actor says of one item: for `event` kinds that `id` happened (value 1), else that `value` is its total.

    `seq` orders an actor's reactions on an item; 0 means that none was given and the reaction always stands.
    """

    item: str
    actor: str
    kind: str
    value: int
    seq: int = 0
    id: str | None = None


class Said(NamedTuple):
    """What an actor now says of an item in one kind: a value (for events: how many were counted) and its `seq`."""

    value: int
    seq: int


NOTHING = Said(0, 0)  # what whoever never said anything says


class Kinds(Mapping[str, Kind]):
    """The kinds of a hub by name, in the order of the file."""

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = dict(kinds)
        self._rivals = {
            kind.name: tuple(k.name for k in kinds.values() if k.group == kind.group and k.name != kind.name)
            if kind.group is not None
            else ()
            for kind in kinds.values()
        }

    def __getitem__(self, name: str) -> Kind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def rivals(self, name: str) -> tuple[str, ...]:
        """The other kinds of its group, which setting `name` to 1 sets to 0. Empty where it has no group."""
        return self._rivals[name]

    def reaction(self, item: str, actor: str, kind: object, value: object, event_id: object, seq: object) -> Reaction:
        """A reaction checked against the rule of its kind; `value`, `event_id` and `seq` as sent, None = absent.

        Raises Refused (`unknown_kind`, `bad_value`, `bad_request`).
        """
        known = self._kinds.get(kind) if type(kind) is str else None
        if known is None:
            raise Refused("unknown_kind", f"kind must be one of {', '.join(self)}")
        if seq is None:
            seq = 0
        elif type(seq) is not int or not 0 < seq <= MAX_SEQ:
            raise Refused("bad_request", "seq must be an integer from 1 to 2^53-1")
        if known.rule == "event":
            if value is not None:
                raise Refused("bad_value", f"{known.name} counts events: send id, not value")
            if type(event_id) is not str or not EVENT_ID.fullmatch(event_id):
                raise Refused(
                    "bad_value", f"{known.name} needs an id of 8–64 printable characters, unique to the event"
                )
            return Reaction(item, actor, known.name, 1, seq, event_id)
        if event_id is not None:
            raise Refused("bad_value", f"{known.name} takes a value, not an id")
        if known.rule == "toggle":
            if value is True or value is False:
                value = int(value)
            if type(value) is not int or not 0 <= value <= 1:
                raise Refused("bad_value", f"{known.name} takes value 1 or 0")
        elif type(value) is not int or not 0 <= value <= (known.max or 0):
            raise Refused(
                "bad_value", f"{known.name} takes a value from 0 to {known.max}: your total, not an increment"
            )
        return Reaction(item, actor, known.name, value, seq)

    def apply(self, said: dict[str, Said], reaction: Reaction) -> None:
        """Change `said`, what the reaction's actor says of its item by kind, as the rule of the kind wants it.

        An event must be new: whoever keeps the ids decides that. Each kind has a `seq` of its own, and a reaction
        with a smaller one changes nothing; setting a kind of a group also says 0 of the others, with the same `seq`.
        A value of 0 stays with its `seq`, so that a late retry cannot bring back what was undone.
        """
        _, _, kind, value, seq, event_id = reaction
        before = said.get(kind)
        if event_id is not None:
            said[kind] = Said(before.value + 1 if before else 1, 0)
            return
        standing = before.seq if before else 0
        if seq:
            if seq < standing:
                return
            standing = seq
        said[kind] = Said(value, standing)
        if value:
            for rival in self._rivals[kind]:
                other = said.get(rival, NOTHING)
                said[rival] = Said(0, max(other.seq, seq))


def parse(text: str, source: str) -> Kinds:
    """The kinds of a TOML file's text; `source` names it in errors. Raises ConfigError with line or key."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is the first; an endless number, the others
        raise ConfigError(f"{source}: not TOML: {error}") from None
    if not tables:
        raise ConfigError(f'{source}: no kinds: declare at least one, e.g. [like] with rule = "toggle"')
    return Kinds({name: _kind(name, table, source) for name, table in tables.items()})


def _kind(name: str, table: object, source: str) -> Kind:
    def wrong(key: str, expected: str) -> ConfigError:
        return ConfigError(f"{source}: [{name}] {key}: expected {expected}")

    if not NAME.fullmatch(name):
        raise ConfigError(f"{source}: [{name!r}]: a kind's name is 1–32 of a–z 0–9 _ -, beginning with a letter")
    if not isinstance(table, dict):
        raise ConfigError(f'{source}: {name}: expected a table, e.g. [{name}] with rule = "toggle"')
    for key in table:
        if key not in ("rule", "group", "max", "label", "emoji"):
            raise wrong(repr(key), "no such key; a kind has rule, group, max, label, emoji")
    rule = table.get("rule")
    if rule not in RULES:
        raise wrong("rule", "one of " + ", ".join(RULES))
    group, most = table.get("group"), table.get("max")
    if group is not None and (rule != "toggle" or not isinstance(group, str) or not NAME.fullmatch(group)):
        raise wrong("group", 'a name like a kind\'s, and only with rule = "toggle"')
    if rule == "amount":
        if type(most) is not int or not 1 <= most <= MAX_AMOUNT:
            raise wrong("max", f"an integer from 1 to {MAX_AMOUNT}, the largest total of one person")
    elif most is not None:
        raise wrong("max", 'no max, which belongs to rule = "amount"')
    for key in ("label", "emoji"):
        if not isinstance(table.get(key, ""), str) or len(table.get(key, "")) > 64:
            raise wrong(key, "a text of at most 64 characters")
    return Kind(name, rule, group, most, table.get("label", name.capitalize()), table.get("emoji", ""))
