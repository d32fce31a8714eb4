"""kill -9 in the midst of load: what was acknowledged is there, and whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from places import sums
from tallycast.kinds import parse
from tallycast.store.check import check
from tallycast.store.sqlite import SqliteStore

CHILD = Path(__file__).with_name("hammered_child.py")
KINDS = parse(
    '[love]\nrule = "toggle"\n[clap]\nrule = "amount"\nmax = 1000000\n[share]\nrule = "event"', "kinds of the child"
)


def load_and_kill(path: Path, first: int, enough: int) -> int:
    """The last batch that was acknowledged before the child was killed, after at least `enough` of them."""
    with subprocess.Popen([sys.executable, CHILD, path, str(first)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        try:
            for _ in range(enough):
                assert child.stdout.readline(), "the child ended by itself"
        finally:
            child.kill()
        rest = child.stdout.read().split("\n")[:-1]  # what follows the last newline was cut off
    return int(rest[-1]) if rest else first + enough - 1


async def test_after_kill_9_every_acknowledged_reaction_is_there_and_no_batch_is_there_in_part(tmp_path: Path) -> None:
    path = tmp_path / "tally.db"
    first = 1
    for enough in (7, 33, 90):
        last = load_and_kill(path, first, enough)
        assert last >= first + enough - 1
        report = check(f"sqlite:///{path}", KINDS)
        assert report.ok, str(report)

        store = SqliteStore(path, KINDS)
        begun = range(1, last + 6)
        pairs = [(f"post:{number % 7}", f"u:{number}:{n}") for number in begun for n in range(10)]
        reading = await store.read(["post:all", *(f"post:{n}" for n in range(7))], [*pairs, ("post:all", "u:old")])
        journal = (await sums(store)).counts
        await store.close()
        assert journal == {item: snapshot.counts for item, snapshot in reading.snapshots.items() if snapshot.v}
        loves = [
            sum(reading.mine[pair].get("love", 0) for pair in pairs[at : at + 10]) for at in range(0, len(pairs), 10)
        ]
        present = loves.count(10)
        assert present >= last
        assert loves == [10] * present + [0] * (len(begun) - present)
        assert reading.mine["post:all", "u:old"] == {"clap": present}
        for item, snapshot in reading.snapshots.items():
            if item != "post:all":
                batches = sum(number % 7 == int(item[5:]) for number in range(1, present + 1))
                assert snapshot.counts == ({"love": 10 * batches, "share": 10 * batches} if batches else {})
        first = present + 1
