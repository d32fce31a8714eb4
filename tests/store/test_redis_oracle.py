"""apply.lua, and what packs for it, against the rules in kinds.py: all rules at once, on a real server.

Reactions come in batches over few items, actors, ids and seqs, so that they meet; some batches come again, as after a
lost answer; parts of a batch come with calls of their own, also in the middle of an item.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

import orjson
import pytest
import redis

from filling import OPINION
from redis_servers import RedisServer
from tallycast.kinds import Kinds, Reaction, Said, parse
from tallycast.store import open_store
from tallycast.store.base import Applied
from tallycast.store.records import CHANGES
from tallycast.store.redis import batch as redis_batch
from tallycast.store.redis.keys import HEADER, Keys, make_header, parse_header, parse_record

RULES = f"""{OPINION}[joy]
rule = "toggle"
group = "mood"
[wonder]
rule = "toggle"
group = "mood"
[anger]
rule = "toggle"
group = "mood"
[love]
rule = "toggle"
[single]
rule = "toggle"
group = "of-one"
[clap]
rule = "amount"
max = 50
[share]
rule = "event"
[download]
rule = "event"
[view]
rule = "unique"
[stars]
rule = "rating"
[comments]
rule = "external"
"""
BATCHES = 120
IDS = 12
LATE = 100  # reactions, by which seqs come out of order
# What actors react in, some of each sort: most say one thing, which the script does in a short way.
OF_A_SORT = 4
TASTES = {
    "u:all": (),
    "u:voter": ("like", "dislike"),
    "u:lover": ("love",),
    "u:moody": ("joy", "wonder", "anger"),
    "u:clapper": ("clap",),
    "u:sharer": ("share",),
    "u:lone": ("single", "clap"),
    "u:fan": ("like", "download"),
    "u:viewer": ("view",),
    "u:rater": ("stars-1", "stars-2", "stars-5"),
    "u:voter-of-polls": ("option-1", "option-2", "option-10", "choice-3"),
    "~u:passer-by": ("view",),
    "~start": (),
}
MOST_GIVEN = 3_000


class Oracle:
    """What everybody says and which events were counted, by the rules in Python."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = kinds
        self.says: dict[str, dict[str, dict[str, Said]]] = {}  # by item and actor
        self.events: set[Reaction] = set()  # without seq, which says nothing of an event
        self.versions: dict[str, int] = {}

    def apply(self, batch: Sequence[Reaction]) -> set[str]:
        """Count a batch; the items whose counts are other ones then."""
        before = {reaction.item: self.counts(reaction.item) for reaction in batch}
        for reaction in batch:
            event = reaction._replace(seq=0)
            if reaction.id is None or event not in self.events:
                self.events.add(event)
                said = self.says.setdefault(reaction.item, {}).setdefault(reaction.actor, {})
                self.kinds.apply(said, reaction)
        return {item for item, counts in before.items() if counts != self.counts(item)}

    def counts(self, item: str) -> dict[str, int]:
        sums: Counter[str] = Counter()
        for said in self.says.get(item, {}).values():
            sums.update({kind: value for kind, (value, _) in said.items()})
        return {kind: n for kind, n in sums.items() if n}

    def mine(self, item: str, actor: str) -> dict[str, int]:
        said = self.says.get(item, {}).get(actor, {})
        return {kind: value for kind, (value, _) in said.items() if value and kind in self.kinds.personal}

    def judge(self, batch: Sequence[Reaction], applied: Applied, *, divided: bool) -> None:
        """Compare what the store says of a batch, which is counted here now. Where it was `divided` counts may have
        moved to and fro."""
        moved = self.apply(batch)
        changed = {snapshot.item for snapshot in applied.changed}
        assert len(applied.changed) == len(changed)
        assert changed >= moved if divided else changed == moved
        for reaction, (snapshot, mine) in zip(batch, applied.outcomes, strict=True):
            assert snapshot.item == reaction.item
            assert snapshot.counts == self.counts(reaction.item)
            assert mine == self.mine(reaction.item, reaction.actor)
            last = self.versions.get(reaction.item, 0)
            assert snapshot.v > last if reaction.item in changed else snapshot.v == last
        self.versions |= {outcome.snapshot.item: outcome.snapshot.v for outcome in applied.outcomes}

    def judge_stored(self, client: redis.Redis, key: str, item: str) -> None:
        """Compare what stands in Redis: counts, and each actor's values and seqs."""
        fields: list[bytes] = client.execute_command("HGETALL", key)  # type: ignore[no-untyped-call]
        stored = dict(zip(fields[::2], fields[1::2], strict=True))
        v, counts = parse_header(stored.pop(HEADER, make_header(0, {})))
        assert v == self.versions[item]
        assert {kind: n for kind, n in counts.items() if n} == self.counts(item)
        said = {actor.decode(): parse_record(record, list(counts)) for actor, record in stored.items()}
        expected = {
            actor: {kind: says for kind, says in by_kind.items() if says != (0, 0) and self.recorded(actor, kind)}
            for actor, by_kind in self.says.get(item, {}).items()
        }
        assert said == {actor: by_kind for actor, by_kind in expected.items() if by_kind}

    def recorded(self, actor: str, kind: str) -> bool:
        """Whether Redis keeps who said it."""
        return self.kinds[kind].rule != "unique" or actor == f"~start:{kind}"


