"""Where a webhook may go. A hub stands inside a network that nobody shall reach through a webhook (SSRF).

What decides is the address that is connected to: a name is resolved once, its addresses are judged, and the connection
goes to one of those. So a name that answers differently the next time is of no use.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tallycast.addresses import Address, parse_network

if TYPE_CHECKING:
    import httpx

MOST_URL = 2000  # characters
MOST_TRIED = 3  # addresses of one name
RESOLVERS = 32  # threads, made when they are needed: names that nobody answers for hold up no others
WEB_PORTS = (80, 443)
FIRST_FREE_PORT = 1024  # below it live mail, databases' and machines' own services

# What Python's ipaddress calls global and is not: relays that lead to an IPv4 address, and what was reserved since.
_DETOURS = tuple(
    ipaddress.ip_network(network)
    for network in ("192.88.99.0/24", "64:ff9b:1::/48", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10")
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Resolve = Callable[[str, int], Sequence[str]]


class Barred(ValueError):
    """A webhook must not go there. The message says why, to whoever set it up."""


def parse_target(url: object) -> httpx.URL:
    """The URL of a webhook, of which nothing has been asked yet. Raises Barred."""
    import httpx  # here, as in desk.py: a hub without webhooks need not load it

    if not isinstance(url, str) or not 0 < len(url) <= MOST_URL:
        raise Barred(f"url must be a text of at most {MOST_URL} characters")
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        raise Barred("url is no URL") from None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Barred("url must begin with https:// and name a host")
    if parsed.port is not None and not 0 < parsed.port < 65536:
        raise Barred("url has a port that is none")
    if parsed.userinfo:
        raise Barred("url must not hold a user or password: check the signature instead")
    if parsed.fragment:
        raise Barred("url must not have a fragment (#…): it is never sent")
    return parsed


def port_of(url: httpx.URL) -> int:
    """The port that is connected to."""
    return url.port or (443 if url.scheme == "https" else 80)


def is_public(address: Address) -> bool:
    """Whether it is an address of the open Internet, and of one host there."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:  # how hosts without IPv4 reach it
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    if any(address in network for network in _DETOURS if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class Doors:
    """Knows where webhooks may go: the open Internet, and the networks that the operator allows.

    `networks` is the setting `webhook_networks`; `resolve` gives the addresses of a host's name, and may block.
    """

    def __init__(self, networks: Sequence[str], *, resolve: Resolve | None = None) -> None:
        self._allowed = tuple(parse_network(entry) for entry in networks)
        self._resolve = resolve or _resolve
        self._threads = ThreadPoolExecutor(RESOLVERS, "webhook-name")

    async def addresses(self, url: httpx.URL) -> list[str]:
        """Where to connect to, at most MOST_TRIED, in order. Raises Barred if one of the host's is out of bounds."""
        host = url.raw_host.decode("ascii").strip("[]")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._threads, self._resolve, host, port_of(url))
        except (OSError, UnicodeError):
            raise Barred(f"the host {host} has no address") from None
        addresses = list(dict.fromkeys(_parse(text) for text in found))
        for address in addresses:
            self._check(url, address)
        return [str(address) for address in addresses[:MOST_TRIED]]

    def _check(self, url: httpx.URL, address: Address) -> None:
        if any(address in network for network in self._allowed):
            return
        if not is_public(address):
            raise Barred(
                f"the host {url.host} is at an address that webhooks may not go to: private networks are closed"
                " unless TALLYCAST_WEBHOOK_NETWORKS has them"
            )
        if url.scheme != "https":
            raise Barred("url must begin with https://: plain http is for networks in TALLYCAST_WEBHOOK_NETWORKS")
        port = port_of(url)
        if port not in WEB_PORTS and port < FIRST_FREE_PORT:
            raise Barred(f"webhooks do not go to port {port}: use 443, or one from {FIRST_FREE_PORT} on")

    def close(self) -> None:
        """Begin no more look-ups."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _parse(text: str) -> Address:
    """An address without its zone, IPv4 taken out of IPv6."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in found]
