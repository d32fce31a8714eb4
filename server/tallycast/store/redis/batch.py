"""Batches as arguments of scripts/apply.lua, and its answers as outcomes. Pure, no I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha1
from importlib import resources
from typing import Any, NamedTuple

import orjson
from hiredis import pack_command

from tallycast.kinds import Kinds, Reaction
from tallycast.store.base import Applied, Outcome, Snapshot
from tallycast.store.redis.keys import COUNT_BYTES, ENTRY_BYTES, Keys

SCRIPT = resources.files("tallycast.store.redis").joinpath("scripts/apply.lua").read_bytes()
SHA = sha1(SCRIPT, usedforsecurity=False).hexdigest()

CALL_REACTIONS = 125  # of one call: Redis does nothing else meanwhile, and that must stay under 5 ms
REMEMBERED = 10_000

Pair = tuple[str, str]  # item, actor


class Said:
    """The reactions of one pair in order, as the script takes them."""

    __slots__ = ("ids", "reactions")

    def __init__(self) -> None:
        self.reactions = b""
        self.ids: list[str] = []


class Call(NamedTuple):
    """One call of the script: the command on the wire, a key that tells its slot, and whom its answer is about."""

    command: bytes
    key: str
    items: list[tuple[str, list[str]]]  # with their actors


class Packer:
    """Packs the batches of a store."""

    def __init__(self, keys: Keys, kinds: Kinds, *, cluster: bool) -> None:
        self._keys = keys
        self._one_item = cluster  # all keys of a call must be of one slot
        self._numbers = {name: number for number, name in enumerate(kinds, 1)}
        rules = [
            [name, int(kind.rule == "event"), [self._numbers[rival] for rival in kinds.rivals(name)]]
            for name, kind in kinds.items()
        ]
        publish = "SPUBLISH" if cluster else "PUBLISH"
        self._settings = (orjson.dumps(rules), publish, keys.channel_prefix, len(keys.prefix) + 1)

    def calls(self, batch: Sequence[Reaction]) -> list[Call]:
        """The calls that count a batch. All that one actor says of an item is in one call, in its order."""
        items: dict[str, dict[str, Said]] = {}
        numbers = self._numbers
        for item, actor, kind, value, seq, event_id in batch:
            actors = items.get(item)
            if actors is None:
                actors = items[item] = {}
            said = actors.get(actor)
            if said is None:
                said = actors[actor] = Said()
            said.reactions += (numbers[kind] | value << 8 | seq << 40).to_bytes(ENTRY_BYTES, "little")
            if event_id is not None:
                said.ids.append(event_id)
        return [self._call(some) for some in self._divide(items)]

    def _divide(self, items: dict[str, dict[str, Said]]) -> Iterator[list[tuple[str, dict[str, Said]]]]:
        """Parts of at most CALL_REACTIONS, unless a single pair has more; of one item each where that must be."""
        part: list[tuple[str, dict[str, Said]]] = []
        room = CALL_REACTIONS
        for item, actors in items.items():
            some: dict[str, Said] = {}
            for actor, said in actors.items():
                size = len(said.reactions) // ENTRY_BYTES
                if size > room and (part or some):
                    yield [*part, (item, some)] if some else part
                    part, some, room = [], {}, CALL_REACTIONS
                some[actor] = said
                room -= size
            part.append((item, some))
            if self._one_item:
                yield part
                part, room = [], CALL_REACTIONS
        if part:
            yield part

    def _call(self, part: list[tuple[str, dict[str, Said]]]) -> Call:
        keys = [self._keys.item(item) for item, _ in part]
        sets: list[str] = []
        arguments: list[Any] = [len(keys), *self._settings]
        items = []
        for item, actors in part:
            names = list(actors)
            ids = [event_id for said in actors.values() for event_id in said.ids]
            if ids:
                sets += self._keys.events(item)
            arguments.append(len(names))
            arguments += names
            arguments += [said.reactions for said in actors.values()]
            arguments += ids
            items.append((item, names))
        command = pack_command(("EVALSHA", SHA, len(keys) + len(sets), *keys, *sets, *arguments))
        return Call(command, keys[0], items)


class Reader:
    """Takes apart what stands in Redis, kinds that are not declared left out."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds
        self._said_kinds = frozenset(name for name, kind in kinds.items() if kind.rule != "event")
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
        """The non-zero values of a record by kind, without events. Not to be changed: the answer is shared."""
        if not record or header is None:
            return {}
        names = header[8 + COUNT_BYTES * header[0] :]
        heads = (
            record[:5]
            if len(record) == ENTRY_BYTES
            else b"".join(record[at : at + 5] for at in range(0, len(record), ENTRY_BYTES))
        )
        known = self._mine.get((names, heads))
        if known is None:
            listed = names.decode().split(" ")
            said = [
                (listed[heads[at] - 1], int.from_bytes(heads[at + 1 : at + 5], "little"))
                for at in range(0, len(heads), 5)
            ]
            known = {kind: value for kind, value in said if value and kind in self._said_kinds}
            if len(self._mine) >= REMEMBERED:
                self._mine.clear()
            self._mine[names, heads] = known
        return known

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
