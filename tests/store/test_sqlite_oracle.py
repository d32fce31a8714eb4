"""The embedded store against a plain dictionary that was written from docs/protocol.md alone."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tallycast.kinds import Reaction, parse
from tallycast.store.base import Snapshot
from tallycast.store.check import check
from tallycast.store.sqlite import SqliteStore

GROUPS = {"like": "opinion", "dislike": "opinion", "meh": "opinion", "up": "vote", "down": "vote"}
KINDS = parse(
    "\n".join(f'[{kind}]\nrule = "toggle"\ngroup = "{group}"' for kind, group in GROUPS.items())
    + '\n[love]\nrule = "toggle"\n[clap]\nrule = "amount"\nmax = 5\n[share]\nrule = "event"\n[open]\nrule = "event"\n'
    '[stars]\nrule = "rating"\n[view]\nrule = "unique"\n[comments]\nrule = "external"',
    "kinds of the oracle",
)
STARS = [f"stars-{number}" for number in range(1, 6)]
ITEMS = ["a", "b", "123"]
ACTORS = ["x", "y y", '"z"']
NOON_NS = 1_790_000_000 * 10**9

who = {"item": st.sampled_from(ITEMS), "actor": st.sampled_from(ACTORS)}
toggled = st.builds(
    Reaction,
    **who,
    kind=st.sampled_from([*GROUPS, "love"]),
    value=st.integers(0, 1),
    seq=st.integers(0, 4),
    id=st.none(),
)
amounts = st.builds(Reaction, **who, kind=st.just("clap"), value=st.integers(0, 5), seq=st.integers(0, 4), id=st.none())
events = st.builds(
    Reaction,
    **who,
    kind=st.sampled_from(["share", "open"]),
    value=st.just(1),
    seq=st.just(0),
    id=st.sampled_from(["id-00001", "id-00002", "id-00003"]),
)
ratings = st.builds(
    KINDS.reaction,
    **who,
    kind=st.just("stars"),
    value=st.integers(0, 5),
    event_id=st.none(),
    seq=st.none() | st.integers(1, 4),
)
views = st.builds(Reaction, **who, kind=st.just("view"), value=st.just(1), seq=st.just(0), id=st.none())
given = st.builds(
    KINDS.given,
    st.sampled_from(ITEMS),
    st.sampled_from(["like", "share", "view", STARS[3], "comments"]),
    st.integers(0, 9),
)
batches = st.lists(toggled | amounts | events | ratings | views | given, max_size=12)


class Oracle:
    """What is said, the greatest seq that stands by item, actor and kind, and the events so far."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str, str], int] = {}
        self.seqs: dict[tuple[str, str, str], int] = {}
        self.events: set[tuple[str, str, str, str]] = set()

    def react(self, item: str, actor: str, kind: str, value: int, seq: int, event: str | None) -> None:
        if event is not None:
            self.events.add((item, actor, kind, event))
            return
        if seq and seq < self.seqs.get((item, actor, kind), 0):
            return
        said = {kind: value}
        if actor.startswith("~"):
            self.values[item, actor, kind] = value
            return
        if kind in STARS:
            said |= {other: 0 for other in STARS if other != kind}
        elif value:
            said |= {other: 0 for other, of in GROUPS.items() if of == GROUPS.get(kind) and other != kind}
        for about, number in said.items():
            self.values[item, actor, about] = number
            self.seqs[item, actor, about] = max(seq, self.seqs.get((item, actor, about), 0))

    def counts(self, item: str) -> dict[str, int]:
        said = [(kind, value) for (of, _, kind), value in self.values.items() if of == item and value]
        said += [(kind, 1) for of, _, kind, _ in self.events if of == item]
        return {kind: sum(n for k, n in said if k == kind) for kind, _ in said}

    def mine(self, item: str, actor: str) -> dict[str, int]:
        return {
            kind: n
            for (of, by, kind), n in self.values.items()
            if (of, by) == (item, actor) and n and kind in {*GROUPS, *STARS, "love", "clap"}
        }


class SqliteStoreIsADictionary(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.path = Path(self.directory.name) / "tally.db"
        self.runner = asyncio.Runner()
        self.oracle = Oracle()
        self.now_ns = NOON_NS
        self.versions = dict.fromkeys(ITEMS, 0)

    @initialize()
    def open(self) -> None:
        self.store = SqliteStore(self.path, KINDS, durability="normal", clock_ns=lambda: self.now_ns)

    @rule()
    def restart(self) -> None:
        self.runner.run(self.store.close())
        self.open()

    @rule(hours=st.integers(-10, 10))
    def set_the_clock(self, hours: int) -> None:
        self.now_ns = NOON_NS + hours * 3600 * 10**9

    @rule()
    def ping(self) -> None:
        self.runner.run(self.store.ping())

    @rule(batch=batches)
    def react(self, batch: list[Reaction]) -> None:
        before = {item: self.oracle.counts(item) for item in ITEMS}
        for reaction in batch:
            self.oracle.react(*reaction)
        applied = self.runner.run(self.store.apply(batch))
        moved = [item for item in ITEMS if self.oracle.counts(item) != before[item]]
        assert sorted(snapshot.item for snapshot in applied.changed) == sorted(moved)
        for snapshot in applied.changed:
            assert snapshot.v > self.versions[snapshot.item]
            assert snapshot.v >= self.now_ns // 1000
            self.versions[snapshot.item] = snapshot.v
        assert len(applied.outcomes) == len(batch)
        for reaction, outcome in zip(batch, applied.outcomes, strict=True):
            item, actor = reaction.item, reaction.actor
            assert outcome.snapshot == Snapshot(item, self.versions[item], self.oracle.counts(item))
            assert outcome.mine == self.oracle.mine(item, actor)

    @invariant()
    def what_is_read_is_what_was_said(self) -> None:
        pairs = [(item, actor) for item in ITEMS for actor in ACTORS]
        reading = self.runner.run(self.store.read(ITEMS, pairs))
        assert reading.snapshots == {
            item: Snapshot(item, self.versions[item], self.oracle.counts(item)) for item in ITEMS
        }
        assert reading.mine == {(item, actor): self.oracle.mine(item, actor) for item, actor in pairs}

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        report = check(f"sqlite:///{self.path}", KINDS)
        self.directory.cleanup()
        assert report.ok, str(report)


TestSqliteStoreIsADictionary = SqliteStoreIsADictionary.TestCase
TestSqliteStoreIsADictionary.settings = settings(
    max_examples=40,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
