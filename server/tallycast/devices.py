"""The connections of each person: what somebody says on one of them is told to the others.

Nearly everybody has one connection. Such a person stands in `Devices.alone`, and one look there is all that a reaction
of theirs costs. What is to be told is state, as counts are: the newest values of an actor on an item, for those
connections that do not have them yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence, Set
from functools import partial

from tallycast import wire
from tallycast.errors import Unavailable
from tallycast.items import Item, Parcel, Watcher
from tallycast.kinds import RESERVED
from tallycast.store.base import Reading, Store

AGAIN_S = 0.5  # after a reading that failed

ReadDone = Callable[[Reading | Unavailable], None]
ReadThen = Callable[[Sequence[str], str | None, ReadDone], None]


class Person:
    """Somebody of whom more is to be known than their only connection: they have several, or some at other hubs, or
    are yet to be told something."""

    __slots__ = ("elsewhere", "waiting", "watchers")

    def __init__(self, watchers: set[Watcher]) -> None:
        self.watchers = watchers
        self.elsewhere = False
        self.waiting = 0  # items of which there is something to tell


class Said:
    """What an actor now says of an item, and which of their connections are to be told."""

    __slots__ = ("mine", "to")

    def __init__(self, mine: dict[str, int]) -> None:
        self.mine = mine
        self.to: set[Watcher] = set()


class Devices:
    """Knows whose each connection is. It is the store's Attendant.

    `items` are those in memory, `read_then` is the hub's, `wake` is called when there may be something to take().
    """

    def __init__(self, store: Store, items: dict[str, Item], *, read_then: ReadThen, wake: Callable[[], None]) -> None:
        self.alone: dict[str, Watcher] = {}  # by actor: the only connection that they have anywhere, with all told
        self._several: dict[str, Person] = {}  # all others
        self._said: dict[tuple[Item, str], Said] = {}
        self._behind: dict[Watcher, dict[Item, str]] = {}  # what could not be told to whom, with the actor
        self._unread: dict[tuple[str, str], None] = {}  # actors and items that are to be read, a moment from now
        self._store = store
        self._items = items
        self._read_then = read_then
        self._wake = wake

    # Whose connections

    def join(self, actor: str, watcher: Watcher) -> None:
        """`watcher` is a connection of `actor` from now on."""
        if actor in self.alone or actor in self._several:
            self._person(actor).watchers.add(watcher)
        else:
            self.alone[actor] = watcher
            self._store.attend(actor, self)

    def leave(self, actor: str, watcher: Watcher) -> None:
        """`watcher`, which had joined, is that no more."""
        self._behind.pop(watcher, None)
        person = self._several.get(actor)
        if person is None:
            del self.alone[actor]
            self._store.unattend(actor)
            return
        person.watchers.remove(watcher)
        for pair in [pair for pair in self._said if pair[1] == actor] if person.waiting else ():
            self._said[pair].to.discard(watcher)
            if not person.watchers:
                del self._said[pair]
        if person.watchers:
            self._settle(actor, person)
        else:
            del self._several[actor]
            self._store.unattend(actor)

    def _person(self, actor: str) -> Person:
        """The actor, who has a connection here, no longer as one who is alone."""
        person = self._several.get(actor)
        if person is None:
            person = self._several[actor] = Person({self.alone.pop(actor)})
        return person

    def _settle(self, actor: str, person: Person) -> None:
        """Let the actor be alone again where that is so."""
        if len(person.watchers) == 1 and not person.elsewhere and not person.waiting:
            del self._several[actor]
            (self.alone[actor],) = person.watchers

    def _connections(self, actor: str) -> Set[Watcher]:
        person = self._several.get(actor)
        if person is not None:
            return person.watchers
        only = self.alone.get(actor)
        return {only} if only is not None else frozenset()

    # What the store tells as an Attendant

    def elsewhere(self, actor: str) -> None:
        """The actor has connections at other hubs, too."""
        if actor in self.alone or actor in self._several:
            self._person(actor).elsewhere = True

    def said(self, actor: str, item: str | None) -> None:
        """The actor said something of `item` at another hub, or of anything."""
        items = {its for watcher in self._connections(actor) for its in watcher.items}
        self._read_now(actor, [name for its in items if item in (None, name := its.snapshot.item)])

    # What is said

    def say(self, actor: str, item: str, mine: dict[str, int], answered: Collection[object] = ()) -> None:
        """`actor` now says `mine` of an item. Whoever was `answered` knows it."""
        self._note(actor, item, mine, answered)
        if self._may_be_elsewhere(actor):
            self._store.announce(actor, item)

    def doubtful(self, actor: str, item: str) -> None:
        """Nobody knows whether what `actor` said of an item was counted."""
        self._read_later(actor, (item,))
        if self._may_be_elsewhere(actor):
            self._store.announce(actor, item)

    def _may_be_elsewhere(self, actor: str) -> bool:
        person = self._several.get(actor)
        if person is not None:
            return person.elsewhere
        return actor not in self.alone and actor[:1] != RESERVED  # as which nobody connects

    def _note(self, actor: str, name: str, mine: dict[str, int], answered: Collection[object] = ()) -> None:
        item = self._items.get(name)
        if item is None or not item.watchers:
            return
        to = {watcher for watcher in self._connections(actor) if watcher in item.watchers and watcher not in answered}
        said = self._said.get((item, actor))
        if said is None:
            if not to:
                return
            said = self._said[item, actor] = Said(mine)
            self._person(actor).waiting += 1
        said.mine = mine
        said.to.difference_update(answered)
        said.to.update(to)

    def learn(self, pairs: Set[tuple[str, str]], reading: Reading) -> None:
        """The store was asked for these pairs: what is still to be told must not be older."""
        for (item, actor), said in self._said.items():
            pair = item.snapshot.item, actor
            if pair in pairs:
                said.mine = reading.mine.get(pair, {})

    def _read_now(self, actor: str, items: Sequence[str]) -> None:
        """Ask the store what `actor` says of these items, and tell it to all who watch them."""
        if items:
            self._read_then(items, actor, partial(self._read, actor, items))

    def _read(self, actor: str, items: Sequence[str], result: Reading | Unavailable) -> None:
        if isinstance(result, Unavailable):
            self._read_later(actor, items)
            return
        for item in items:
            self._note(actor, item, result.mine.get((item, actor), {}))
        self._wake()

    def _read_later(self, actor: str, items: Sequence[str]) -> None:
        if not self._unread:
            asyncio.get_running_loop().call_later(AGAIN_S, self._read_unread)
        self._unread.update(((actor, item), None) for item in items)

    def _read_unread(self) -> None:
        unread, self._unread = self._unread, {}
        for actor, item in unread:
            if self._connections(actor):
                self._read_now(actor, (item,))

    # What is told

    @property
    def waiting(self) -> bool:
        """Whether there is anything to take()."""
        return bool(self._said)

    def take(self, items: Collection[Item] | None = None) -> tuple[list[Parcel], list[Item]]:
        """What is to be told of `items`, or of all, as counts frames that carry `mine`; and which items it is of."""
        parcels: list[Parcel] = []
        taken: list[Item] = []
        if not self._said:
            return parcels, taken
        chosen = None if items is None else frozenset(items)
        for pair in [pair for pair in self._said if chosen is None or pair[0] in chosen]:
            item, actor = pair
            said = self._said.pop(pair)
            person = self._several[actor]
            person.waiting -= 1
            self._settle(actor, person)
            frames: dict[bytes, Parcel] = {}
            for watcher in said.to & item.watchers:
                if watcher.stale is not None:
                    self._behind.setdefault(watcher, {})[item] = actor
                elif item.loaded:  # else a snapshot is on its way, which says it
                    body = item.body_for(watcher, said.mine)
                    if body not in frames:
                        frames[body] = wire.counts(wire.with_mine(body, said.mine)), []
                    frames[body][1].append(watcher.write)
            parcels += frames.values()
            taken.append(item)
        return parcels, taken

    def resume(self, watcher: Watcher) -> None:
        """`watcher` can be written to again."""
        behind = self._behind.pop(watcher, None)
        for item, actor in behind.items() if behind else ():
            self._read_now(actor, (item.snapshot.item,))
