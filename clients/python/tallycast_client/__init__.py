"""Client of a Tallycast hub: live counts in, reactions out, over one connection that mends itself.

async with Client("http://127.0.0.1:8000", token=token) as hub:
    await hub.subscribe("post:1")
    await hub.react("post:1", "like")
    async for counts in hub.updates():
        print(counts.item, counts.counts)
"""

from tallycast_client.client import Client, Updates
from tallycast_client.errors import (
    AuthRefused,
    ClientClosed,
    OperationTimeout,
    ProtocolError,
    RateLimited,
    Refused,
    TallycastClientError,
    TransportError,
    Unavailable,
    Unreachable,
)
from tallycast_client.http import Visitor, config, counts, visitor
from tallycast_client.link import LinkState
from tallycast_client.messages import Counts

__all__ = [
    "AuthRefused",
    "Client",
    "ClientClosed",
    "Counts",
    "LinkState",
    "OperationTimeout",
    "ProtocolError",
    "RateLimited",
    "Refused",
    "TallycastClientError",
    "TransportError",
    "Unavailable",
    "Unreachable",
    "Updates",
    "Visitor",
    "config",
    "counts",
    "visitor",
]
