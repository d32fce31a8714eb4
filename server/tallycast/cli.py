"""The command line. What a command needs is imported when it runs, so that `--help` and scripts start fast."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tallycast import __version__
from tallycast.errors import ConfigError
from tallycast.key_commands import key
from tallycast.options import duration_s, json_option, kinds_option, prefix_option, store_option
from tallycast.poll_commands import poll
from tallycast.settings import SETTINGS, Settings
from tallycast.talking import REFUSED, fail, lines_option, talk, url_option

if TYPE_CHECKING:
    from tallycast.store.check import Report

WRONG, INTERRUPTED = 2, 130
Command = TypeVar("Command", bound=Callable[..., Any])

EPILOG = """\b
Exit codes:
  0    all went well; `watch` also when it is ended with Ctrl-C
  1    the hub refused, `check` or `migrate` found damage, or `load` wrong counts or a threshold missed
  2    wrong usage or settings
  3    no hub can be reached at the URL
  4    `load` was itself too busy to measure, so that its figures would lie
  130  interrupted; `load` has written what it found until then
"""


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tallycast", message="%(prog)s %(version)s")
def cli() -> None:
    """Live reaction counts: serve them, watch them, react."""


def main() -> None:
    """Run the command line. An error is one line on stderr, and an exit code that scripts can use."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    """Run the command line with these arguments; the exit code."""
    try:
        code = cli.main(args, prog_name="tallycast", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return WRONG
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "tallycast"
        return fail(WRONG, f"{error.format_message()} (see `{command} --help`)")
    except click.ClickException as error:
        return fail(WRONG, error.format_message())
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except ConfigError as error:
        return fail(WRONG, str(error))
    except BrokenPipeError:
        # Who read our output has seen enough. Python would complain about it when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code if isinstance(code, int) else 0


# The hub


def _setting_options(command: Command) -> Command:
    for setting in reversed(SETTINGS):
        default = f", default {setting.default_text}" if setting.default_text else ""
        help_ = f"{setting.help} [{setting.env}{default}]"
        metavar = "|".join(setting.choices) if setting.choices else {"integer": "N", "list": "A,B"}.get(setting.type)
        command = click.option(setting.flag, setting.name, metavar=metavar, help=help_)(command)
    return command


@cli.command()
@_setting_options
def serve(**flags: str | None) -> None:
    """Run a hub until SIGTERM or Ctrl-C; either lets it finish what it took.

    Every option is also an environment variable; the option wins.
    """
    settings = Settings.load(os.environ, flags)
    from tallycast.server import run as run_server

    run_server(settings)


cli.add_command(key)
cli.add_command(poll)


@cli.command()
@click.argument("sub")
@click.option("--ttl", "ttl_s", default="1h", show_default=True, callback=duration_s, help="how long it is good")
@click.option("--item", "items", multiple=True, metavar="PATTERN", help="good for this item alone, or for PREFIX*")
@store_option
def token(sub: str, ttl_s: int, items: tuple[str, ...], store: str | None) -> None:
    """Print a token for the user SUB, as a site's own server would sign it.

    It is signed with the first secret of TALLYCAST_SECRET, else with the one that the hub keeps beside its embedded
    store.
    """
    settings = Settings.load(os.environ, {"store": store})
    from tallycast.identity import Identity, resolve_secret

    identity = Identity(resolve_secret(settings), visitor_s=settings.visitor_days * 86_400)
    click.echo(identity.sign(sub, ttl_s=ttl_s, items=items or None))


@cli.command()
@store_option
@prefix_option
@kinds_option
@click.option("--repair", is_flag=True, help="set wrong counts right; with SQLite, stop the hub first")
@json_option
def check(store: str | None, prefix: str | None, kinds: str | None, repair: bool, as_json: bool) -> int:
    """Prove that a store's counts are the sums of its values.

    Without --repair it only reads, and may run beside the hub.
    """
    settings = Settings.load(os.environ, {"store": store, "prefix": prefix, "kinds": kinds})
    from tallycast.settings import read_kinds
    from tallycast.store import check as embedded
    from tallycast.store.redis import check as shared

    if settings.store.startswith("sqlite:"):
        report = embedded.check(settings.store, read_kinds(settings), repair=repair)
    else:
        report = shared.check(settings.store, read_kinds(settings), prefix=settings.prefix, repair=repair)
    return _show(report, as_json=as_json)


@cli.command()
@click.option("--from", "source", metavar="URL", help="the store to copy: sqlite:///… or redis://… [TALLYCAST_STORE]")
@click.option("--to", "target", metavar="URL", help="the store to fill, which holds nothing yet [TALLYCAST_STORE]")
@prefix_option
@kinds_option
@json_option
def migrate(source: str | None, target: str | None, prefix: str | None, kinds: str | None, as_json: bool) -> int:
    """Copy all of a store to another one, and prove that the copy is right.

    Hubs on either must be stopped. If it is interrupted, run it again. One of both URLs may be left to the environment,
    where nobody sees its password.
    """
    if source is None and target is None:
        raise click.UsageError("give --from, --to or both: the one that is not given is TALLYCAST_STORE")
    settings = Settings.load(os.environ, {"prefix": prefix, "kinds": kinds})
    from tallycast.progress import migrating
    from tallycast.settings import read_kinds
    from tallycast.store.migrate import migrate as migrate_store

    with migrating() as progress:
        report = migrate_store(
            source or settings.store,
            target or settings.store,
            read_kinds(settings),
            prefix=settings.prefix,
            progress=progress,
        )
    return _show(report, as_json=as_json)


def _show(report: Report, *, as_json: bool) -> int:
    if as_json:
        from dataclasses import asdict

        click.echo(json.dumps({"ok": report.ok, **asdict(report)}, ensure_ascii=False))
    else:
        click.echo(report)
    return 0 if report.ok else REFUSED


# The hub's clients


def _items(_context: click.Context, _parameter: click.Parameter, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
    from tallycast_client.session import check_item

    try:
        for item in (given,) if isinstance(given, str) else given:
            check_item(item)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return given


def _client_options(command: Command) -> Command:
    for option in (
        lines_option,
        click.option("--token", envvar="TALLYCAST_TOKEN", metavar="JWT", help="who you are [TALLYCAST_TOKEN]"),
        url_option,
    ):
        command = option(command)
    return command


@cli.command()
@click.argument("items", nargs=-1, required=True, metavar="ITEM…", callback=_items)
@_client_options
@click.option("--viewers", is_flag=True, help="show how many watch each item too, this command among them")
def watch(items: tuple[str, ...], url: str, token: str | None, as_json: bool, viewers: bool) -> int:
    """Show counts as they change, until Ctrl-C: a live table on a terminal, lines in a pipe."""
    from tallycast import commands

    try:
        return talk(commands.watch(url, token or None, items, as_json=as_json, viewers=viewers))
    except KeyboardInterrupt:
        return 0


@cli.command()
@click.argument("items", nargs=-1, required=True, metavar="ITEM…", callback=_items)
@_client_options
def counts(items: tuple[str, ...], url: str, token: str | None, as_json: bool) -> int:
    """Show the counts of items as they are now."""
    from tallycast import commands

    return talk(commands.counts(url, token or None, items, as_json=as_json))


@cli.command()
@click.argument("item", callback=_items)
@click.argument("kind")
@click.argument("value", type=int, required=False)
@_client_options
def react(item: str, kind: str, value: int | None, url: str, token: str | None, as_json: bool) -> int:
    """Say VALUE of ITEM in KIND: 1 (if absent) or 0 of a toggle, your total of an amount; an event takes none.

    Without a token you are an anonymous visitor of the hub, the same one each time: its token is kept in
    $XDG_STATE_HOME/tallycast (~/.local/state/tallycast).
    """
    from tallycast import commands

    return talk(commands.react(url, token or None, item, kind, value, as_json=as_json))


@cli.command()
@click.argument("words", nargs=-1, required=True, metavar="URL")
@click.option("--scenario", default="article", show_default=True, metavar="NAME|FILE", help="what to do to the hub")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="a key of the scenario, such as viewers=500"
)
@click.option("--thresholds", multiple=True, metavar="'ack_p99<50ms' …", help="what must hold, else exit code 1")
@click.option("--processes", type=int, metavar="N", help="of the generator [default: the machine's cores less one]")
@click.option("--secret-file", metavar="FILE", help="the hub's secret, to sign actors' tokens with [TALLYCAST_SECRET]")
@click.option("--origin", metavar="URL", help="the page that viewers are on [default: one of the hub's own]")
@click.option("--restart", metavar="COMMAND", help="restarts the hub, where the scenario has a restart")
@click.option("--yes-i-own-this", "public", is_flag=True, help="the hub has a public address, and is mine to load")
@click.option("--json", "json_path", metavar="FILE|-", help="write the result as JSON; - for standard output")
@click.option("--html", "html_path", metavar="FILE", help="write a report, one file that works offline")
def load(**options: Any) -> int:
    """Load the hub at URL as a scenario says, and prove that no count is wrong.

    Scenarios are article, livestream, launch, soak, deploy, or a TOML file. Ctrl-C ends a run early, with its report.
    """
    try:
        from tallycast_loadtest import command
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "hdrh":
            raise
        return fail(WRONG, "`tallycast load` needs what is not installed: pip install 'tallycast[load]'")
    try:
        return command.main(command.Arguments(**options))
    except command.Failed as failed:
        return fail(failed.code, str(failed))
