"""The operator's settings: one table of them, read from flags and `TALLYCAST_…` environment variables, all checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, TypeVar

from tallycast.addresses import parse_network
from tallycast.errors import ConfigError
from tallycast.kinds import Kinds, parse
from tallycast.origins import parse_origin

PREFIX = "TALLYCAST_"
# Read by the command line's client commands and not by the hub; both may stand in one environment.
CLIENT_NAMES: dict[str, str] = {
    "TALLYCAST_URL": "the hub that `tallycast watch`, `react` and `counts` talk to",
    "TALLYCAST_TOKEN": "the token that `tallycast watch`, `react` and `counts` send",
    "TALLYCAST_KEY": "the administrator's API key that `tallycast poll` sends",
}
MIN_SECRET_CHARACTERS = 32  # RFC 7518 §3.2: a key of HS256 has 256 bits at the least
MAKE_A_SECRET = "openssl rand -hex 32"

_WHOLE_NUMBER = re.compile(r"[0-9]{1,12}")
_NO_LIMIT = 1_000_000_000
_SHOWN_CHARACTERS = 100  # of a wrong value in its error
# A Kubernetes service called "tallycast" puts these into the environment of every pod beside it.
_KUBERNETES = re.compile(r"TALLYCAST_(SERVICE_(HOST|PORT)|PORT_[0-9]+_).*")


class Setting(NamedTuple):
    """One row of the table of settings.

    `name` is the field of Settings. `type` says how its text is read: `text`, `integer`, `choice` (one of `choices`)
    or `list` (comma-separated). `help` is one sentence for --help and docs/operations.md; a `secret` value is shown
    nowhere. Integers lie in `low`…`high`. `check` raises ValueError with what was expected of a text or list entry.
    """

    name: str
    type: Literal["text", "integer", "choice", "list"]
    default: Any
    help: str
    secret: bool
    low: int
    high: int
    choices: tuple[str, ...]
    check: Callable[[str], object] | None

    @property
    def env(self) -> str:
        """The environment variable, `TALLYCAST_TICK_MS`."""
        return PREFIX + self.name.upper()

    @property
    def flag(self) -> str:
        """The option of `tallycast serve`, `--tick-ms`."""
        return "--" + self.name.replace("_", "-")

    @property
    def default_text(self) -> str:
        """The default as it would be given; empty for an empty text or list."""
        return ",".join(self.default) if self.type == "list" else str(self.default)

    @property
    def expected(self) -> str:
        """What a value must be, for errors and documents."""
        if self.type == "integer":
            return f"a whole number from {self.low}" + ("" if self.high == _NO_LIMIT else f" to {self.high}")
        if self.type == "choice":
            return "one of " + ", ".join(self.choices)
        return "a comma-separated list" if self.type == "list" else "a text"

    def parse(self, given: object) -> Any:
        """The value that `given` stands for: a text, or a value of the setting's own type. Raises ConfigError."""
        if isinstance(given, str):
            text = given.strip()
            if self.type == "integer":
                if not _WHOLE_NUMBER.fullmatch(text):
                    raise self.wrong(given)
                given = int(text)
            elif self.type == "list":
                given = tuple(entry.strip() for entry in text.split(",")) if text else ()
            else:
                given = text
        elif self.type == "list" and isinstance(given, list):
            given = tuple(given)
        self.validate(given)
        return given

    def validate(self, value: Any) -> None:
        """Check a value of the setting's own type. Raises ConfigError."""
        if self.type == "integer":
            if isinstance(value, bool) or not isinstance(value, int) or not self.low <= value <= self.high:
                raise self.wrong(value)
            return
        if self.type == "list" and not isinstance(value, tuple):
            raise self.wrong(value)
        for entry in value if self.type == "list" else (value,):
            if not isinstance(entry, str) or (self.choices and entry not in self.choices):
                raise self.wrong(entry)
            if self.check is not None:
                try:
                    self.check(entry)
                except ValueError as error:
                    raise self.wrong(entry, str(error)) from None

    def wrong(self, value: object, expected: str | None = None) -> ConfigError:
        """The error for `value`, which a secret setting's never names."""
        shown = "is wrong" if self.secret else f"is {redacted(str(value)[:_SHOWN_CHARACTERS])!r}"
        return ConfigError(f"{self.env} ({self.flag}) {shown}: expected {expected or self.expected}")


