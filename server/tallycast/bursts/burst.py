"""A burst and those who are marked for it, as documents that all hubs share."""

from __future__ import annotations

import hashlib
from base64 import b32encode
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import orjson

from tallycast.kinds import Said

SPACE = "bursts"

Values = Mapping[str, Mapping[str, Said]]  # by actor and kind
State = Literal["removing", "removed", "putting_back"]


class Removal(NamedTuple):
    """What an administrator did about a burst: how far it is, and by kind what was taken out of the counts."""

    state: State
    by: str
    at: float
    taken: dict[str, int]
    actors: int


class Burst(NamedTuple):
    """A burst on one item. Times are Unix times in seconds; `rate` and `usual` are people a minute.

    `networks` are hashes under a key of the day on which they came; `marked` and `kinds` are added up over all hubs.
    """

    item: str
    begun_at: float
    last_at: float
    ended_at: float | None
    rate: float
    usual: float
    fresh: float
    networks: list[str]
    marked: int = 0
    kinds: Mapping[str, int] = {}
    removal: Removal | None = None

    @property
    def open(self) -> bool:
        """Whether it goes on."""
        return self.ended_at is None

    def public(self, id: str) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "id": id,
            "item": self.item,
            "state": "open" if self.open else "over",
            "begun_at": self.begun_at,
            "last_at": self.last_at,
            "rate": round(self.rate, 1),
            "usual": round(self.usual, 1),
            "fresh": round(self.fresh, 3),
            "networks": len(self.networks),
            "marked": self.marked,
            "kinds": dict(self.kinds),
            "removal": self.removal._asdict() if self.removal else None,
        }


class Chunk(NamedTuple):
    """Some of those who are marked, and what was taken from them.

    `taking` says that it is being taken: `taken` is then what they said just before, in case nobody comes back to tell.
    """

    actors: list[str]
    state: Literal["marked", "taking", "taken"] = "marked"
    taken: Mapping[str, Mapping[str, Said]] = {}

    def having(self, taken: Values) -> Chunk:
        """The chunk when this was taken, of which it is told what its actors said and nobody else."""
        actors = {*self.actors}
        return Chunk(self.actors, "taken", {actor: said for actor, said in taken.items() if actor in actors})

    def without(self, gone: str) -> Chunk:
        """The chunk when it no longer knows this actor."""
        return self._replace(
            actors=[actor for actor in self.actors if actor != gone],
            taken={actor: said for actor, said in self.taken.items() if actor != gone},
        )


def load_burst(body: bytes) -> Burst:
    """A document of the space `bursts`."""
    document = orjson.loads(body)
    removal = document.pop("removal")
    return Burst(**document, removal=Removal(**removal) if removal else None)


def dump_burst(burst: Burst) -> bytes:
    """The document of a burst."""
    removal = burst.removal._asdict() if burst.removal else None
    return orjson.dumps(burst._asdict() | {"removal": removal})


def load_chunk(body: bytes) -> Chunk:
    """A document of a burst's own space."""
    actors, state, taken = orjson.loads(body)
    return Chunk(
        actors,
        state,
        {actor: {kind: Said(*said) for kind, said in by_kind.items()} for actor, by_kind in taken.items()},
    )


def dump_chunk(chunk: Chunk) -> bytes:
    """The document of a chunk."""
    taken = {actor: {kind: [*said] for kind, said in by_kind.items()} for actor, by_kind in chunk.taken.items()}
    return orjson.dumps([chunk.actors, chunk.state, taken])


def space_of(id: str) -> str:
    """The space that holds a burst's chunks."""
    return f"burst-{id}"


def id_of(item: str, now_s: float, known: Mapping[str, object]) -> str:
    """The id of an item's next burst: hubs that know the same bursts give the same one, and one of them makes it."""
    day = datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%d")
    about = b32encode(hashlib.blake2b(item.encode(), digest_size=5).digest()).decode().lower()
    number = 1
    while f"{day}-{about}-{number}" in known:
        number += 1
    return f"{day}-{about}-{number}"
