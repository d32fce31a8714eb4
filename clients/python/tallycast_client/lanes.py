"""Requests that have no answer yet, in the order and at the pace in which the hub takes them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

from tallycast_client.errors import Refused

Op = Literal["subscribe", "unsubscribe", "react"]


class For(Enum):
    """Whom a request's answer is for."""

    CALLER = "somebody waits"
    CLIENT = "the client itself, which keeps up what the caller was told that it has"
    NOBODY = "who waited gave up"


@dataclass(slots=True)
class Request:
    """A message without an answer; `refusal` is the last one that asked to wait.

    Requests of the same `turn` go out one by one: a hub that refuses the first for now and takes the second would
    else be told them in another order than the user said them.
    """

    ref: int
    op: Op
    data: bytes
    items: tuple[str, ...]
    answer_for: For
    turn: str | None = None
    refusals: int = 0
    refusal: Refused | None = None
    renewed: bool = False
    viewers: bool = False  # a subscription that asks how many watch


@dataclass(slots=True)
class Lane:
    """Requests that go out in their order, at most `window` of them unanswered.

    The window halves with a refusal that asks to wait and grows by one with an answer, up to `most` (AIMD, after
    TCP): a hub that takes ten reactions a second is sent about so many, and not all that wait, again and again.
    """

    window: int
    most: int
    requests: dict[int, Request] = field(default_factory=dict)
    flying: set[int] = field(default_factory=set)
    resume_s: float = 0.0

    def due(self, now_s: float) -> list[Request]:
        """The requests to send now; they fly from here on."""
        if now_s < self.resume_s:
            return []
        due = []
        turns = set()
        for request in self.requests.values():
            if len(self.flying) >= self.window:
                break
            held = request.turn in turns
            if request.turn is not None:
                turns.add(request.turn)
            if request.ref not in self.flying and not held:
                self.flying.add(request.ref)
                due.append(request)
        return due

    def settle(self, ref: int) -> None:
        """The request has its answer."""
        del self.requests[ref]
        self.flying.discard(ref)
        self.window = min(self.window + 1, self.most)

    def postpone(self, ref: int, until_s: float) -> None:
        """The request, and those after it, go out at `until_s` at the earliest."""
        self.flying.discard(ref)
        self.window = max(1, self.window // 2)
        self.resume_s = max(self.resume_s, until_s)

    def lost(self) -> None:
        """Nothing that flies will be answered. What nobody waits for is not sent again."""
        self.flying.clear()
        self.requests = {ref: r for ref, r in self.requests.items() if r.answer_for is For.CALLER}
