"""All that is checked before a run: the hub is one, it lets us in, and this machine has room."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from tallycast_loadtest import room
from tallycast_loadtest.guests import Place
from tallycast_loadtest.hub import BadInput, Hub, missing, sign
from tallycast_loadtest.scenario import Scenario
from tallycast_loadtest.thresholds import Limit
from tallycast_loadtest.wishes import Rule
from tallycast_loadtest.worker import Share


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is to be run. `origin` None: the hub's own. `public`: it may be an address of the internet."""

    url: str
    scenario: Scenario
    processes: int
    secret: str | None = None
    origin: str | None = None
    public: bool = False
    restart: str | None = None
    limits: Sequence[Limit] = ()
    command: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that a run needs."""

    options: Options
    hub: Hub
    rules: dict[str, Rule]
    tick_ms: float
    viewers_token: str | None
    shares: list[Share]


def prepare(options: Options) -> Prepared:
    """Look whether the run can be made. Raises BadInput, Unreachable."""
    scenario, hub = options.scenario, Hub(options.url)
    target = hub.target(public=options.public)
    rules, tick_ms = hub.config()
    if unknown := missing(scenario.kinds, rules):
        raise BadInput(unknown)
    connections = scenario.viewers + scenario.reactors
    parts = max(1, min(options.processes, max(scenario.viewers, scenario.reactors)))
    room.open_files(-(-scenario.viewers // parts) + -(-scenario.reactors // parts))
    place = Place(
        target,
        hub.origin if options.origin is None else options.origin,
        room.sources(target, connections),
        room.PER_SOURCE,
    )
    run = secrets.token_hex(4)
    viewers_token = _viewers_token(hub, options, run)
    tokens = _tokens(hub, options, run, room.visitors_sources(target))
    shares = [
        Share(
            run=run,
            part=part,
            parts=parts,
            scenario=scenario,
            items=tuple(f"load:{run}:{number}" for number in range(scenario.items)),
            rules=rules,
            place=place,
            tokens={number: tokens[number] for number in range(part, scenario.reactors, parts)},
            viewers_token=viewers_token,
        )
        for part in range(parts)
    ]
    return Prepared(options, hub, rules, tick_ms, viewers_token, shares)


def _viewers_token(hub: Hub, options: Options, run: str) -> str | None:
    if options.secret is not None:
        token = sign(f"load:{run}:viewer", options.secret)
        if not hub.shows_counts_to(token):
            raise BadInput("the hub refuses tokens under this secret: --secret-file must hold its TALLYCAST_SECRET")
        return None if hub.shows_counts_to(None) else token
    if not hub.shows_counts_to(None):
        raise BadInput(
            "this hub shows counts only to those who have a token (TALLYCAST_VIEWING=token): give its secret with "
            "--secret-file or TALLYCAST_SECRET"
        )
    return None


def _tokens(hub: Hub, options: Options, run: str, sources: Sequence[str] | None) -> list[str]:
    number, identity = options.scenario.reactors, options.scenario.identity
    if identity == "tokens" and options.secret is None:
        raise BadInput("identity is tokens: give the hub's secret with --secret-file or TALLYCAST_SECRET")
    if options.secret is not None and identity != "visitors":
        return [sign(f"load:{run}:{actor}", options.secret) for actor in range(number)]
    return hub.visitors(number, itertools.cycle(sources or [None]))
