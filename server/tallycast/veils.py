"""How much of a poll's counts the public may see: whatever encodes counts for it asks here. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from tallycast import wire
from tallycast.store.base import Snapshot


class Veil(Enum):
    """What lies over the counts of an item."""

    HIDDEN = "hidden"  # nobody sees them
    VOTERS = "voters"  # whoever says something of the item sees them, in what is told to them alone
    LIFTED = "lifted"  # everybody does

    def shows(self, mine: Mapping[str, int] | None = None) -> bool:
        """Whether the counts are for somebody who says `mine` of the item; None: for nobody in particular."""
        return self is Veil.LIFTED or (self is Veil.VOTERS and bool(mine))

    def body(self, snapshot: Snapshot, mine: Mapping[str, int] | None = None) -> bytes:
        """wire.body() as far as it is for somebody who says `mine`, else for everybody."""
        if self.shows(mine):
            return wire.body(snapshot._replace(v=version(snapshot)))
        return wire.hidden(snapshot)


def version(snapshot: Snapshot) -> int:
    """The version that is told with counts that may be seen: one more than the store's, which is told without them.

    So what is shown at the end is newer than what was hidden, for every client, although nobody said anything since.
    """
    return snapshot.v + 1 if snapshot.v else 0
