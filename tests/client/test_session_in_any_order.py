"""The session and a hub by the book: whatever comes in whatever order, it ends at the hub's truth."""

from __future__ import annotations

import json
from collections import Counter, deque
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scripted import Truth
from tallycast_client.errors import Refused
from tallycast_client.messages import Counts
from tallycast_client.session import Changed, Session, Settled

ITEMS = st.sampled_from(["post:1", "post:2"])


class AnyOrder(RuleBasedStateMachine):
    """A session, a hub by the book, and a wire between them that delivers in order, or breaks.

    `watched` is what the hub sends to this connection, each item with whether it tells how many watch; `wanted` what
    the user believes to watch, and `asked` how they asked for it last with success: None where an answer that nobody
    waited for may have decided that.
    """

    @initialize()
    def begin(self) -> None:
        self.truth = Truth()
        self.session = Session(Random(1), authenticates=True)
        self.now_s = 0.0
        self.to_hub: deque[dict[str, Any]] = deque()
        self.to_client: deque[dict[str, Any]] = deque()
        self.watched: dict[str, bool] = {}
        self.wanted: set[str] = set()
        self.asked: dict[str, bool | None] = {}
        self.taken: set[str] = set()  # of those wanted, what the hub was heard to watch
        self.viewers: Counter[str] = Counter()
        self.waiting: set[int] = set()
        self.subscriptions: dict[int, tuple[str, bool]] = {}
        self.unsubscribed: dict[int, list[str]] = {}
        self.left: dict[str, int] = {}  # the ref of the last end of a subscription that was asked for
        self.wishes: dict[tuple[str, str], int] = {}
        self.events: dict[str, set[str]] = {}
        self.connected = False
        self.history: dict[str, list[dict[str, Any]]] = {}  # every frame that an item ever had
        self.seen: dict[str, int] = {}
        self.connect()
        self.subscribe("post:1", viewers=True)
        self.for_a_while_all_is_well()

    @rule(item=ITEMS, viewers=st.booleans())
    def subscribe(self, item: str, viewers: bool) -> None:
        self.wanted.add(item)
        (ref,) = self.session.subscribe([item], viewers=viewers)
        self.waiting.add(ref)
        self.subscriptions[ref] = item, viewers

    @rule(item=ITEMS)
    def unsubscribe(self, item: str) -> None:
        self.forget(item)
        refs = self.session.unsubscribe([item])
        self.waiting.update(refs)
        self.left[item] = max([*refs, self.left.get(item, 0)])

    @precondition(lambda self: self.waiting & self.subscriptions.keys())
    @rule(data=st.data())
    def nobody_waits_any_longer(self, data: st.DataObject) -> None:
        ref = data.draw(st.sampled_from(sorted(self.waiting & self.subscriptions.keys())))
        self.session.abandon(ref)
        self.came_to_nothing(ref)
        self.asked[self.subscriptions[ref][0]] = None

    def came_to_nothing(self, ref: int) -> None:
        self.waiting.discard(ref)
        item, _ = self.subscriptions[ref]
        since = self.left.get(item, 0)
        others = {self.subscriptions.get(other, ("",))[0] for other in self.waiting if other > since}
        if item not in self.taken and item not in others:
            self.forget(item)

    def forget(self, item: str) -> None:
        self.wanted.discard(item)
        self.taken.discard(item)
        self.seen.pop(item, None)

    @rule(item=ITEMS, value=st.integers(0, 50))
    def clap(self, item: str, value: int) -> None:
        self.wishes[item, "clap"] = value
        self.waiting.add(self.session.react(item, "clap", value, 7))

    @rule(item=ITEMS, kind=st.sampled_from(["like", "dislike"]), value=st.integers(0, 1))
    def judge(self, item: str, kind: str, value: int) -> None:
        if value:
            self.wishes |= {(item, "like"): 0, (item, "dislike"): 0}
        self.wishes[item, kind] = value
        self.waiting.add(self.session.react(item, kind, value, 7))

    @rule(item=ITEMS)
    def share(self, item: str) -> None:
        ids = self.events.setdefault(item, set())
        ids.add(f"event-{item}-{len(ids)}")
        self.waiting.add(self.session.event(item, "share", f"event-{item}-{len(ids) - 1}"))

    @rule(item=ITEMS)
    def somebody_else_reacts(self, item: str) -> None:
        value = 1 - self.truth.mine(item, "somebody").get("love", 0)
        self.count("somebody", {"item": item, "kind": "love", "value": value})

    @rule(item=ITEMS)
    def another_device_reacts(self, item: str) -> None:
        value = 1 - self.truth.mine(item, "me").get("love", 0)
        self.count("me", {"item": item, "kind": "love", "value": value})
        if item in self.watched:
            self.push({"ev": "counts", **self.truth.body(item, "me")})

    @rule(item=ITEMS, viewers=st.integers(0, 3))
    def somebody_else_comes_or_goes(self, item: str, viewers: int) -> None:
        if self.viewers[item] != viewers:
            self.viewers[item] = viewers
            if self.watched.get(item):
                self.push({"ev": "counts", **self.truth.body(item)})

    @precondition(lambda self: self.connected and self.history)
    @rule(data=st.data())
    def an_old_frame_comes_again(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(sorted(self.history)))
        self.push(data.draw(st.sampled_from(self.history[item])))

    def count(self, actor: str, message: dict[str, Any]) -> None:
        item = message["item"]
        before = self.truth.versions.get(item)
        self.truth.react(actor, message)
        if self.truth.versions.get(item) != before:
            frame = {"ev": "counts", **self.truth.body(item)}
            self.history.setdefault(item, []).append(frame)
            if item in self.watched:
                self.push(frame)

    def push(self, frame: dict[str, Any]) -> None:
        self.to_client.append(self.told(frame))

    def told(self, body: dict[str, Any]) -> dict[str, Any]:
        """With how many watch, where this connection has asked for it."""
        return {**body, "viewers": self.viewers[body["item"]]} if self.watched.get(body["item"]) else body

    @invariant()
    def what_is_known_was_true_once_and_never_goes_back(self) -> None:
        for item in self.wanted if hasattr(self, "wanted") else ():
            newest = self.session.newest(item)
            if newest is not None and newest.v:
                assert newest.counts == next(f["counts"] for f in self.history[item] if f["v"] == newest.v)
                assert newest.v >= self.seen.get(item, 0)
                self.seen[item] = newest.v

    @precondition(lambda self: not self.connected)
    @rule()
    def connect(self) -> None:
        self.connected = True
        self.session.opened()
        self.session.authenticate("me")

    @precondition(lambda self: self.connected)
    @rule()
    def cut(self) -> None:
        self.connected = False
        self.to_hub.clear()
        self.to_client.clear()
        self.watched.clear()
        self.session.lost()

    @rule(seconds=st.floats(0, 2))
    def send(self, seconds: float) -> None:
        self.now_s += seconds
        self.to_hub.extend(json.loads(data) for data in self.session.take(self.now_s))

    @precondition(lambda self: bool(self.to_hub))
    @rule()
    def the_hub_works(self) -> None:
        message = self.to_hub.popleft()
        ref = message["ref"]
        match message["op"]:
            case "auth":
                self.to_client.append({"ev": "auth", "ref": ref, "actor": "me"})
            case "subscribe":
                self.watched |= dict.fromkeys(message["items"], message.get("viewers", False))
                items = [self.told(self.truth.body(item, "me")) for item in message["items"]]
                self.to_client.append({"ev": "snapshot", "ref": ref, "items": items})
            case "unsubscribe":
                for item in message["items"]:
                    self.watched.pop(item, None)
                self.unsubscribed[ref] = message["items"]
                self.to_client.append({"ev": "ok", "ref": ref})
            case "react":
                self.count("me", message)
                self.to_client.append({"ev": "ack", "ref": ref, **self.truth.body(message["item"], "me")})

    @precondition(lambda self: bool(self.to_hub) and self.to_hub[0]["op"] != "auth")
    @rule(code=st.sampled_from(["rate_limited", "unavailable"]))
    def the_hub_cannot_now(self, code: str) -> None:
        message = self.to_hub.popleft()
        self.to_client.append(
            {"ev": "error", "ref": message["ref"], "code": code, "message": "later", "retry_after": 0.5}
        )

    @precondition(lambda self: bool(self.to_hub) and self.to_hub[0]["ref"] in self.waiting & self.subscriptions.keys())
    @rule()
    def the_hub_refuses_what_is_new(self) -> None:
        message = self.to_hub.popleft()
        self.to_client.append({"ev": "error", "ref": message["ref"], "code": "forbidden", "message": "no"})

    @precondition(lambda self: bool(self.to_client))
    @rule()
    def the_client_reads(self) -> None:
        message = self.to_client.popleft()
        match message["ev"]:
            case "snapshot":
                self.taken |= self.wanted & {body["item"] for body in message["items"]}
            case "ok":
                self.taken.difference_update(self.unsubscribed[message["ref"]])
        for effect in self.session.receive(message, self.now_s):
            if isinstance(effect, Settled):
                self.waiting.remove(effect.ref)  # answered once, and only what was asked
                if isinstance(effect.answer, Refused):
                    assert effect.answer.code == "forbidden"
                    self.came_to_nothing(effect.ref)
                elif effect.ref in self.subscriptions:
                    item, viewers = self.subscriptions[effect.ref]
                    self.asked[item] = viewers
            else:
                assert isinstance(effect, Changed)

    @precondition(lambda self: self.connected)
    @rule()
    def for_a_while_all_is_well(self) -> None:
        for _ in range(10_000):
            self.send(1.0)
            if not self.to_hub and not self.to_client and self.session.wake_s(self.now_s) is None:
                self.everything_is_as_it_was_asked_for()
                return
            while self.to_hub:
                self.the_hub_works()
            while self.to_client:
                self.the_client_reads()
        raise AssertionError("it never comes to rest")

    def teardown(self) -> None:
        if not hasattr(self, "session"):
            return
        if not self.connected:
            self.connect()
        self.for_a_while_all_is_well()

    def everything_is_as_it_was_asked_for(self) -> None:
        assert self.waiting == set()
        assert set(self.session.items) == self.wanted == self.watched.keys()
        for item, tells in self.watched.items():
            assert self.asked[item] in (None, tells)
            assert self.session.newest(item) == Counts(**self.told(self.truth.body(item, "me")))
        for (item, kind), value in self.wishes.items():
            assert self.truth.mine(item, "me").get(kind, 0) == value
        for item, ids in self.events.items():
            assert self.truth.counts(item)["share"] == len(ids)


AnyOrder.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestItEndsAtTheTruthInWhateverOrderThingsCome = AnyOrder.TestCase
