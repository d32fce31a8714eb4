"""Names of keys and channels in Redis, and the form of what stands under them. docs/operations.md has the table."""

from __future__ import annotations

from struct import Struct

from tallycast.errors import ConfigError
from tallycast.kinds import Said
from tallycast.settings import check_prefix
from tallycast.store.base import Snapshot

# The header of an item's hash stands in the field with the empty name, which no actor has.
HEADER = b""
ENTRY_BYTES = 12  # of a record: see parse_record()
MOST_VALUE = 2**24 - 1  # that an entry has room for

COUNT_BYTES = 6
_VERSION = Struct("<Q")
_SEQ = 2**56 - 1


class Keys:
    """The names under one prefix in one database. Raises ConfigError where the prefix cannot be one."""

    def __init__(self, prefix: str, *, database: int = 0) -> None:
        try:
            check_prefix(prefix)
        except ValueError as error:
            raise ConfigError(f"prefix: expected {error}") from None
        self.prefix = prefix
        # Channels are of the whole server: hubs of other databases with the same prefix must not hear each other.
        self.channel_prefix = f"{database}/" if database else ""

    def item(self, item: str) -> str:
        """The hash with all that is said of the item: its header, and a record by actor."""
        return f"{self.prefix}{{{item}}}"

    def item_of(self, key: bytes) -> str:
        """The item whose hash, or channel without the channel prefix, has that name."""
        return key[len(self.prefix) + 1 : -1].decode()

    def events(self, item: str) -> tuple[str, str]:
        """The sets with the ids of the events of even and of odd days."""
        key = self.item(item)
        return f"{key}:e0", f"{key}:e1"

    def people(self, item: str, kind: str) -> str:
        """The HyperLogLog of who said a `unique` kind of the item."""
        return f"{self.item(item)}:u:{kind}"

    @property
    def item_at(self) -> int:
        """Where the item begins in the names that item() gives, from 1."""
        return len(self.prefix) + 2

    def channel(self, item: str) -> str:
        """Where the item's counts are published, in the same slot of a cluster as its keys."""
        return self.channel_prefix + self.item(item)

    def actor_channel(self, actor: str) -> str:
        """Where hubs tell each other that the actor said something. No item's channel: those go on with a brace."""
        return f"{self.channel_prefix}{self.prefix}actor:{actor}"

    def probe(self, tag: str) -> str:
        """The control channel of one hub and node, `tag` says which and of which slot."""
        return f"{self.channel_prefix}{self.prefix}probe:{{{tag}}}"

    @property
    def hubs(self) -> str:
        """The sorted set of the hubs that are heard of."""
        return f"{self.prefix}hubs"

    def here(self, hub: str) -> str:
        """The hash of how many watch by item at that hub."""
        return f"{self.prefix}viewers:{{{hub}}}"

    def records(self, space: str) -> str:
        """The hash with all documents of a space, and its revision."""
        return f"{self.prefix}records:{{{space}}}"

    def journal(self, name: str) -> str:
        """The stream of that name."""
        return f"{self.prefix}journal:{{{name}}}"

    def appenders(self, name: str) -> str:
        """The hash with what each hub added last to the journal of that name."""
        return f"{self.journal(name)}:hubs"

    @property
    def history(self) -> str:
        """What all keys of the history begin with."""
        return f"{self.prefix}history:{{all}}:"

    @property
    def migration(self) -> str:
        """Says from where an unfinished migration comes. It is there as long as the store is no whole copy."""
        return f"{self.prefix}migration"

    def pulse(self, number: int) -> str:
        """A key that is written to see that it can be; on a cluster there is a number for each node."""
        return f"{self.prefix}pulse:{{{number}}}"


def version_of(header: bytes) -> int:
    """The version in a header; anything where it is none."""
    return int.from_bytes(header[1:8], "little")


def snapshot_of(item: str, message: bytes) -> Snapshot:
    """The counts that a publication on the item's channel tells, its header, those of undeclared kinds included.
    Raises ValueError for a message that is none of Tallycast's."""
    if len(message) < _VERSION.size:
        raise ValueError("too short for a header")
    v, counts = parse_header(message)
    return Snapshot(item, v, {kind: n for kind, n in counts.items() if n})


def parse_header(header: bytes) -> tuple[int, dict[str, int]]:
    """Version and counts of an item, 0 and undeclared kinds included, in the order of the kinds' numbers from 1.

    A header is: the number of kinds (1 byte), the version (7), each kind's count (6), their names with spaces between.
    """
    (head,) = _VERSION.unpack_from(header)
    number = head & 0xFF
    names_at = 8 + COUNT_BYTES * number
    counts = (int.from_bytes(header[at : at + COUNT_BYTES], "little") for at in range(8, names_at, COUNT_BYTES))
    names = header[names_at:].decode().split(" ") if len(header) > names_at else []
    return head >> 8, dict(zip(names, counts, strict=True))


def make_header(v: int, counts: dict[str, int]) -> bytes:
    """The header that parse_header() takes apart."""
    packed = b"".join(n.to_bytes(COUNT_BYTES, "little") for n in counts.values())
    return _VERSION.pack(v << 8 | len(counts)) + packed + " ".join(counts).encode()


def parse_record(record: bytes, names: list[str]) -> dict[str, Said]:
    """What an actor says by kind; `names` are those of the item's header, in its order.

    A record is entries of 12 bytes, little-endian: the number of a kind (1), its value (3), its seq (7), and the number
    of one more kind, 0 for none, that says 0 with the same seq (1). Where one of two rivals is set, that is the other.
    """
    said = {}
    for at in range(0, len(record), ENTRY_BYTES):
        entry = int.from_bytes(record[at : at + ENTRY_BYTES], "little")
        seq, other = entry >> 32 & _SEQ, entry >> 88
        said[names[(entry & 0xFF) - 1]] = Said(entry >> 8 & MOST_VALUE, seq)
        if other:
            said[names[other - 1]] = Said(0, seq)
    return said


def make_record(said: dict[str, Said], names: list[str]) -> bytes:
    """The record that parse_record() takes apart. Kinds that say nothing and have no seq take no room. Raises
    OverflowError for what an entry has no room for."""
    entries: list[int] = []
    with_room: dict[int, int] = {}  # seq: the entry that can name one more kind
    for kind, (value, seq) in sorted(said.items(), key=lambda its: not its[1].value):  # those with a value first
        if not 0 <= value <= MOST_VALUE or not 0 <= seq <= _SEQ:
            raise OverflowError(f"{value} or {seq} is too large")
        number = names.index(kind) + 1
        if not value and seq in with_room:
            entries[with_room.pop(seq)] |= number << 88
        elif value or seq:
            if seq:
                with_room[seq] = len(entries)
            entries.append(number | value << 8 | seq << 32)
    return b"".join(entry.to_bytes(ENTRY_BYTES, "little") for entry in entries)