T = TypeVar("T")


def _setting(
    default: T,
    about: str,
    *,
    low: int = 0,
    high: int = _NO_LIMIT,
    choices: tuple[str, ...] = (),
    check: Callable[[str], object] | None = None,
    secret: bool = False,
) -> T:
    """A field of Settings with its row of the table; like dataclasses.field, typed as the value that it becomes."""
    form: Literal["text", "integer", "choice", "list"] = "choice" if choices else "text"
    if isinstance(default, int):
        form = "integer"
    elif isinstance(default, tuple):
        form = "list"
    row = Setting("", form, default, about, secret, low, high, choices, check)
    field_: T = field(default=default, metadata={"row": row})
    return field_


def check_secret(secret: str) -> None:
    """Raises ValueError that says what was expected, never what was given."""
    if not secret.isascii() or not secret.isprintable():
        raise ValueError(f"secrets of printable ASCII characters; `{MAKE_A_SECRET}` makes one")
    if len(secret) < MIN_SECRET_CHARACTERS:
        raise ValueError(
            f"secrets of at least {MIN_SECRET_CHARACTERS} characters, not {len(secret)}; `{MAKE_A_SECRET}` makes one"
        )


def _check_store(url: str) -> None:
    if not re.match(r"(?!sqlite)[a-z][a-z0-9+]*://|sqlite:///.", url):
        raise ValueError(
            "a URL such as sqlite:///tallycast.db, sqlite:////var/lib/tallycast/tallycast.db or redis://host"
        )


def check_prefix(prefix: str) -> None:
    """Raises ValueError that says what was expected. Braces are for the hash tags that items make."""
    if not re.fullmatch(r"[!-z|~]{1,100}", prefix):
        raise ValueError("1–100 printable ASCII characters without spaces and braces, such as tallycast:")


