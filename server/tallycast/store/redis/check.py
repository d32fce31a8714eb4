"""Proof that the counts of a Redis store are right, and their repair: what `tallycast check` does there."""

from __future__ import annotations

import asyncio
import struct
import time
from collections import Counter
from collections.abc import Collection, Sequence
from importlib import resources
from typing import Any

from redis.asyncio import RedisCluster

from tallycast.kinds import Kinds, Said
from tallycast.store.check import Report, within_rules
from tallycast.store.redis import scan
from tallycast.store.redis.keys import ENTRY_BYTES, HEADER, make_header, make_record, parse_header, parse_record

LOOKS = 5  # at an item that changes meanwhile
FIXES_A_CALL = 200

REPAIR = resources.files("tallycast.store.redis").joinpath("scripts/repair.lua").read_text("utf-8")


def check(url: str, kinds: Kinds | None = None, *, prefix: str, repair: bool = False) -> Report:
    """Look through the whole store at `url` for counts that are not the sum of their values, items without a version,
    values outside their kind's rule (when `kinds` is given), and keys that hold something else.

    It walks through the keys in short steps (SCAN) and may do so beside running hubs, also with `repair`: an item is
    put right in one step, unless it changed since it was looked at, and then looked at again. Values are brought into
    the rule, counts set to the sums, versions raised, and hubs told. Nothing is repaired in a store that is damaged
    somewhere. Raises ConfigError.
    """
    return asyncio.run(_check(url, kinds, prefix, repair=repair))


async def _check(url: str, kinds: Kinds | None, prefix: str, *, repair: bool) -> Report:
    async with scan.opened(url, prefix, purpose="check") as store:
        report = await look_through(store, kinds)
        if repair and report.found and not report.damaged:
            report = await look_through(store, kinds, repair=True)
        return report


async def look_through(store: scan.Opened, kinds: Kinds | None, *, repair: bool = False) -> Report:
    """The report of check() on a store that is open already."""
    report = Report()
    async for names in scan.items(store):
        found_sets = await scan.events(store, names)
        for name, _, size in found_sets:
            if isinstance(size, Exception):
                _note_damage(report, f"{name}: the key of its event ids holds something else")
            else:
                report.events += size
        report.events -= await _in_both(store, found_sets)
        async for found in scan.hashes(store, names):
            await _check_item(store, found, kinds, report, repair=repair)
    report.repaired = repair and report.found > 0 and not report.damaged and not report.busy
    return report


async def _in_both(store: scan.Opened, found: Sequence[tuple[str, str, Any]]) -> int:
    """How many event ids of these sets stand in those of even and of odd days alike: on a cluster a day's first one."""
    if not isinstance(store.client, RedisCluster):
        return 0
    sets: dict[str, list[tuple[int, str]]] = {}
    for name, key, size in found:
        if not isinstance(size, Exception):
            sets.setdefault(name, []).append((size, key))
    number = 0
    for both in sets.values():
        if len(both) == 2:
            (_, smaller), (_, larger) = sorted(both)
            number += await scan.common(store, smaller, larger)
    return number


async def _check_item(
    store: scan.Opened, found: scan.Hash, kinds: Kinds | None, report: Report, *, repair: bool
) -> None:
    report.items += 1
    try:
        look = await _look(store, found, kinds)
        if look is not None:
            report.values += look.values
            for finding in look.findings:
                report.add(finding)
            if repair:
                look = await _put_right(store, look, kinds)
        report.busy += look is None
    except Unreadable as error:
        _note_damage(report, f"{found.item}: {error}")


def _note_damage(report: Report, finding: str) -> None:
    report.damaged = True
    report.add(finding)


class Unreadable(Exception):
    """What is stored is not what a hub stores."""