class Crowd:
    """Makes up reactions. On one item nobody has a seq, on one everybody, on one both happens."""

    def __init__(self, kinds: Kinds, seed: int) -> None:
        self.kinds = kinds
        self.chance = random.Random(seed)
        self.now = 0

    def batch(self) -> list[Reaction]:
        chance = self.chance
        sorts = chance.choices(list(TASTES), k=chance.choice((1, 3, len(TASTES))))
        return [self._reaction(chance.choice(sorts)) for _ in range(chance.choice((1, 3, 8, 40)))]

    def _reaction(self, sort: str) -> Reaction:
        chance = self.chance
        kind = self.kinds[chance.choice(TASTES[sort] or list(self.kinds))]
        actor = f"{sort}-{chance.randrange(OF_A_SORT)}"
        item = chance.choice(("post:never", "post:always", "post:mixed"))
        if sort == "~start" or kind.rule == "external":
            return self.kinds.given(item, chance.choice(list(self.kinds.shown.keys() - {"stars"})), self._number())
        if kind.rule == "event" and chance.random() < 0.1:  # as it is imported
            return Reaction(item, actor, kind.name, self._number())
        if kind.rule == "unique":
            return Reaction(item, actor, kind.name, 1)
        if kind.rule == "event":
            return Reaction(item, actor, kind.name, 1, chance.choice((0, self.now)), f"id-{chance.randrange(IDS):08}")
        self.now += chance.randrange(3) > 0
        seq = 0
        if item == "post:always" or (item == "post:mixed" and chance.random() < 0.5):
            seq = self.now + chance.choice((0, chance.randrange(LATE)))
        return Reaction(item, actor, kind.name, chance.choice((0, 1, chance.randint(0, kind.max or 1))), seq)

    def _number(self) -> int:
        return self.chance.choice((0, 1, self.chance.randrange(MOST_GIVEN)))


@pytest.mark.parametrize("at_once", [5, redis_batch.CALL_REACTIONS])
@pytest.mark.parametrize("seed", range(4))
async def test_the_script_counts_as_the_rules_in_python_do(
    redis_single: RedisServer, seed: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_batch, "CALL_REACTIONS", at_once)
    kinds = parse(RULES, "kinds of the oracle")
    crowd, oracle = Crowd(kinds, seed), Oracle(kinds)
    prefix = f"oracle{seed}-{at_once}:"
    store = open_store(redis_single.url, kinds, prefix=prefix)
    sent: list[list[Reaction]] = []
    with redis_single.client() as client:
        client.response_callbacks.clear()
        for _ in range(BATCHES):
            again = sent and crowd.chance.random() < 0.2
            batch = crowd.chance.choice(sent[-3:]) if again else crowd.batch()
            sent.append(batch)
            oracle.judge(batch, await store.apply(batch), divided=len(batch) > at_once)
            for item in {reaction.item for reaction in batch}:
                oracle.judge_stored(client, Keys(prefix).item(item), item)
    await store.close()


async def test_what_is_set_and_taken_back_with_one_seq_still_guards_its_rival(redis_single: RedisServer) -> None:
    kinds = parse(RULES, "kinds of the oracle")
    oracle = Oracle(kinds)
    store = open_store(redis_single.url, kinds, prefix="oracle-guard:")
    first = Reaction("post:1", "u:ann", "like", 1, 5)
    for batch in (
        [first],  # so that the item has both kinds
        [first._replace(actor="u:bob"), first._replace(actor="u:bob", value=0)],
        [Reaction("post:1", "u:bob", "dislike", 1, 3)],  # too late
    ):
        oracle.judge(batch, await store.apply(batch), divided=False)
    assert oracle.mine("post:1", "u:bob") == {}
    await store.close()


async def test_all_that_moved_is_in_the_journal_of_changes(redis_single: RedisServer) -> None:
    kinds = parse(RULES, "kinds of the oracle")
    crowd = Crowd(kinds, 11)
    store = open_store(redis_single.url, kinds, prefix="oracle-changes:")
    versions: dict[str, int] = {}
    for _ in range(BATCHES):
        versions |= {item: v for item, v, _ in (await store.apply(crowd.batch())).changed}
    sums: dict[str, Counter[str]] = {item: Counter() for item in versions}
    for entry in await store.journal.after(CHANGES, "", limit=BATCHES * 10):
        for item, v, by in orjson.loads(entry.body):
            assert 0 not in by.values()
            sums[item].update(by)
            assert v <= versions[item]
    for item, snapshot in (await store.read(list(versions), [])).snapshots.items():
        assert {kind: n for kind, n in sums[item].items() if n} == snapshot.counts
    await store.close()
