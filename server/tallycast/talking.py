"""What commands have in common that talk to a hub: where it is, and what becomes of its refusals."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import click

REFUSED, UNREACHABLE = 1, 3


def check_url(_context: click.Context, _parameter: click.Parameter, url: str) -> str:
    """A callback of click: a hub's address."""
    from tallycast_client.dial import addresses

    try:
        addresses(url)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return url


url_option = click.option(
    "--url",
    envvar="TALLYCAST_URL",
    default="http://127.0.0.1:8000",
    show_default=True,
    callback=check_url,
    help="the hub [TALLYCAST_URL]",
)
lines_option = click.option("--json", "as_json", is_flag=True, help="print one JSON object a line")


def fail(code: int, message: str) -> int:
    """Say what went wrong in one line; the exit code."""
    click.echo(f"tallycast: {' '.join(message.split())}", err=True)
    return code


def talk(conversation: Coroutine[Any, Any, None]) -> int:
    """Run what talks to a hub; the exit code."""
    import asyncio

    from tallycast_client import Refused, TallycastClientError

    try:
        asyncio.run(conversation)
    except Refused as error:
        wait = f"; try again in {error.retry_after_s:.1f} s" if error.retry_after_s else ""
        return fail(REFUSED, f"the hub refused ({error.code}): {error.message}{wait}")
    except TallycastClientError as error:
        return fail(UNREACHABLE, f"{error}; --url or TALLYCAST_URL says where the hub is")
    return 0
