"""An item in memory: its newest counts, how many watch it, and the frames that tell of both, made once for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from tallycast import wire
from tallycast.store.base import Snapshot
from tallycast.veils import Veil

Write = Callable[[bytes], object]
Parcel = tuple[bytes, list[Write]]  # a frame, and to whom it is written


class Watcher(Protocol):
    """Whom the hub writes to: `stale` is None, or those of its `items` that moved while it could not be written to."""

    items: tuple[Item, ...]
    stale: set[Item] | None

    @property
    def write(self) -> Write:
        """Takes one or more whole WebSocket frames."""
        ...


class Audience(NamedTuple):
    """How to write to an item's watchers: to those who get counts alone, to those who get `viewers` too, and what is
    stale of each that cannot be written to."""

    plain: list[Write]
    curious: list[Write]
    stale: list[set[Item]]


class Item:
    """An item in memory: its newest counts, who watches it, when it was last sent. `veil`: over its counts, if any."""

    __slots__ = (
        "_audience",
        "_body",
        "_curious",
        "_curious_frame",
        "_frame",
        "_viewers",
        "dirty",
        "elsewhere",
        "loaded",
        "sent_s",
        "snapshot",
        "veil",
        "watchers",
    )

    def __init__(self, name: str, veil: Veil | None = None) -> None:
        self.snapshot = Snapshot(name, 0, {})
        self.veil = veil
        self.watchers: set[Watcher] = set()
        self.elsewhere: int | None = None  # how many watch it at other hubs; None as long as nobody here has to know
        self.loaded = False
        self.dirty = False
        self.sent_s = float("-inf")
        self._curious: set[Watcher] | None = None  # those of the watchers who want to know how many they are
        self._viewers = 0  # as they were told
        self._body: bytes | None = None
        self._frame: bytes | None = None
        self._curious_frame: bytes | None = None
        self._audience: Audience | None = None

    def move(self, snapshot: Snapshot) -> bool:
        """Take newer counts; False when they are not newer than those here."""
        self.loaded = True
        if snapshot.v <= self.snapshot.v:
            return False
        self.snapshot = snapshot
        self._body = self._frame = self._curious_frame = None
        return True

    def cover(self, veil: Veil | None) -> None:
        """Have another veil over the counts."""
        self.veil = veil
        self._body = self._frame = self._curious_frame = None

    @property
    def body(self) -> bytes:
        """wire.body() of the newest counts as far as they are for everybody, made once a version."""
        if self._body is None:
            self._body = wire.body(self.snapshot) if self.veil is None else self.veil.body(self.snapshot)
        return self._body

    def body_for(self, watcher: Watcher, mine: Mapping[str, int] | None = None) -> bytes:
        """The body with what `watcher` wants to know, where it is to be told together with what its actor says."""
        body = self.veil.body(self.snapshot, mine) if mine and self.veil is not None else self.body
        return wire.with_viewers(body, self._viewers) if self.tells(watcher) else body

    @property
    def frame(self) -> bytes:
        """The counts frame of the newest counts, made once a version."""
        if self._frame is None:
            self._frame = wire.counts(self.body)
        return self._frame

    @property
    def curious_frame(self) -> bytes:
        """The counts frame with how many watch, made once a version and number."""
        if self._curious_frame is None:
            self._curious_frame = wire.counts(wire.with_viewers(self.body, self._viewers))
        return self._curious_frame

    def frame_for(self, watcher: Watcher) -> bytes:
        """The frame with what `watcher` wants to know."""
        return self.curious_frame if self.tells(watcher) else self.frame

    @property
    def known(self) -> bool:
        """Whether all that anybody here wants to know is in memory."""
        return self.loaded and (self.elsewhere is not None or not self._curious)

    # How many watch

    @property
    def curious(self) -> bool:
        """Whether anybody wants to know how many watch."""
        return bool(self._curious)

    def tells(self, watcher: Watcher) -> bool:
        """Whether `watcher` wants to know how many watch."""
        return self._curious is not None and watcher in self._curious

    def tell_viewers(self, watcher: Watcher, *, wanted: bool) -> None:
        """From now on tell `watcher` how many watch, or no more."""
        if wanted == self.tells(watcher):
            return
        if self._curious is None:
            self._curious = set()
        if wanted:
            self._curious.add(watcher)
        else:
            self._curious.remove(watcher)
        self._audience = None

    def recount(self) -> bool:
        """Bring the number of viewers up to date; False when it was."""
        viewers = len(self.watchers) + (self.elsewhere or 0)
        if viewers == self._viewers:
            return False
        self._viewers = viewers
        self._curious_frame = None
        return True

    # Whom to write to

    @property
    def audience(self) -> Audience:
        """How to write to each watcher.

        Made once until the watchers change (see audience_changed): looking at each watcher at each frame costs 6 % of
        fan-out.
        """
        if self._audience is None:
            here = [watcher for watcher in self.watchers if watcher.stale is None]
            self._audience = Audience(
                [watcher.write for watcher in here if not self.tells(watcher)],
                [watcher.write for watcher in here if self.tells(watcher)],
                [watcher.stale for watcher in self.watchers if watcher.stale is not None],
            )
        return self._audience

    def audience_changed(self) -> None:
        """A watcher came, left, was paused or goes on."""
        self._audience = None
