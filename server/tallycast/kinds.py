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
MOST_GIVEN = 2**24 - 1  # that a site may set a number to
MOST_KINDS = 255  # of one hub, a rating's parts and those of polls among them
STARS = 5  # the best rating

RESERVED = "~"  # what actors' names begin with that are the hub's own: nobody else's does
START = f"{RESERVED}start:"  # and those of the ones who say with what a kind's count began
POLL = "poll:"  # what the ids of polls begin with

Rule = Literal["toggle", "amount", "event", "unique", "rating", "external"]
RULES: tuple[Rule, ...] = ("toggle", "amount", "event", "unique", "rating", "external")


class Kind(NamedTuple):
    """One sort of engagement and its rule.

    `group` (toggle only) names the kinds of which an actor may have one at a time; `max` (amount, rating) is the
    largest value of one actor; `label` and `emoji` are for clients to show; `parts` (rating only) are the kinds that
    are counted in its stead, one for each number of stars from 1.
    """

    name: str
    rule: Rule
    group: str | None = None
    max: int | None = None
    label: str = ""
    emoji: str = ""
    parts: tuple[str, ...] | None = None

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


_make = tuple.__new__  # a named tuple in half the time of its own constructor
NOTHING = Said(0, 0)  # what whoever never said anything says

# A vote is a reaction: `option-…` where one may be chosen, `choice-…` where several may. No file declares these, and
# the name of the options' group is none that a file could have.
OPTIONS = tuple(Kind(f"option-{number}", "toggle", group="poll:option") for number in range(1, 11))
CHOICES = tuple(Kind(f"choice-{number}", "toggle") for number in range(1, 11))
POLL_KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (*OPTIONS, *CHOICES)}


class Kinds(Mapping[str, Kind]):
    """The kinds of which a hub keeps values and counts, by name: first the file's own in its order, a rating as its
    parts, then those of polls. `shown` are the kinds of the file as clients know them.

    `personal` are the names of those that `mine` may show: what an actor says now, and can take back.
    """

    def __init__(self, shown: Mapping[str, Kind]) -> None:
        self.shown: Mapping[str, Kind] = dict(shown)
        own = {part.name: part for kind in shown.values() for part in _parts(kind)}
        self._kinds: dict[str, Kind] = {**own, **POLL_KINDS}
        groups: dict[str, list[str]] = {}
        for kind in self._kinds.values():
            if kind.group is not None:
                groups.setdefault(kind.group, []).append(kind.name)
        self._rivals = {
            kind.name: tuple(name for name in groups[kind.group] if name != kind.name) if kind.group is not None else ()
            for kind in self._kinds.values()
        }
        self._rated = frozenset(part for kind in shown.values() for part in kind.parts or ())
        self._of_items = {name: (kind, _most_sent(kind)) for name, kind in shown.items()}
        self._of_polls = {name: (kind, 1) for name, kind in POLL_KINDS.items()}
        self.personal = frozenset(name for name, kind in self._kinds.items() if kind.rule in ("toggle", "amount"))

    def __getitem__(self, name: str) -> Kind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def rivals(self, name: str) -> tuple[str, ...]:
        """The other kinds of its group, which setting `name` to 1 sets to 0. Empty where it has no group."""
        return self._rivals[name]

    def rated(self, name: str) -> bool:
        """Whether `name` is a part of a rating: then setting it to 0 sets its rivals to 0, too."""
        return name in self._rated

    def nameless(self, kind: object) -> bool:
        """Whether somebody without identity may react in that kind, as a client names it."""
        known = self.shown.get(kind) if type(kind) is str else None
        return known is not None and known.rule == "unique"

    def reaction(self, item: str, actor: str, kind: object, value: object, event_id: object, seq: object) -> Reaction:
        """A reaction checked against the rule of its kind; `value`, `event_id` and `seq` as sent, None = absent.

        What is said of a rating is said of one of its parts. Raises Refused (`unknown_kind`, `bad_value`,
        `bad_request`, `forbidden`).
        """
        known = (self._of_polls if item[:5] == POLL else self._of_items).get(kind) if type(kind) is str else None
        if known is None:
            raise self._unknown(item)
        if seq is None:
            seq = 0
        elif type(seq) is not int or not 0 < seq <= MAX_SEQ:
            raise Refused("bad_request", "seq must be an integer from 1 to 2^53-1")
        (name, rule, _, _, _, _, parts), most = known
        if type(value) is int and 0 <= value <= most and event_id is None:
            return _make(Reaction, (item, actor, name, value, seq, None))
        if rule == "event":
            if value is not None:
                raise Refused("bad_value", f"{name} counts events: send id, not value")
            if type(event_id) is not str or not EVENT_ID.fullmatch(event_id):
                raise Refused("bad_value", f"{name} needs an id of 8–64 printable characters, unique to the event")
            return _make(Reaction, (item, actor, name, 1, seq, event_id))
        if event_id is not None:
            raise Refused("bad_value", f"{name} takes a value, not an id")
        if rule == "toggle":
            if value is True or value is False:
                return Reaction(item, actor, name, int(value), seq)
            raise Refused("bad_value", f"{name} takes value 1 or 0")
        if rule == "unique":
            if value is True or (type(value) is int and value == 1):
                return Reaction(item, actor, name, 1)
            raise Refused("bad_value", f"{name} counts everybody once: send value 1, which is not taken back")
        if parts is not None:
            if type(value) is int and 0 <= value <= len(parts):
                return Reaction(item, actor, parts[max(value, 1) - 1], min(value, 1), seq)
            raise Refused("bad_value", f"{name} takes a value from 1 to {len(parts)}, or 0 to take it back")
        if rule == "external":
            raise Refused("forbidden", f"the site's own server sets {name}: clients cannot")
        raise Refused("bad_value", f"{name} takes a value from 0 to {most}: your total, not an increment")

    def given(self, item: str, kind: str, n: int) -> Reaction:
        """What makes `n` the part of a count that nobody said: of an `external` kind the number itself, of any other
        the count that the item began with. Said again it replaces what was given before.

        Raises Refused (`unknown_kind`; `bad_value` for a rating, whose parts are given one by one, and for an `n` that
        is none from 0 to MOST_GIVEN).
        """
        whole = self.shown.get(kind)
        if whole is not None and whole.parts is not None:
            raise Refused("bad_value", f"{kind} is a rating: set its parts, {', '.join(whole.parts)}")
        known = self._kinds.get(kind)
        if known is None or (kind in POLL_KINDS) != item.startswith(POLL):
            raise self._unknown(item)
        if type(n) is not int or not 0 <= n <= MOST_GIVEN:
            raise Refused("bad_value", f"{kind} can be set to an integer from 0 to {MOST_GIVEN}")
        return Reaction(item, f"{RESERVED}{'site' if known.rule == 'external' else 'start'}:{kind}", kind, n)

    def most(self, kind: str, actor: str) -> int | None:
        """The largest value that `actor` may have of a stored kind; None where the kind is not declared."""
        known = self._kinds.get(kind)
        if known is None:
            return None
        if actor.startswith(RESERVED) or known.rule == "event":
            return MOST_GIVEN
        return {"amount": known.max or 0, "external": 0}.get(known.rule, 1)

    def apply(self, said: dict[str, Said], reaction: Reaction) -> None:
        """Change `said`, what the reaction's actor says of its item by kind, as the rule of the kind wants it.

        An event must be new: whoever keeps the ids decides that. Each kind has a `seq` of its own, and a reaction
        with a smaller one changes nothing; setting a kind of a group also says 0 of the others, with the same `seq`,
        and so does taking back any part of a rating. A value of 0 stays with its `seq`, so that a late retry cannot
        bring back what was undone. A reserved actor's value is set, whatever the rule, and nothing else.
        """
        _, actor, kind, value, seq, event_id = reaction
        before = said.get(kind)
        if event_id is not None:
            said[kind] = Said(before.value + 1 if before else 1, 0)
            return
        standing = before.seq if before else 0
        if seq:
            if seq < standing:
                return
            standing = seq
        said[kind] = _make(Said, (value, standing))
        rivals = self._rivals[kind]
        if rivals and (value or kind in self._rated) and actor[:1] != RESERVED:
            for rival in rivals:
                other = said.get(rival, NOTHING)
                said[rival] = _make(Said, (0, max(other.seq, seq)))

    def _unknown(self, item: str) -> Refused:
        known, where = (POLL_KINDS, " on a poll") if item.startswith(POLL) else (self.shown, "")
        return Refused("unknown_kind", f"kind must be one of {', '.join(known)}{where}")


