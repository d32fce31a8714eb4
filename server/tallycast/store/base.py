"""What a store is to the hub. hub.py and intake.py know this page and no store in particular."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from tallycast.kinds import Reaction
from tallycast.store.records import Journal, Records

if TYPE_CHECKING:
    from tallycast.store.history import History
    from tallycast.store.moderation import Moderation

VIEWERS_S = 10.0


class Snapshot(NamedTuple):
    """An item's counts as of version `v`: absolute, non-zero kinds only. v 0: never reacted to.

    Receivers share `counts` and must not change it.
    """

    item: str
    v: int
    counts: dict[str, int]


class Outcome(NamedTuple):
    """What stands after a reaction: its item's counts, and the actor's own non-zero values there by kind.

    Values of `event` kinds are not in `mine`: an event is not a thing that an actor says now.
    """

    snapshot: Snapshot
    mine: dict[str, int]


class Applied(NamedTuple):
    """A batch's result: an outcome for each of its reactions in order, and the items whose counts moved, once each.

    Reactions of one batch may share an outcome: each is answered with what stands at the end of the batch.
    """

    outcomes: list[Outcome]
    changed: list[Snapshot]


class Reading(NamedTuple):
    """Snapshots by item, for every item asked for (v 0 where there is nothing), and `mine` by (item, actor)."""

    snapshots: dict[str, Snapshot]
    mine: dict[tuple[str, str], dict[str, int]]


class Attendant(Protocol):
    """Who attends actors, and is told of what they do in other processes."""

    def elsewhere(self, actor: str) -> None:
        """Another process attends the actor, too: from now on it is to be told by announce()."""
        ...

    def said(self, actor: str, item: str | None) -> None:
        """What the actor says of `item` may have changed elsewhere; None: of any item."""
        ...


class Store(Protocol):
    """Keeps values, counts, versions and event ids. Every method raises Unavailable when it cannot do it now.

    Answers come in the order in which the store did the work: what a later answer says is never older than what an
    earlier one said.
    """

    async def apply(self, batch: Sequence[Reaction]) -> Applied:
        """Count a batch atomically and durably: all of it or, when Unavailable is raised, nothing."""
        ...

    async def read(self, items: Collection[str], pairs: Collection[tuple[str, str]]) -> Reading:
        """The counts of `items` and what the actors of `pairs`, (item, actor), say now: of the hub's own actors all, of
        others what `mine` may show."""
        ...

    def follow(self, items: Collection[str], heard: Callable[[Snapshot], None]) -> None:
        """From now on tell `heard` of these items' counts: as soon as other processes' changes of them can be heard,
        again after every time in which they could not be, and with each change.

        What this process applies itself is in Applied.changed, and may be told to `heard` as well. Returns at once;
        trouble is the store's own to overcome. Following twice is following once.
        """
        ...

    def unfollow(self, items: Collection[str]) -> None:
        """Tell nothing more of these items."""
        ...

    def attend(self, actor: str, attendant: Attendant) -> None:
        """From now on tell `attendant` of what other processes announce of the actor; never before this returns.

        An actor whom nobody attends may be attended, no other one.
        """
        ...

    def unattend(self, actor: str) -> None:
        """Tell nothing more of this actor."""
        ...

    def announce(self, actor: str, item: str) -> None:
        """Tell the other processes that attend the actor that what they say of the item may have changed.

        Called after apply(). Returns at once; trouble is the store's own to overcome.
        """
        ...

    async def tell_viewers(self, here: Mapping[str, int]) -> None:
        """So many watch each of these items in this process, until another number is told; 0 for nobody.

        To be called about once a second also when nothing has moved: the viewers of a process that is not heard of for
        VIEWERS_S no longer count. What could not be told is told again with the next call.
        """
        ...

    async def count_viewers(self, items: Collection[str]) -> dict[str, int]:
        """How many watch each of these items in all other processes; an item that is absent has none."""
        ...

    async def ping(self) -> None:
        """A round trip that proves that the store would take a reaction."""
        ...

    async def close(self) -> None:
        """Finish what was begun and let go of everything. The store is not used again."""
        ...


class OpenStore(Store, Protocol):
    """A store that a process has opened for itself, and that tells how it does.

    What is not on a reaction's way are parts of it with an interface of their own.
    """

    @property
    def records(self) -> Records: ...

    @property
    def journal(self) -> Journal: ...

    @property
    def moderation(self) -> Moderation: ...

    @property
    def history(self) -> History: ...

    def health(self) -> Mapping[str, bool]:
        """Whether each part of its work went well when it was last done. Asks nobody."""
        ...
