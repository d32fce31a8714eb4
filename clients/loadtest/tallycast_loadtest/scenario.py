"""What a run does to a hub: one table of keys, read from a TOML file and `--set key=value`, all checked."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal

from tallycast_loadtest.keys import Key, ScenarioError, key

_KINDS: Final = {"like": 0.7, "clap": 0.2, "share": 0.1}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Everything about a run's load. Every instance is checked: a wrong value raises ScenarioError at once.

    `_s` and `_per_s` are units, a share is 0…1 of the viewers. What each key means: KEYS.
    """

    name: str = key("", "what reports call the scenario; by itself the name of its file")
    about: str = key("", "what the scenario is like, in a sentence")
    viewers: int = key(100, "connections that watch", high=100_000)
    reactors: int = key(20, "actors that react, each on a connection of its own", high=100_000)
    items: int = key(10, "items that are watched and reacted to", low=1, high=100_000)
    items_per_viewer: int = key(1, "items that one viewer watches", low=1, high=200)
    distribution: Literal["uniform", "zipf", "hot"] = key(
        "uniform",
        "how viewers and reactions choose items: all alike, by Zipf's law, or one hot item",
        choices=("uniform", "zipf", "hot"),
    )
    zipf_exponent: float = key(1.0, "of `zipf`: the n-th item is chosen in proportion to n^-exponent", low=0.1, high=5)
    hot_share: float = key(0.9, "of `hot`: the share of the choices that the first item gets", high=1)
    rate_per_s: float = key(10.0, "reactions a second, sent by schedule whatever the hub does", high=100_000)
    arrivals: Literal["constant", "poisson"] = key(
        "poisson",
        "times of the reactions: evenly apart, or at random as from many independent people",
        choices=("constant", "poisson"),
    )
    kinds: Mapping[str, float] = key(_KINDS, "kinds of the reactions and their weights")
    think_s: float = key(1.0, "seconds that an actor lets pass between two reactions", high=3600)
    identity: Literal["auto", "tokens", "visitors"] = key(
        "auto",
        "who the actors are: users whose `tokens` the tool signs, `visitors` of the hub, or `auto`: users where the "
        "hub's secret is given, else visitors",
        choices=("auto", "tokens", "visitors"),
    )
    ramp_s: float = key(5.0, "seconds over which the viewers connect, evenly; 0 for all at once", high=3600)
    duration_s: float = key(30.0, "seconds of reactions, once all are connected", low=1, high=86_400)
    settle_s: float = key(5.0, "seconds at most that answers and last frames may take after that", low=0.1, high=300)
    sse_share: float = key(0.0, "share of the viewers that read Server-Sent Events instead of a WebSocket", high=1)
    churn_per_s: float = key(0.0, "share of the viewers that leave each second, each replaced by a new one", high=1)
    slow_share: float = key(0.0, "share of the viewers that read slowly", high=1)
    slow_bytes_per_s: int = key(2_000, "bytes a second that a slow viewer reads", low=1, high=10_000_000)
    stuck_share: float = key(0.0, "share of the viewers that stop reading when the reactions begin", high=1)
    storm_at_s: float = key(
        0.0, "second of the reactions at which viewers lose their connections; 0 for none", high=86_400
    )
    storm_share: float = key(
        1.0, "share of the viewers that a storm hits; they connect again as a browser does", high=1
    )
    restart_at_s: float = key(
        0.0, "second of the reactions at which the hub is to be restarted; 0 for none", high=86_400
    )
    seed: int = key(1, "of all random choices: the same seed makes the same schedule", high=2**53 - 1)

    def __post_init__(self) -> None:
        for row in KEYS:
            object.__setattr__(self, row.name, row.check(getattr(self, row.name)))
        for rule in self._broken():
            raise ScenarioError(rule)

    def _broken(self) -> Iterator[str]:
        """What does not fit together, each key being right by itself."""
        if self.items_per_viewer > self.items:
            yield f"items_per_viewer is {self.items_per_viewer}: there are only {self.items} items"
        needed = max(1, math.ceil(self.rate_per_s * self.think_s))
        if self.rate_per_s and self.reactors < needed:
            yield (
                f"rate_per_s is {self.rate_per_s:g}: with think_s {self.think_s:g}, reactors must be at least "
                f"{needed}, not {self.reactors}"
            )
        if self.slow_share + self.stuck_share > 1:
            yield "slow_share and stuck_share are together more than 1"
        for name in ("storm_at_s", "restart_at_s"):
            if getattr(self, name) >= self.duration_s:
                yield f"{name} is {getattr(self, name):g}: the reactions end before, duration_s is {self.duration_s:g}"

    def to_json(self) -> dict[str, Any]:
        """Every key and its value, as plain JSON values."""
        return asdict(self)


KEYS: tuple[Key, ...] = tuple(row.metadata["row"]._replace(name=row.name) for row in fields(Scenario))
_BY_NAME: Final = {row.name: row for row in KEYS}


def shipped() -> tuple[str, ...]:
    """Names of the scenarios that come with the tool."""
    return tuple(sorted(file.name.removesuffix(".toml") for file in _FOLDER.iterdir() if file.name.endswith(".toml")))


def load(source: str, overrides: Iterable[str] = ()) -> Scenario:
    """The scenario called `source`, a shipped one's name or a TOML file's path, with `key=value` texts over it.

    Raises ScenarioError, which names the file or the override, the key, and what is allowed.
    """
    if source in shipped():
        where, text = source, (_FOLDER / f"{source}.toml").read_text("utf-8")
    else:
        where, text = source, _read(source)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"{where} is not TOML: {error}") from None
    values = {name: _checked(where, name, Key.check, given) for name, given in table.items()}
    for override in overrides:
        name, equals, given = override.partition("=")
        if not equals:
            raise ScenarioError(f"--set {override}: expected key=value, such as viewers=500")
        values[name.strip()] = _checked("--set", name.strip(), Key.parse, given)
    try:
        return Scenario(**{"name": Path(source).stem, **values})
    except ScenarioError as error:
        raise ScenarioError(f"{where}: {error}") from None


_FOLDER: Final = resources.files(__package__) / "scenarios"


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8")
    except FileNotFoundError:
        near = _nearest(path, shipped())
        raise ScenarioError(
            f"there is no scenario or file {path!r}{near or ';'} shipped are {', '.join(shipped())}"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ScenarioError(f"the scenario {path!r} cannot be read: {reason}") from None


def _checked(where: str, name: str, check: Callable[[Key, Any], Any], given: Any) -> Any:
    """What `check` makes of the value given for the key called `name`; errors say `where` it was given."""
    row = _BY_NAME.get(name)
    if row is None:
        near = _nearest(name, _BY_NAME)
        raise ScenarioError(f"{where}: there is no key {name!r}{near or '; keys are ' + ', '.join(_BY_NAME)}")
    try:
        return check(row, given)
    except ScenarioError as error:
        raise ScenarioError(f"{where}: {error}") from None


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.5)
    if not near:
        return ""
    row = _BY_NAME.get(near[0])
    return f"; did you mean {near[0]}" + (f", {row.expected}?" if row else "?")
