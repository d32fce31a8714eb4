"""Whose address a connection counts under: the client's behind trusted proxies, one bucket for an IPv6 network."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# RFC 6177: a site gets a /64 at the least, and one machine may use any address of it.
_SITE_BITS = 64


def parse_network(entry: str) -> Network:
    """An address or CIDR network of TALLYCAST_TRUSTED_PROXIES. Raises ValueError that says what was expected."""
    try:
        network = ipaddress.ip_network(entry)
    except ValueError as error:
        hint = " (its host bits are set)" if "host bits" in str(error) else ""
        raise ValueError(f"an address or a network such as 10.0.0.0/8 or 2001:db8::/32{hint}") from None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:  # peers are compared in their IPv4 form
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


class Proxies:
    """The proxies whose `X-Forwarded-For` is believed. `trusted` holds addresses and CIDR networks.

    Raises ValueError on an entry that is neither; Settings has checked its own.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        self._networks = tuple(parse_network(entry) for entry in trusted)

    def client(self, peer: str, forwarded_for: str | None) -> str:
        """The address to count under: `peer`, or the right-most address of `forwarded_for` that no proxy of ours has.

        `peer` is the other end of the TCP connection ("" where there is none, such as a Unix socket) and is returned
        as it is unless it is trusted. `forwarded_for` is the header's value, several headers joined by commas: each
        proxy appends the peer that it saw, so what stands left of the first untrusted address is the client's own
        word and is not read. At an entry that is no address the walk stops at the last good one.
        """
        if not forwarded_for or not self._networks:
            return peer
        last = _parse(peer)
        if last is None or not self._trusts(last):
            return peer
        for entry in reversed(forwarded_for.split(",")):
            address = _parse(_without_port(entry.strip()))
            if address is None:
                break
            last = address
            if not self._trusts(address):
                break
        return str(last)

    def trusts(self, peer: str) -> bool:
        """Whether `peer`, the other end of a TCP connection, is one of them."""
        address = _parse(peer) if self._networks else None
        return address is not None and self._trusts(address)

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def bucket(address: str) -> str:
    """The key under which `address` is limited: IPv4 as it is, IPv6 by its /64 network, other texts as they are.

    An IPv4 address inside IPv6 (`::ffff:192.0.2.1`) is the IPv4 address.
    """
    if ":" not in address:
        return address
    parsed = _parse(address)
    if parsed is None or parsed.version == 4:
        return address if parsed is None else str(parsed)
    shift = 128 - _SITE_BITS
    return f"{ipaddress.IPv6Address(int(parsed) >> shift << shift)}/{_SITE_BITS}"


def _parse(text: str) -> Address | None:
    """The address, its zone (`%eth0`) dropped and IPv4 taken out of IPv6; None when it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            address = ipaddress.IPv6Address(int(address))
        return address.ipv4_mapped or address
    return address


def _without_port(text: str) -> str:
    """`192.0.2.1:5000` and `[2001:db8::1]:5000` (some proxies add the port) without it; other texts as they are."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, colon, _ = text.partition(":")
    return host if colon and text.count(":") == 1 else text
