"""What hubs share besides counts, as a migration carries it: documents, and what journals say."""

from __future__ import annotations

from typing import NamedTuple

from tallycast.store.records import CHANGES

# Who does what at the moment, and up to where journals of the old store were read, whose ids mean nothing in the new.
LEFT_SPACES = frozenset({"leases", "checkpoints"})
LEFT_JOURNALS = frozenset({CHANGES})  # what moved in the old store: hubs on the new one begin theirs


class Document(NamedTuple):
    """A document, see records.Records."""

    space: str
    key: str
    body: bytes


class Note(NamedTuple):
    """An entry of a journal, see records.Journal. Its id is each store's own."""

    journal: str
    at_ms: int
    body: bytes


Shared = Document | Note