def _parts(kind: Kind) -> tuple[Kind, ...]:
    """The kinds that are counted for one of the file."""
    return tuple(Kind(part, "toggle", group=kind.name) for part in kind.parts) if kind.parts else (kind,)


def _most_sent(kind: Kind) -> int:
    """The largest value that a client may send of a kind that stands as sent, from 0; -1 where there is more to it."""
    return {"toggle": 1, "amount": kind.max or 0}.get(kind.rule, -1)


def parse(text: str, source: str) -> Kinds:
    """The kinds of a TOML file's text; `source` names it in errors. Raises ConfigError with line or key."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is the first; an endless number, the others
        raise ConfigError(f"{source}: not TOML: {error}") from None
    if not tables:
        raise ConfigError(f'{source}: no kinds: declare at least one, e.g. [like] with rule = "toggle"')
    shown = {name: _kind(name, table, source) for name, table in tables.items()}
    taken = {part: name for name, kind in shown.items() for part in kind.parts or ()}
    for name, kind in shown.items():
        if name in taken:
            raise ConfigError(f"{source}: [{name}]: the rating {taken[name]} has a part of that name: choose another")
        if kind.group is not None and kind.group in shown and shown[kind.group].parts:
            raise ConfigError(f"{source}: [{name}] group: {kind.group} is a rating, and a group by itself")
    kinds = Kinds(shown)
    if len(kinds) > MOST_KINDS:
        most = MOST_KINDS - len(POLL_KINDS)
        raise ConfigError(f"{source}: too many kinds: at most {most}, of which a rating counts as {STARS}")
    return kinds


def _kind(name: str, table: object, source: str) -> Kind:
    def wrong(key: str, expected: str) -> ConfigError:
        return ConfigError(f"{source}: [{name}] {key}: expected {expected}")

    if not NAME.fullmatch(name):
        raise ConfigError(f"{source}: [{name!r}]: a kind's name is 1–32 of a–z 0–9 _ -, beginning with a letter")
    if name in POLL_KINDS:
        raise ConfigError(
            f"{source}: [{name}]: the kinds option-1…10 and choice-1…10 are those of polls: choose another"
        )
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
    parts = None
    if rule == "rating":
        most = STARS
        parts = tuple(f"{name}-{stars}" for stars in range(1, STARS + 1))
        if not NAME.fullmatch(parts[-1]):
            raise ConfigError(
                f"{source}: [{name}]: a rating's name has at most 30 characters: its parts' have two more"
            )
    return Kind(name, rule, group, most, table.get("label", name.capitalize()), table.get("emoji", ""), parts)