class Look:
    """An item as it was found, what is wrong with it and how it should be."""

    def __init__(self, item: str, header: bytes | None, kinds: Kinds | None) -> None:
        self.item = item
        self.header = header or b""
        self.values = 0
        self.findings: list[str] = []
        self.fixes: list[tuple[bytes, bytes, bytes]] = []  # actor, its record as found and as it should be
        self._kinds = kinds
        self._estimated = {name for name, kind in (kinds or {}).items() if kind.rule == "unique"}  # no sum of values
        self._found: Counter[str] = Counter()
        self._right: Counter[str] = Counter()
        self.v, self._counts = read_header(header)
        self._names = list(self._counts)

    def add(self, page: scan.Page) -> None:
        """Look at some actors' records."""
        for actor, record in page.items():
            if actor != HEADER:
                self._add(actor, record)

    def _add(self, actor: bytes, record: bytes) -> None:
        said = said_in(record, self._names)
        self.values += len(said)
        values = {kind: value for kind, (value, _) in said.items()}
        right = within_rules(actor.decode("ascii", "replace"), values, said, self._kinds)
        for kind, (value, _) in said.items():
            self._found[kind] += value
            self._right[kind] += right[kind]
            if value != right[kind]:
                self.findings.append(
                    f"{self.item}: {actor.decode('ascii', 'replace')} says {kind} {value},"
                    f" which breaks the rule of its kind: should be {right[kind]}"
                )
        if any(value != right[kind] for kind, (value, _) in said.items()):
            should_be = {kind: Said(right[kind], seq) for kind, (_, seq) in said.items()}
            self.fixes.append((actor, record, make_record(should_be, self._names)))

    def undeclared(self) -> list[str]:
        """Kinds of which the counts are not the sums, and nobody knows whether they should be."""
        return [kind for kind, n in self._counts.items() if n != self._found[kind] and kind not in (self._kinds or ())]

    def close(self, estimated: Collection[str]) -> None:
        """All records were looked at: now the counts. Those of `estimated` kinds, and of all that are `unique`, may be
        any."""
        self._estimated |= set(estimated)
        for kind, n in sorted(self._counts.items()):
            if kind not in self._estimated and n != self._found[kind]:
                self.findings.append(f"{self.item}: {kind} counts {n}, but the values make {self._found[kind]}")
        if any(self._counts.values()) and self.v <= 0:
            self.findings.append(f"{self.item}: is counted but has no version")

    def counts(self) -> dict[str, int]:
        """The counts as they should be, 0 included."""
        return {kind: n if kind in self._estimated else self._right[kind] for kind, n in self._counts.items()}


def read_header(header: bytes | None) -> tuple[int, dict[str, int]]:
    """parse_header() of what may be damaged. Raises Unreadable."""
    try:
        return parse_header(header or b"")
    except (ValueError, struct.error):
        raise Unreadable("its header is missing or cannot be read") from None


def said_in(record: bytes, names: list[str]) -> dict[str, Said]:
    """parse_record() of what may be damaged. `names` are those of the header in its order. Raises Unreadable."""
    numbers = record[::ENTRY_BYTES] + record[ENTRY_BYTES - 1 :: ENTRY_BYTES].replace(b"\0", b"")
    if len(record) % ENTRY_BYTES or len(set(numbers)) < len(numbers) or not all(0 < n <= len(names) for n in numbers):
        raise Unreadable("what an actor says cannot be read")
    return parse_record(record, names)


async def _look(store: scan.Opened, found: scan.Hash, kinds: Kinds | None) -> Look | None:
    """A look at an item, None where it changes too fast. Raises Unreadable."""
    if found.wrong:
        raise Unreadable(found.wrong)
    if found.whole is not None:
        look = Look(found.item, found.whole.get(HEADER), kinds)
        look.add(found.whole)
        look.close(await scan.estimated(store, found.item, look.undeclared()))
        return look
    # What was read in many steps is not of one moment: what is wrong in it is believed when it is seen twice.
    before: list[str] | None = None
    for _ in range(LOOKS):
        header = await scan.header(store, found.item)
        look = Look(found.item, header, kinds)
        async for page in scan.pages(store, found.item):
            look.add(page)
        look.close(await scan.estimated(store, found.item, look.undeclared()))
        if await scan.header(store, found.item) == header:
            if not look.findings or look.findings == before:
                return look
            before = look.findings
    return None


async def _put_right(store: scan.Opened, look: Look, kinds: Kinds | None) -> Look | None:
    """Repair an item; the look at it when it was right, None where it changes too fast. Raises Unreadable."""
    for _ in range(LOOKS):
        if not look.findings or await _repaired(store, look):
            return look
        async for found in scan.hashes(store, [look.item]):
            again = await _look(store, found, kinds)
            if again is None:
                return None
            look = again
    return None


async def _repaired(store: scan.Opened, look: Look) -> bool:
    """Set everything to what it should be; False when something had changed."""
    counts = look.counts()
    v = max(look.v + 1, time.time_ns() // 1000)
    publish = "SPUBLISH" if isinstance(store.client, RedisCluster) else "PUBLISH"
    last = max(len(look.fixes) - 1, 0) // FIXES_A_CALL * FIXES_A_CALL
    for at in range(0, last + 1, FIXES_A_CALL):
        telling: tuple[Any, ...] = (look.header, "", "")  # the counts come last, when all values are right
        if at == last:
            telling = (make_header(v, counts), publish, store.keys.channel(look.item))
        fixes = [part for fix in look.fixes[at : at + FIXES_A_CALL] for part in fix]
        done = await store.client.eval(REPAIR, 1, store.keys.item(look.item), look.header, *telling, *fixes)
        if not done:
            return False
    return True
