"""Whether this machine has room for the run: open files and ports. What may be raised is raised."""

from __future__ import annotations

import resource
import socket
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final

from tallycast_loadtest.hub import BadInput
from tallycast_loadtest.line import Target

PER_SOURCE: Final = 500  # connections from one loopback address: within a hub's limits for each, unless they are lower
_FIRST_SOURCE: Final = IPv4Address("127.0.1.1")
_FIRST_VISITOR: Final = IPv4Address("127.1.1.1")
_OWN_FILES: Final = 64  # of a process, besides its connections
_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def sources(target: Target, connections: int) -> tuple[str, ...]:
    """Addresses to connect from: many on loopback, where a system has them, else none, which leaves it to the system.

    Raises BadInput where there are too few ports.
    """
    if target.is_loopback and _can_bind(str(_FIRST_SOURCE)):
        return tuple(str(_FIRST_SOURCE + number) for number in range(-(-connections // PER_SOURCE) or 1))
    ports = local_ports()
    if connections > ports:
        raise BadInput(
            f"{connections} connections to one address need as many local ports, and there are {ports}: "
            "`sysctl -w net.ipv4.ip_local_port_range='1024 65535'`, or take a second machine"
        )
    return ()


def visitors_sources(target: Target) -> list[str] | None:
    """Addresses to ask for visitors from, where there are many."""
    if target.is_loopback and _can_bind(str(_FIRST_VISITOR)):
        return [str(_FIRST_VISITOR + number) for number in range(2000)]
    return None


def local_ports() -> int:
    """How many connections one address of this machine can have to one other."""
    try:
        low, high = _PORTS.read_text("ascii").split()
    except OSError:  # not Linux; the range of IANA, which the others use
        return 65535 - 49152 + 1
    return int(high) - int(low) + 1


def open_files(connections: int) -> None:
    """Let this process, and those that it starts, have that many connections each. Raises BadInput."""
    needed = connections + _OWN_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _enough(soft, needed):
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard if _enough(hard, needed) else needed))
    except (ValueError, OSError):
        raise BadInput(
            f"{connections} connections in a process need {needed} open files, and this shell allows {hard}: "
            f"`ulimit -n {needed}` as root, or more --processes"
        ) from None


def _enough(limit: int, needed: int) -> bool:
    return limit == resource.RLIM_INFINITY or limit >= needed


def _can_bind(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
