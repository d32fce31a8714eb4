"""Batches as arguments of scripts/apply.lua, and its answers as outcomes. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha1
from importlib import resources
from typing import Any, NamedTuple

from hiredis import pack_command

from tallycast.kinds import POLL_KINDS, RESERVED, START, Kinds, Reaction
from tallycast.store.base import Applied, Outcome, Snapshot
from tallycast.store.records import CHANGES
from tallycast.store.redis.keys import COUNT_BYTES, ENTRY_BYTES, Keys, parse_header, parse_record

SCRIPT = resources.files("tallycast.store.redis").joinpath("scripts/apply.lua").read_bytes()
SHA = sha1(SCRIPT, usedforsecurity=False).hexdigest()

CALL_REACTIONS = 125  # of one call: Redis does nothing else meanwhile, and that must stay under 5 ms
REMEMBERED = 10_000

SPECIAL = {"event": 255, "unique": 254}  # rules in the place of a group
MANY = 255  # in the place of an only rival
VALUE = 0xFFFFFF << 8  # where a reaction has its value
SEQ = 2**56 - 1 << 32  # and its seq
MORE = 1 << 88  # in a reaction: its actor says another one
SET = 1 << 89  # in a reaction with value 0: the kind's rivals are taken back, as it was set just before, or rates
GIVEN = 1 << 90  # in a reaction: its value stands, whatever the rule is

Pair = tuple[str, str]  # item, actor


class Call(NamedTuple):
    """One call of the script: the command on the wire, a key that tells its slot, and whom its answer is about."""

    command: bytes
    key: str
    items: list[tuple[str, list[str]]]  # with their actors
    published: frozenset[str]  # those of the items that are published where their counts move


class Said:
    """What one batch says of one item: each actor's reactions in their order, the ids of the events among them, and the
    `unique` kinds.

    A reaction is a number here: its kind's, the value << 8, the seq << 32. That is how the script takes it, as bytes.
    """

    __slots__ = ("actors", "ids", "unique")

    def __init__(self, ids: dict[str, list[str]] | None = None, unique: dict[str, None] | None = None) -> None:
        self.actors: dict[str, list[int]] = {}
        self.ids: dict[str, list[str]] = {} if ids is None else ids
        self.unique: dict[str, None] = {} if unique is None else unique


class Packer:
    """Packs the batches of a store. On a cluster no script adds to the journal of changes: it is in another slot."""

    def __init__(self, keys: Keys, kinds: Kinds, *, cluster: bool) -> None:
        self._keys = keys
        self._one_item = cluster  # all keys of a call must be of one slot
        self._numbers = {name: number for number, name in enumerate(kinds, 1)}
        self._rivalled = frozenset(name for name in kinds if kinds.rivals(name))
        rivalry = [(name, kinds.rivals(name)) for name in kinds]
        with_rivals = dict.fromkeys(kinds[name].group for name in kinds if name in self._rivalled)
        groups = {group: number for number, group in enumerate(with_rivals, 1)}
        rules = {
            name: SPECIAL.get(kind.rule) or (groups[kind.group] if name in self._rivalled else 0)
            for name, kind in kinds.items()
        }
        only = {
            name: self._numbers[rivals[0]] if len(rivals) == 1 else MANY if rivals else 0 for name, rivals in rivalry
        }
        self._rated = frozenset(filter(kinds.rated, kinds))
        self._unique = frozenset(name for name, kind in kinds.items() if kind.rule == "unique")
        self._special = self._rated | frozenset(name for name, kind in kinds.items() if kind.rule in SPECIAL)
        own = [name for name in kinds if name not in POLL_KINDS]
        self._own = len(own)
        # The script goes through all names in each call: those of polls, which come last, are told where there are any.
        self._names = tuple(
            (" ".join(names), bytes(rules[name] for name in names) + bytes(only[name] for name in names))
            for names in (own, list(kinds))
        )
        self._settings = ("SPUBLISH" if cluster else "PUBLISH", keys.channel_prefix, keys.item_at)
        self._changes = () if cluster else (keys.journal(CHANGES),)

    def calls(self, batch: Sequence[Reaction], due: Callable[[str], bool], most_changes: int) -> list[Call]:
        """The calls that count a batch. All that one actor says of an item is in one call, in its order.

        An item is published by the last call on it, where it is `due`. `most_changes` are kept in their journal.
        """
        items: dict[str, Said] = {}
        numbers, rivalled, special, own = self._numbers, self._rivalled, self._special, self._own
        polls, reserved = False, RESERVED
        for item, actor, kind, value, seq, event_id in batch:
            said = items.get(item)
            if said is None:
                said = items[item] = Said()
            number = numbers[kind]
            if number > own:
                polls = True
            reaction = number | value << 8 | seq << 32
            alone = event_id is not None
            if event_id is None and (kind in special or actor[0] == reserved):
                if self._is_given(actor, kind):
                    reaction |= GIVEN
                    alone = True
                elif kind in self._unique:
                    said.unique[kind] = None
                elif not value:
                    reaction |= SET
            before = said.actors.get(actor)
            if before is None:
                said.actors[actor] = [reaction]
            elif alone:
                before.append(reaction)
            else:
                _say(before, reaction, rivalled=kind in rivalled)
            if event_id is not None:
                said.ids.setdefault(actor, []).append(event_id)
        parts = list(self._divide(items))
        last = {item: number for number, part in enumerate(parts) for item, _ in part}
        settings = (*self._names[polls], *self._settings, most_changes if self._changes else 0)
        return [
            self._call(part, settings, frozenset(item for item, _ in part if last[item] == number and due(item)))
            for number, part in enumerate(parts)
        ]

    def _is_given(self, actor: str, kind: str) -> bool:
        """Whether a reaction without an event's id says what the value is, whatever the rule: one of an `event` kind
        that is imported, or of a reserved actor, unless that is somebody without identity who was here."""
        if kind in self._unique:
            return actor.startswith(START)
        return actor.startswith(RESERVED) or kind not in self._rated

    def _divide(self, items: dict[str, Said]) -> Iterator[list[tuple[str, Said]]]:
        """Parts of at most CALL_REACTIONS, unless a single pair has more; of one item each where that must be."""
        part: list[tuple[str, Said]] = []
        room = CALL_REACTIONS
        for item, said in items.items():
            some = Said(said.ids, said.unique)
            for actor, reactions in said.actors.items():
                if len(reactions) > room and (part or some.actors):
                    yield [*part, (item, some)] if some.actors else part
                    part, some, room = [], Said(said.ids, said.unique), CALL_REACTIONS
                some.actors[actor] = reactions
                room -= len(reactions)
            part.append((item, some))
            if self._one_item:
                yield part
                part, room = [], CALL_REACTIONS
        if part:
            yield part

    def _call(self, part: list[tuple[str, Said]], settings: tuple[Any, ...], published: frozenset[str]) -> Call:
        keys = [self._keys.item(item) for item, _ in part]
        sets: list[str] = []
        logs: list[str] = []
        arguments: list[Any] = [len(keys), *settings]
        items = []
        for item, said in part:
            actors = list(said.actors)
            head = (item in published) | len(actors) << 8
            arguments.append(head.to_bytes(3, "little") + _bytes_of(said.actors.values()))
            arguments += actors
            ids = [event_id for actor in actors for event_id in said.ids.get(actor, ())] if said.ids else []
            if ids:
                sets += self._keys.events(item)
                arguments += ids
            if said.unique:
                logs += [self._keys.people(item, kind) for kind in said.unique]
            items.append((item, actors))
        named = (*keys, *sets, *logs, *self._changes)
        command = pack_command(("EVALSHA", SHA, len(named), *named, *arguments))
        return Call(command, keys[0], items, published)


def _say(before: list[int], reaction: int, *, rivalled: bool) -> None:
    """Put a reaction behind others of its pair, of which those go that make no difference any more.

    That is so where the one before is of the same kind, and the new one stands wherever that one did: both have no
    seq, or a seq that is not smaller. That a kind was set has an effect on its rivals which taking it back does not
    undo, and which has that seq.
    """
    while before:
        last = before[-1]
        if (last ^ reaction) & 0xFF:
            break
        seq = last & SEQ
        if seq != reaction & SEQ and not 0 < seq < reaction & SEQ:
            break
        if rivalled and last & (VALUE | SET) and not reaction & (VALUE | SET):
            if seq != reaction & SEQ:
                break
            reaction |= SET
        before.pop()
    before.append(reaction)


def _bytes_of(reactions: Iterable[list[int]]) -> bytes:
    """The reactions of some actors as the script takes them."""
    return b"".join(
        [
            reaction.to_bytes(ENTRY_BYTES, "little")
            for its in reactions
            for reaction in (its if len(its) == 1 else [*(some | MORE for some in its[:-1]), its[-1]])
        ]
    )


class Reader:
    """Takes apart what stands in Redis, kinds that are not declared left out."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._personal = kinds.personal
        self._declared: dict[bytes, list[str | None]] = {}  # by the names in the header; None where it is not
        self._mine: dict[tuple[bytes, bytes], dict[str, int]] = {}  # by the names in the header and one entry's head

    def snapshot(self, item: str, header: bytes | None) -> Snapshot:
        """The item as its header says; v 0 without one."""
        if header is None:
            return Snapshot(item, 0, {})
        counts_end = 8 + COUNT_BYTES * header[0]
        names = header[counts_end:]
        declared = self._declared.get(names)
        if declared is None:
            if len(self._declared) >= REMEMBERED:
                self._declared.clear()
            declared = [name if name in self._kinds else None for name in names.decode().split(" ")]
            self._declared[names] = declared
        counts = {}
        at = 8
        for kind in declared if counts_end > 8 else ():
            n = int.from_bytes(header[at : at + COUNT_BYTES], "little")
            at += COUNT_BYTES
            if n and kind is not None:
                counts[kind] = n
        return Snapshot(item, int.from_bytes(header[1:8], "little"), counts)

    def mine(self, header: bytes | None, record: bytes | None) -> dict[str, int]:
        """The non-zero values of a record by kind, those alone that are personal. Not to be changed: it is shared."""
        if not record or header is None:
            return {}
        names = header[8 + COUNT_BYTES * header[0] :]
        heads = (
            record[:4]
            if len(record) == ENTRY_BYTES
            else b"".join(record[at : at + 4] for at in range(0, len(record), ENTRY_BYTES))
        )
        known = self._mine.get((names, heads))
        if known is None:
            listed = names.decode().split(" ")
            said = [
                (listed[heads[at] - 1], int.from_bytes(heads[at + 1 : at + 4], "little"))
                for at in range(0, len(heads), 4)
            ]
            known = {kind: value for kind, value in said if value and kind in self._personal}
            if len(self._mine) >= REMEMBERED:
                self._mine.clear()
            self._mine[names, heads] = known
        return known

    def given(self, header: bytes | None, record: bytes | None) -> dict[str, int]:
        """The non-zero values of a reserved actor's record by kind, of whatever rule."""
        if not record or header is None:
            return {}
        said = parse_record(record, list(parse_header(header)[1]))
        return {kind: value for kind, (value, _) in said.items() if value and kind in self._kinds}

    def applied(
        self, batch: Sequence[Reaction], calls: Sequence[Call], answers: Sequence[list[Any]], *, again: bool
    ) -> Applied:
        """The outcomes of a batch. `again`: some call was sent twice, and the lost answer may have told what moved."""
        headers: dict[str, bytes | None] = {}
        moved: dict[str, None] = {}
        outcomes: dict[Pair, Outcome] = {}
        records: list[tuple[str, bytes | None, list[str], list[bytes]]] = []
        for call, answer in zip(calls, answers, strict=True):
            at = 0
            for item, actors in call.items:
                header, changed = answer[at], answer[at + 1]
                at += 2
                if changed or again:
                    moved[item] = None
                headers[item] = _newer(headers[item], header) if item in headers else header
                records.append((item, header, actors, answer[at : at + len(actors)]))
                at += len(actors)
        snapshots = {item: self.snapshot(item, header) for item, header in headers.items()}
        mine = self.mine
        for item, header, actors, its in records:
            snapshot = snapshots[item]
            for actor, record in zip(actors, its, strict=True):
                outcomes[item, actor] = Outcome(snapshot, mine(header, record))
        return Applied([outcomes[reaction[:2]] for reaction in batch], [snapshots[item] for item in moved])


def _newer(one: bytes | None, other: bytes | None) -> bytes | None:
    """The header of the greater version: of two calls on one item, not always the later one was counted last."""
    if one is None or other is None:
        return one or other
    return one if one[7:0:-1] > other[7:0:-1] else other
