"""What a client knows and what it still owes to the hub, whatever becomes of its connections. Pure: no I/O, no clock.

The shell around it (client.py) sends what `take` gives, hands in what arrives, and tells when a connection opens and
when it is lost. Every request keeps its `ref` over all connections, and a reaction its `seq` or `id`, so that sending
it again cannot count it twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, NamedTuple

from tallycast_client.backoff import delay_s, retry_after_s
from tallycast_client.errors import Refused
from tallycast_client.lanes import For, Lane, Op, Request
from tallycast_client.messages import (
    MESSAGE_BYTES,
    Counts,
    chunks,
    encode,
    read_counts,
    read_error,
    read_snapshot,
)

ITEM = re.compile(r"[A-Za-z0-9._~:/@%+=,\-]{1,200}")
MAX_FLYING_REACTIONS = 256
AGAIN = ("rate_limited", "unavailable")  # the refusals after which the same message is sent again


class Changed(NamedTuple):
    """The counts of a subscribed item, what the actor says of it, or how many watch it, are other than before."""

    item: str


class Settled(NamedTuple):
    """A request has its answer: counts of the items that it named, or the refusal."""

    ref: int
    answer: tuple[Counts, ...] | Refused


class Failed(NamedTuple):
    """The hub refused what nobody waits for and the client cannot go on without: its token, or an item again."""

    refusal: Refused


class Bye(NamedTuple):
    """The hub is about to close the connection; `retry_after_s` is None where it names no time."""

    retry_after_s: float | None


Effect = Changed | Settled | Failed | Bye


@dataclass(slots=True)
class _Known:
    """The newest of a subscribed item. `mine` has a version of its own: most counts frames come without it.

    `viewers` is whether the subscription that the hub took last asks how many watch; None before it took one.
    """

    counts: Counts | None = None
    mine_v: int = -1
    viewers: bool | None = None


class Session:
    """One client's subscriptions, their newest counts, and its unanswered requests.

    `authenticates`: each connection begins with a token; `renewable`: an expired one can be replaced by asking anew.
    """

    def __init__(
        self, rng: Random, *, authenticates: bool = False, renewable: bool = False, message_bytes: int = MESSAGE_BYTES
    ) -> None:
        self._rng = rng
        self._authenticates = authenticates
        self._renewable = renewable
        self._message_bytes = message_bytes
        self._items: dict[str, _Known] = {}
        # One at a time: a subscription that has to be sent again must not overtake what undoes it.
        self._subscriptions = Lane(window=1, most=1)
        self._reactions = Lane(window=16, most=MAX_FLYING_REACTIONS)
        self._lanes = (self._subscriptions, self._reactions)
        self._again = False  # the hub is to be asked for all items once more
        self._last_ref = 0
        self._last_seq = 0
        self._auth: Literal["none", "wanted", "ready", "flying", "done"] = "none"
        self._auth_ref = 0
        self._auth_data = b""
        self._auth_refusals = 0
        self._auth_from_s = 0.0
        self._renewed = False
        self.actor: str | None = None

    # What the user wishes

    def subscribe(self, items: Iterable[str], *, viewers: bool = False) -> list[int]:
        """Watch items, and how many do where `viewers` is set; the refs to wait for, one a message.

        Raises ValueError for what is no item id.
        """
        checked = [check_item(item) for item in dict.fromkeys(items)]
        for item in checked:
            self._items.setdefault(item, _Known())
        return self._request_items("subscribe", checked, viewers=viewers)

    def unsubscribe(self, items: Iterable[str]) -> list[int]:
        """Watch items no longer; the refs to wait for. Their counts are forgotten at once."""
        known = [item for item in dict.fromkeys(items) if self._items.pop(item, None) is not None]
        return self._request_items("unsubscribe", known)

    def react(self, item: str, kind: str, value: int, now_us: int) -> int:
        """Say `value` of an item in a kind; `now_us` becomes `seq`, or what is just above the last one. The ref."""
        seq = max(now_us, self._last_seq + 1)
        ref = self._request("react", (check_item(item),), item=item, kind=kind, value=value, seq=seq)
        self._reactions.requests[ref].turn = item
        self._last_seq = seq
        return ref

    def event(self, item: str, kind: str, id: str) -> int:
        """Tell that the event `id` of a kind happened to an item. The ref."""
        return self._request("react", (check_item(item),), item=item, kind=kind, id=id)

    def abandon(self, ref: int) -> Refused | None:
        """Nobody waits for the answer any longer; what last stood in its way.

        A reaction is not sent again, a subscription that had no answer is undone.
        """
        lane, request = self._find(ref)
        if request is None:
            return None
        if ref in lane.flying:  # its answer is still to come
            request.answer_for = For.NOBODY
            request.turn = None
        else:
            del lane.requests[ref]
        undone = set(self._forget_unknown(request))
        if undone:  # the hub may have been asked for them already, for this caller or one who gave up before
            flying = (lane.requests[other] for other in lane.flying)
            undone &= {item for other in flying if other.op == "subscribe" for item in other.items}
            self._request_items("unsubscribe", sorted(undone), For.NOBODY)
        return request.refusal

    def newest(self, item: str) -> Counts | None:
        """The newest counts of a subscribed item; None before the first and where it is not subscribed."""
        known = self._items.get(item)
        return known.counts if known is not None else None

    @property
    def items(self) -> list[str]:
        """The items that the user wants to watch."""
        return list(self._items)

    # The connection

    def opened(self) -> None:
        """A connection is open: ask for the token, and for all items again."""
        self._auth = "wanted" if self._authenticates else "done"
        self._renewed = False
        self._again = True

    def lost(self) -> None:
        """The connection is gone, and with it every answer that has not come."""
        self._auth = "none"
        for lane in self._lanes:
            lane.lost()

    @property
    def wants_token(self) -> bool:
        """Whether `authenticate` is to be called with a fresh token."""
        return self._auth == "wanted"

    @property
    def ready(self) -> bool:
        """Whether the connection is open and the hub took its token, where there is one."""
        return self._auth == "done"

    def authenticate(self, token: str) -> None:
        """Use this token on the open connection. Raises ValueError for one that fits no message."""
        self._auth_ref = self._last_ref = self._last_ref + 1
        self._auth_data = encode({"op": "auth", "ref": self._auth_ref, "token": token})
        if len(self._auth_data) > self._message_bytes:
            raise ValueError(f"the token is longer than a message may be ({self._message_bytes} bytes)")
        self._auth = "ready"

    def take(self, now_s: float) -> list[bytes]:
        """The messages to send now, in order."""
        if self._auth == "ready" and now_s >= self._auth_from_s:
            self._auth = "flying"
            return [self._auth_data]
        if self._auth != "done":
            return []
        if self._again and not self._subscriptions.flying:
            self._watch_again()
        return [r.data for lane in self._lanes for r in lane.due(now_s)]

    def wake_s(self, now_s: float) -> float | None:
        """When `take` may have more although nothing happened until then; None: not before something happens."""
        resumes = [lane.resume_s for lane in self._lanes if lane.requests]
        if self._auth == "ready":
            resumes.append(self._auth_from_s)
        return min((resume_s for resume_s in resumes if resume_s > now_s), default=None)

    def receive(self, message: dict[str, Any], now_s: float) -> list[Effect]:
        """What a message of the hub means. Raises ProtocolError."""
        ref = message.get("ref")
        match message["ev"]:
            case "counts":
                return self._learn(read_counts(message))
            case "snapshot":
                return self._answered(ref, read_snapshot(message))
            case "ack":
                return self._answered(ref, [read_counts(message)], tells_viewers=False)
            case "ok":
                return self._answered(ref, [])
            case "auth":
                return self._welcomed(message.get("actor")) if ref == self._auth_ref else []
            case "error":
                return self._refused(ref, read_error(message), now_s)
            case "bye":
                return [Bye(retry_after_s(message.get("retry_after")))]
            case _:
                return []

    # Inside

    def _request(
        self,
        op: Op,
        named: tuple[str, ...],
        answer_for: For = For.CALLER,
        *,
        viewers: bool = False,
        **fields: object,
    ) -> int:
        if viewers:
            fields["viewers"] = True
        ref = self._last_ref + 1
        data = encode({"op": op, "ref": ref, **fields})
        if len(data) > self._message_bytes:
            raise ValueError(f"a message may have {self._message_bytes} bytes, and this has {len(data)}")
        self._last_ref = ref
        lane = self._reactions if op == "react" else self._subscriptions
        lane.requests[ref] = Request(ref, op, data, named, answer_for, viewers=viewers)
        return ref

    def _request_items(
        self, op: Op, items: Iterable[str], answer_for: For = For.CALLER, *, viewers: bool = False
    ) -> list[int]:
        parts = chunks(items, self._message_bytes)
        return [self._request(op, part, answer_for, viewers=viewers, items=part) for part in parts]

    def _watch_again(self) -> None:
        """Ask for every item as it was taken last. What waits comes after it: the newest subscription decides."""
        self._again = False
        waiting, self._subscriptions.requests = self._subscriptions.requests, {}
        for viewers in (False, True):
            items = [item for item, known in self._items.items() if known.viewers is viewers]
            self._request_items("subscribe", items, For.CLIENT, viewers=viewers)
        self._subscriptions.requests |= waiting

    def _find(self, ref: object) -> tuple[Lane, Request | None]:
        for lane in self._lanes:
            if isinstance(ref, int) and ref in lane.requests:
                return lane, lane.requests[ref]
        return self._reactions, None

    def _answered(self, ref: object, found: list[Counts], *, tells_viewers: bool = True) -> list[Effect]:
        effects = [effect for counts in found for effect in self._learn(counts, tells_viewers=tells_viewers)]
        lane, request = self._find(ref)
        if request is not None:
            lane.settle(request.ref)
            self._note_taken(request)
            if request.answer_for is For.CALLER:
                effects.append(Settled(request.ref, tuple(found)))
        return effects

    def _note_taken(self, request: Request) -> None:
        """The hub did what a request says: it now watches the items that it names, or does so no longer."""
        if request.op == "react":
            return
        for item in request.items:
            if item in self._items:
                self._items[item].viewers = request.viewers if request.op == "subscribe" else None

    def _refused(self, ref: object, refusal: Refused, now_s: float) -> list[Effect]:
        if ref == self._auth_ref and self._auth == "flying":
            return self._unwelcome(refusal, now_s)
        lane, request = self._find(ref)
        if request is None:
            return []
        if request.answer_for is not For.NOBODY or request.op == "unsubscribe":
            if refusal.code in AGAIN:
                request.refusal = refusal
                lane.postpone(request.ref, now_s + self._wait_s(refusal, request.refusals))
                request.refusals += 1
                return []
            if refusal.code == "token_expired" and self._renewable and not request.renewed:
                request.renewed = True
                lane.flying.discard(request.ref)
                if self._auth == "done":
                    self._auth = "wanted"
                return []
        lane.settle(request.ref)
        if request.answer_for is For.CLIENT:
            # Somebody believes to watch these items: that must not end without a word.
            wanted = request.op == "subscribe" and any(item in self._items for item in request.items)
            return [Failed(refusal)] if wanted else []
        self._forget_unknown(request)
        return [Settled(request.ref, refusal)] if request.answer_for is For.CALLER else []

    def _welcomed(self, actor: object) -> list[Effect]:
        self._auth = "done"
        self._auth_refusals = 0
        before, self.actor = self.actor, actor if isinstance(actor, str) else None
        if before is not None and before != self.actor:  # what the other one said is not `mine`
            for known in self._items.values():
                known.mine_v = -1
                known.counts = known.counts._replace(mine=None) if known.counts is not None else None
            self._again = True
        return []

    def _unwelcome(self, refusal: Refused, now_s: float) -> list[Effect]:
        if refusal.code in AGAIN:
            self._auth = "ready"
            self._auth_from_s = now_s + self._wait_s(refusal, self._auth_refusals)
            self._auth_refusals += 1
            return []
        if self._renewable and not self._renewed:
            self._renewed = True
            self._auth = "wanted"
            return []
        return [Failed(refusal)]

    def _wait_s(self, refusal: Refused, attempt: int) -> float:
        return (refusal.retry_after_s or 0.0) + delay_s(attempt, self._rng, base_s=0.05, cap_s=5.0)

    def _learn(self, new: Counts, *, tells_viewers: bool = True) -> list[Effect]:
        known = self._items.get(new.item)
        if known is None:
            return []
        before = known.counts
        _, v, counts, mine, viewers = before or Counts(new.item, -1, {})
        if tells_viewers and new.v >= v:  # it has no version of its own: of two frames at one, the later is right
            viewers = new.viewers
        if new.v > v:
            v, counts = new.v, new.counts
        if new.mine is not None and new.v >= known.mine_v:
            mine, known.mine_v = new.mine, new.v
        known.counts = Counts(new.item, v, counts, mine, viewers)
        return [Changed(new.item)] if known.counts != before else []

    def _forget_unknown(self, request: Request) -> list[str]:
        """Drop the items of a subscription that came to nothing, unless they are watched or asked for otherwise."""
        if request.op != "subscribe":
            return []
        last = {
            item: other.op
            for other in self._subscriptions.requests.values()
            if other is not request and (other.op == "unsubscribe" or other.answer_for is not For.NOBODY)
            for item in other.items
        }
        undone = [
            item
            for item in request.items
            if last.get(item) != "subscribe" and (known := self._items.get(item)) is not None and known.viewers is None
        ]
        for item in undone:
            del self._items[item]
        return undone


def check_item(item: str) -> str:
    """The item id itself. Raises ValueError for what is none."""
    if not isinstance(item, str) or not ITEM.fullmatch(item):
        raise ValueError(f"an item id is 1–200 of A–Z a–z 0–9 . _ ~ : / @ % + = , - and not {item!r:.60}")
    return item
