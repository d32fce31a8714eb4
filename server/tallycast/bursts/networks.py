"""Which network an address is in, as bursts are judged by: what one customer may have, or one machine's neighbours."""

from __future__ import annotations

import ipaddress

IPV4_BITS = 24
IPV6_BITS = 48


def network(address: str) -> str:
    """The network of an address, or of an IPv6 network as limits go by; the text itself where it is neither."""
    try:
        parsed = ipaddress.ip_address(address.partition("/")[0])
    except ValueError:
        return address
    bits = IPV4_BITS if parsed.version == 4 else IPV6_BITS
    return str(ipaddress.ip_network(f"{parsed}/{bits}", strict=False))
