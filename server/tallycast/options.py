"""Options that several commands have."""

from __future__ import annotations

import re

import click

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def duration_s(_context: click.Context, _parameter: click.Parameter, text: str | None) -> int | None:
    """A callback of click: 90s, 15m, 1h or 30d in seconds; None where none is given."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match is None:
        raise click.BadParameter(f"expected a number and s, m, h or d, such as 90s, 15m, 1h or 30d, not {text!r}")
    return int(match[1]) * _UNITS_S[match[2]]


store_option = click.option("--store", metavar="URL", help="the hub's store [TALLYCAST_STORE]")
prefix_option = click.option("--prefix", metavar="TEXT", help="how its keys begin, in Redis [TALLYCAST_PREFIX]")
kinds_option = click.option("--kinds", metavar="FILE", help="the hub's kinds file [TALLYCAST_KINDS]")
json_option = click.option("--json", "as_json", is_flag=True, help="print one JSON object")
