"""What a run was made on, and by which words: figures mean little without."""

from __future__ import annotations

import os
import platform
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from tallycast_loadtest.results import Machine

HIDDEN = "***"
SECRET_NAME = re.compile(r"secret|token|passw|credential|(^|[-_])key$", re.IGNORECASE)
SIGNED_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")  # a JWT: base64url of '{"', and two dots


def this_machine() -> Machine:
    """The machine that this process runs on.

    `cores` are those that it may use, which a container can narrow; `memory_bytes` is 0 where the system does not tell.
    """
    return Machine(
        cores=_cores(),
        cpu=_cpu(),
        memory_bytes=_memory_bytes(),
        system=f"{_distribution()}{platform.system()} {platform.release()} {platform.machine()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


def spoken(arguments: Sequence[str]) -> list[str]:
    """A command line that may be shown to anybody.

    Values of options named after secrets, passwords and tokens in addresses, and signed tokens anywhere become `***`.
    """
    shown: list[str] = []
    hide_next = False
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if hide_next:
            shown.append(HIDDEN)
            hide_next = False
        elif argument.startswith("-") and SECRET_NAME.search(name.lstrip("-")):
            shown.append(f"{name}={HIDDEN}" if equals else name)
            hide_next = not equals
        elif argument.startswith("-") and equals:
            shown.append(f"{name}={address(value)}")
        else:
            shown.append(address(argument))
    return shown


def shell_line(arguments: Sequence[str]) -> str:
    """The arguments as one would type them."""
    return " ".join(argument if HIDDEN in argument else shlex.quote(argument) for argument in arguments)


def address(text: str) -> str:
    """An address without its password and tokens; any other text as it is, without signed tokens."""
    try:
        url = urlsplit(text)
        netloc, query = url.netloc, url.query
    except ValueError:  # such as an IPv6 address without its bracket
        url, netloc, query = None, "", ""
    if url is not None and netloc:
        who, at, host = netloc.rpartition("@")
        if at:
            netloc = f"{HIDDEN}@{host}"
        if any(SECRET_NAME.search(name) for name, _ in parse_qsl(query, keep_blank_values=True)):
            query = "&".join(_parameter(name, value) for name, value in parse_qsl(query, keep_blank_values=True))
        if who or query != url.query:
            text = urlunsplit(url._replace(netloc=netloc, query=query))
    return SIGNED_TOKEN.sub(HIDDEN, text)


def _parameter(name: str, value: str) -> str:
    return f"{quote(name)}={HIDDEN if SECRET_NAME.search(name) else quote(value)}"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    found = _first(Path("/proc/cpuinfo"), r"^(?:model name|Hardware)\s*:\s*(.+)$")
    return found or platform.processor() or platform.machine() or "unknown"


def _memory_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # this system does not tell
        return 0


def _distribution() -> str:
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']}, "
    except (OSError, KeyError):
        return ""


def _first(path: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, path.read_text("utf-8", "replace"), re.MULTILINE)
    except OSError:
        return None
    return found[1].strip() if found else None