def _check_host(host: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_.:%-]+", host):
        raise ValueError("a host name or address without a port, such as 127.0.0.1, 0.0.0.0 or ::")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Settings:
    """Everything an operator can choose. Every instance is checked: a wrong value raises ConfigError at once.

    `_s`, `_ms`, `_bytes` and `_days` are units; a limit of 0 is no limit. What each means: SETTINGS.
    """

    host: str = _setting("127.0.0.1", "address to listen on; `0.0.0.0` or `::` for all", check=_check_host)
    port: int = _setting(8000, "port to listen on; 0 takes a free one", high=65535)
    workers: int = _setting(
        1, "processes that serve the port, one a core; more than one need a Redis store", low=1, high=256
    )
    store: str = _setting("sqlite:///tallycast.db", "where counts are kept: a store's URL", check=_check_store)
    secret: tuple[str, ...] = _setting(
        (),
        "signs and verifies tokens; several while rotating: the first signs, all verify",
        check=check_secret,
        secret=True,
    )
    origins: tuple[str, ...] = _setting(
        (),
        "web pages that may connect besides the hub's own: origins, `https://*.example.com`, `*`",
        check=parse_origin,
    )
    kinds: str = _setting("", "path of the kinds file; empty for the packaged one")
    tick_ms: int = _setting(50, "milliseconds between two counts frames of an item", low=1, high=60_000)
    ping_s: int = _setting(25, "seconds between keepalive pings; 0 for none", high=3600)
    slow_viewer_s: int = _setting(
        15, "seconds without progress until a viewer that does not read is closed; 0 for never", high=3600
    )
    request_s: int = _setting(10, "seconds that a request may take to arrive; 0 for no limit", high=3600)
    drain_s: int = _setting(8, "seconds that a stop waits for what was begun", high=3600)
    connections_per_ip: int = _setting(2000, "viewers from one address at a time; 0 for no limit")
    max_connections: int = _setting(100_000, "viewers in all at a time; 0 for no limit")
    connects_per_second: int = _setting(100, "new connections a second from one address; 0 for no limit")
    reactions_per_second: int = _setting(
        10, "reactions a second of one actor, bursts of four times that; 0 for no limit"
    )
    visitors_per_minute: int = _setting(120, "anonymous identities a minute for one address; 0 for no limit")
    items_per_viewer: int = _setting(200, "items that one viewer may watch; 0 for no limit")
    message_bytes: int = _setting(4096, "bytes of one message from a client", low=256, high=1_048_576)
    trusted_proxies: tuple[str, ...] = _setting(
        (), "addresses and networks of the proxies whose X-Forwarded-For is believed", check=parse_network
    )
    webhook_networks: tuple[str, ...] = _setting(
        (), "private addresses and networks that webhooks may be sent to", check=parse_network
    )
    proof: Literal["none", "bursts"] = _setting(
        "none",
        "when a new visitor must show a proof of work: never (`none`), or while an item's reactions burst (`bursts`)",
        choices=("none", "bursts"),
    )
    viewing: Literal["anyone", "token"] = _setting(
        "anyone", "who may watch counts: `anyone`, or whoever has a `token`", choices=("anyone", "token")
    )
    durability: Literal["full", "normal"] = _setting(
        "full",
        "what an acknowledged reaction survives: `full` loss of power, `normal` the death of the process",
        choices=("full", "normal"),
    )
    prefix: str = _setting("tallycast:", "what all names in Redis begin with", check=check_prefix)
    ack: Literal["memory", "replica", "disk"] = _setting(
        "memory",
        "what an acknowledged reaction has reached in Redis: its `memory`, a `replica` too, or its `disk`",
        choices=("memory", "replica", "disk"),
    )
    visitor_days: int = _setting(365, "days until an anonymous identity expires", low=1, high=3650)
    log_format: Literal["text", "json"] = _setting("text", "form of a line of the log", choices=("text", "json"))
    log_level: Literal["debug", "info", "warning", "error", "critical"] = _setting(
        "info", "least severity that is logged", choices=("debug", "info", "warning", "error", "critical")
    )

    def __post_init__(self) -> None:
        for setting in SETTINGS:
            setting.validate(getattr(self, setting.name))

    def __repr__(self) -> str:
        shown = ((s.name, f"<{len(self.secret)}>" if s.secret else getattr(self, s.name)) for s in SETTINGS)
        return f"Settings({', '.join(f'{name}={redacted(repr(value))}' for name, value in shown)})"

    @classmethod
    def load(cls, environ: Mapping[str, str], flags: Mapping[str, object]) -> Self:
        """The settings that `environ` and `flags` give; a flag wins.

        `flags` maps names of fields to texts or values; None is a flag that was not given. An empty environment
        variable is none. Raises ConfigError on a wrong value and on a `TALLYCAST_` name that is no setting.
        """
        rows = {setting.name: setting for setting in SETTINGS}
        _refuse_unknown(environ)
        given: dict[str, object] = {s.name: environ[s.env] for s in SETTINGS if environ.get(s.env, "").strip()}
        given.update((name, value) for name, value in flags.items() if value is not None)
        return cls(**{name: rows[name].parse(value) for name, value in given.items()})


SETTINGS: tuple[Setting, ...] = tuple(row.metadata["row"]._replace(name=row.name) for row in fields(Settings))


def redacted(text: str) -> str:
    """`text` without the passwords of a URL in it, `redis://user:…@host?sentinel_password=…`."""
    text = re.sub(r"(://[^/?#@\s]*?:)\S*@", r"\1…@", text)
    return re.sub(r"([?&]\w*password=)[^&#\s]*", r"\1…", text)


def read_kinds(settings: Settings) -> Kinds:
    """The kinds of the file that `settings` name, else of the packaged one. Raises ConfigError."""
    if not settings.kinds:
        return parse(resources.files("tallycast").joinpath("kinds.toml").read_text("utf-8"), "kinds.toml")
    try:
        text = Path(settings.kinds).read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"TALLYCAST_KINDS: cannot read {settings.kinds}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{settings.kinds}: not UTF-8 at byte {error.start}") from None
    return parse(text, settings.kinds)


def _refuse_unknown(environ: Mapping[str, str]) -> None:
    known = [setting.env for setting in SETTINGS] + list(CLIENT_NAMES)
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in known:
            continue
        if _KUBERNETES.fullmatch(name):
            raise ConfigError(
                f"{name} is of Kubernetes, for a service called tallycast, and would be taken for a setting:"
                " set enableServiceLinks: false on the pod, or call the service something else"
            )
        near = difflib.get_close_matches(name.removeprefix(PREFIX), [one.removeprefix(PREFIX) for one in known], n=1)
        advice = f"did you mean {PREFIX}{near[0]}?" if near else "docs/operations.md lists every setting"
        raise ConfigError(f"{name} is no setting: {advice}")
