"""What hubs share besides counts: small documents, and journals of what happened. Never on a reaction's way."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, NamedTuple, Protocol

ANY: Literal["any"] = "any"  # put or delete whatever stands there now
CHANGES = "changes"  # the journal that the store itself keeps of all counts that moved
MOST_CHANGES = 1_000_000  # entries of it; older ones go

Expected = bytes | None | Literal["any"]


class Records(Protocol):
    """Documents by space (`keys`, `polls`, …) and key, for what a site has hundreds of, not millions.

    Every method raises Unavailable when the store cannot do it now; then nothing has changed.
    """

    async def get(self, space: str, key: str) -> bytes | None:
        """The document, None where there is none."""
        ...

    async def all(self, space: str) -> dict[str, bytes]:
        """All documents of a space by key, in the order of their keys."""
        ...

    async def put(self, space: str, key: str, body: bytes, expected: Expected) -> bool:
        """Write a document, durably, if `expected` is what stands there now: None for nothing, ANY for whatever.

        False: something else stands there, and nothing was written. So of several hubs that try the same step one does.
        """
        ...

    async def delete(self, space: str, key: str, expected: Expected) -> bool:
        """Take a document away if `expected` is what stands there, which is not None. False: nothing was done."""
        ...

    async def revisions(self, spaces: Collection[str]) -> dict[str, int]:
        """For each space a number that grows with every change in it, 0 where there never was any. Cheap."""
        ...


class Entry(NamedTuple):
    """One entry of a journal. `id` is the store's own, made of digits and perhaps a hyphen; `at_ms` since 1970."""

    id: str
    at_ms: int
    body: bytes


class Journal(Protocol):
    """Lists to which is only added, by name (`audit`, `changes`, …). What is over `most` goes, the oldest first.

    The body of an entry of CHANGES is JSON, `[[item, v, {kind: by}], …]`: items whose counts moved in one step of the
    store, the version that came of it, and by how much each kind moved, never 0. On a cluster an entry may be about a
    few steps, and an item be in it more than once. Methods raise Unavailable.
    """

    async def append(self, name: str, body: bytes, *, most: int) -> str:
        """Add an entry, durably; its id, which is after those of all entries before it."""
        ...

    async def after(self, name: str, id: str, *, limit: int) -> list[Entry]:
        """The oldest entries that came after the one with that id, in order; "" for the beginning."""
        ...

    async def newest(self, name: str, *, before: str = "", limit: int) -> list[Entry]:
        """The newest entries, newest first, of those before the one with that id where it is given."""
        ...
