"""Deliveries: which message goes to which webhook, how often that was tried and when it is tried again."""

from __future__ import annotations

from random import Random
from typing import Any, Literal, NamedTuple

import orjson

from tallycast.alerts.webhooks import Type, message

SPACE = "deliveries"
DEAD = "dead"  # the journal of those that were given up
MOST_DEAD = 10_000  # of its entries
MOST_WAITING = 200  # of one webhook
MOST_DONE = 500  # that are kept, of all webhooks: they are shown, and nothing is put in the queue a second time

# Seconds after the first, second … failure: a day in all. The specification's own advice, its end drawn together.
DELAYS_S = (5, 300, 1800, 7200, 18_000, 36_000, 21_600)
JITTER = 0.1  # of the delay, up or down, so that many who failed together do not come back together
LONGEST_S = 2 * 86_400.0

State = Literal["waiting", "delivered", "dead"]


class Delivery(NamedTuple):
    """A message of the firing `id` for one webhook. Times are Unix times in seconds.

    `prefix` is of the alert that fired: whose keys may see it. `event` is the message's type, `data` what it says.
    """

    id: str
    webhook: str
    alert: str
    prefix: str
    event: str
    data: dict[str, Any]
    made_at: float
    state: State = "waiting"
    attempts: int = 0
    next_at: float = 0.0
    status: int | None = None
    error: str = ""
    ended_at: float = 0.0

    @property
    def key(self) -> str:
        """Under which it is kept: firing and webhook."""
        return f"{self.id}.{self.webhook}"

    def body(self, type_: Type) -> bytes:
        """What is sent, each time the same."""
        return message(type_, self.event, self.made_at, self.data)

    def due(self, now_s: float) -> bool:
        """Whether it is to be tried now. A time so far away was set by a clock that went wrong."""
        return self.state == "waiting" and not now_s < self.next_at <= now_s + LONGEST_S

    def public(self) -> dict[str, Any]:
        """The delivery as the API shows it."""
        return {
            "id": self.key,
            "webhook": self.webhook,
            "alert": self.alert,
            "text": self.data["text"],
            "state": self.state,
            "attempts": self.attempts,
            "status": self.status,
            "error": self.error,
            "at": self.made_at,
            "next_at": self.next_at or self.made_at if self.state == "waiting" else None,
        }


def load_delivery(body: bytes) -> Delivery:
    """A document of the space `deliveries`, or an entry of the journal `dead`."""
    return Delivery(**orjson.loads(body))


def dump_delivery(delivery: Delivery) -> bytes:
    """The document of a delivery."""
    return orjson.dumps(delivery._asdict())


def delay_s(failures: int, rng: Random, asked_s: float = 0.0) -> float | None:
    """Seconds to wait after so many failures (1 or more), None when it is given up.

    At least as long as the target asked for, within a day.
    """
    if failures > len(DELAYS_S):
        return None
    return max(DELAYS_S[failures - 1] * rng.uniform(1 - JITTER, 1 + JITTER), min(asked_s, 86_400.0))
