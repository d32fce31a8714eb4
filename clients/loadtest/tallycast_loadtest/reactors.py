"""Those who react: each an actor of its own on a connection of its own, by a schedule that waits for nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any, Final, NamedTuple

import orjson

from tallycast_loadtest import schedule
from tallycast_loadtest.guests import Guest, Lobby, Place
from tallycast_loadtest.latency import Window
from tallycast_loadtest.line import frame, upgrade
from tallycast_loadtest.oracle import Ledger
from tallycast_loadtest.scenario import Scenario
from tallycast_loadtest.schedule import Planned
from tallycast_loadtest.tally import Tally
from tallycast_loadtest.wishes import Rule, Wishes

_STEP_S: Final = 0.001  # between two looks at what is due: what came due meanwhile goes out together
_RETRY_S: Final = 1.0  # after `unavailable`, where the hub does not say


class Reaction(NamedTuple):
    """One that is not answered yet. `intended_ns` is when the schedule wanted it, on CLOCK_MONOTONIC."""

    number: int
    intended_ns: int
    item: str
    kind: str
    value: int | None
    frame: bytes


class Crowd(Lobby):
    """The reactors of one process. `tokens` are theirs, by their number among all reactors of the run."""

    def __init__(
        self,
        scenario: Scenario,
        items: Sequence[str],
        rules: Mapping[str, Rule],
        place: Place,
        tokens: Mapping[int, str],
        tally: Tally,
        *,
        run: str,
        part: int,
        parts: int,
    ) -> None:
        super().__init__(place, tally, Random(f"{scenario.seed} reactors {part}"), Window(), Window())
        self.ledger = Ledger(rules)
        self.unanswered = 0
        self._wishes = Wishes(rules)
        self._items, self._run, self._part = items, run, part
        self._ramp_s = scenario.ramp_s / max(1, scenario.reactors)
        self._plan: Iterator[Planned] = schedule.reactions(scenario, part, parts)
        self._next = next(self._plan, None)
        self._seq = time.time_ns() // 1000
        self._number = 0
        self._reactors = {
            number: Reactor(self, number, scenario.viewers + number, token) for number, token in tokens.items()
        }

    def start(self, start_s: float) -> None:
        """Let them come, evenly over the ramp; `start_s` is the run's start on the loop's clock."""
        for number, reactor in self._reactors.items():
            reactor.come(start_s + number * self._ramp_s)

    def begin(self, begin_s: float) -> None:
        """The schedule begins, at that time of the loop's clock."""
        self._begin_s, self._begin_ns = begin_s, int(begin_s * 1e9)
        self.loop.call_at(begin_s, self._drain)

    def halt(self) -> None:
        """Say what is due by now, and nothing more: a loop that is late must not shorten the schedule."""
        self._drain()
        self._next = None

    def _drain(self) -> None:
        """Say all that is due."""
        planned, now_s = self._next, time.monotonic()
        while planned is not None and self._begin_s + planned.at_s <= now_s:
            self._say(planned)
            planned = next(self._plan, None)
        self._next = planned
        if planned is not None:
            self.loop.call_at(max(self._begin_s + planned.at_s, now_s + _STEP_S), self._drain)

    def _say(self, planned: Planned) -> None:
        item, kind = self._items[planned.item], planned.kind
        value = self._wishes.next(planned.reactor, item, kind)
        self._number = number = self._number + 1
        message: dict[str, Any] = {"op": "react", "ref": number, "item": item, "kind": kind}
        if value is None:
            message["id"] = f"{self._run}.{self._part}.{number}"
        else:
            message |= {"value": value, "seq": self._seq + number}
        self.tally.offered += 1
        self.unanswered += 1
        intended_ns = self._begin_ns + int(planned.at_s * 1e9)
        self._reactors[planned.reactor].say(
            Reaction(number, intended_ns, item, kind, value, frame(orjson.dumps(message)))
        )

    def sent(self, reactor: int, reaction: Reaction) -> None:
        """The reaction goes out, for the first time or again."""
        self.ledger.sent(
            reaction.number, reactor, reaction.item, reaction.kind, reaction.value, self._seq + reaction.number
        )

    def acked(self, reaction: Reaction, v: int) -> None:
        """The hub says that the reaction stands, or something newer."""
        tally = self.tally
        self.unanswered -= 1
        tally.acked += 1
        tally.ack_us.append((time.monotonic_ns() - reaction.intended_ns) // 1000)
        tally.answers[reaction.item, v].append(reaction.intended_ns // 1000)
        self.ledger.acked(reaction.number)

    def refused(self, reaction: Reaction) -> None:
        """The hub will not have the reaction."""
        self.unanswered -= 1
        self.ledger.refused(reaction.number)


class Reactor(Guest):
    """One actor. What is not answered when its connection ends is said again on the next, unchanged."""

    __slots__ = ("_crowd", "_id", "_open", "_token", "_unsent")

    def __init__(self, crowd: Crowd, id_: int, number: int, token: str) -> None:
        super().__init__(crowd, number)
        self._crowd, self._id, self._token = crowd, id_, token
        self._open: dict[int, Reaction] = {}
        self._unsent: set[int] = set()

    def request(self) -> bytes:
        return upgrade(self._crowd.place.target, self._token, self._crowd.place.origin)

    def opened(self, transport: asyncio.Transport) -> None:
        super().opened(transport)
        self.seated()
        for reaction in self._open.values():
            self._send(reaction)

    def say(self, reaction: Reaction) -> None:
        """Send it now, or as soon as there is a connection."""
        self._open[reaction.number] = reaction
        self._unsent.add(reaction.number)
        if self.live:
            self._send(reaction)

    def _send(self, reaction: Reaction) -> None:
        self.transport.write(reaction.frame)
        self._crowd.sent(self._id, reaction)
        if reaction.number in self._unsent:
            self._unsent.discard(reaction.number)
            self._crowd.tally.sent += 1

    def heard(self, text: bytes, frame: bytes) -> None:
        message = orjson.loads(text)
        match message["ev"]:
            case "ack":
                reaction = self._open.pop(message["ref"], None)
                if reaction is not None:
                    self._crowd.acked(reaction, message["v"])
            case "error":
                self._refused(message)
            case "bye":
                self.bye(message)

    def _refused(self, message: dict[str, Any]) -> None:
        self._crowd.tally.error(message["code"], message["message"])
        reaction = self._open.get(message.get("ref", 0))
        if reaction is None:
            return
        if message["code"] == "unavailable":
            self._crowd.loop.call_later(message.get("retry_after", _RETRY_S), self._again_said, reaction)
        else:
            del self._open[reaction.number]
            self._crowd.refused(reaction)

    def _again_said(self, reaction: Reaction) -> None:
        if self.live and reaction.number in self._open:
            self._send(reaction)
