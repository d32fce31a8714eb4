"""The session alone: whatever comes in whatever order, it ends at the server's truth."""

from __future__ import annotations

import json
from collections import deque
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scripted import Truth
from tallycast_client.errors import AuthRefused, Refused
from tallycast_client.messages import Counts, chunks
from tallycast_client.session import Bye, Changed, Failed, Session, Settled

ITEMS = st.sampled_from(["post:1", "post:2"])


def opened(**options: Any) -> Session:
    session = Session(Random(1), **options)
    session.opened()
    return session


def sent(session: Session, now_s: float = 0.0) -> list[dict[str, Any]]:
    return [json.loads(data) for data in session.take(now_s)]


def snapshot(ref: int, *items: dict[str, Any]) -> dict[str, Any]:
    return {"ev": "snapshot", "ref": ref, "items": list(items)}


def watching(**options: Any) -> Session:
    """A session that watches post:1 at version 5."""
    session = opened(**options)
    (ref,) = session.subscribe(["post:1"])
    session.take(0)
    session.receive(snapshot(ref, {"item": "post:1", "v": 5, "counts": {"like": 5}, "mine": {}}), 0)
    return session


def counts(v: int) -> dict[str, Any]:
    return {"ev": "counts", "item": "post:1", "v": v, "counts": {"like": v}}


def test_the_newest_version_stands_whatever_comes_after_it() -> None:
    session = watching()
    assert session.receive(counts(7), 0) == [Changed("post:1")]
    assert session.receive(counts(6), 0) == []
    assert session.receive(counts(7), 0) == []
    assert session.newest("post:1") == Counts("post:1", 7, {"like": 7}, {})


def test_a_snapshot_older_than_the_counts_before_it_changes_nothing() -> None:
    session = watching()
    session.receive(counts(9), 0)
    session.lost()
    session.opened()
    (message,) = sent(session)
    old = {"item": "post:1", "v": 8, "counts": {"like": 8}, "mine": {}}
    session.receive(snapshot(message["ref"], old), 0)
    assert session.newest("post:1") == Counts("post:1", 9, {"like": 9}, {})


def test_an_ack_brings_what_the_actor_says_even_when_its_counts_are_old_news() -> None:
    session = watching()
    ref = session.react("post:1", "like", 1, 100)
    session.take(0)
    session.receive(counts(8), 0)
    ack = {"ev": "ack", "ref": ref, "item": "post:1", "v": 6, "counts": {"like": 6}, "mine": {"like": 1}}
    assert session.receive(ack, 0) == [
        Changed("post:1"),
        Settled(ref, (Counts("post:1", 6, {"like": 6}, {"like": 1}),)),
    ]
    assert session.newest("post:1") == Counts("post:1", 8, {"like": 8}, {"like": 1})


def test_counts_of_items_that_are_not_watched_are_not_kept() -> None:
    session = watching()
    session.unsubscribe(["post:1"])
    assert session.receive(counts(7), 0) == []
    assert session.newest("post:1") is None


def test_seq_grows_although_the_clock_stands_still_or_goes_back() -> None:
    session = opened()
    for item, now_us in (("post:1", 100), ("post:2", 100), ("post:3", 50)):
        session.react(item, "like", 1, now_us)
    assert [message["seq"] for message in sent(session)] == [100, 101, 102]


def test_what_was_not_acknowledged_is_sent_again_unchanged_on_the_next_connection() -> None:
    session = opened()
    session.react("post:1", "like", 1, 100)
    session.event("post:1", "share", "0123456789")
    first = sent(session)
    assert sent(session) == []
    session.lost()
    assert sent(session) == []
    session.opened()
    assert sent(session) == first


def test_a_new_connection_watches_every_item_again_before_it_reacts() -> None:
    session = watching()
    session.react("post:1", "like", 1, 100)
    session.lost()
    session.opened()
    assert [(m["op"], m.get("items")) for m in sent(session)] == [("subscribe", ["post:1"]), ("react", None)]


def test_what_is_said_of_one_item_goes_out_in_turn_and_events_need_not_wait() -> None:
    session = opened()
    first, second = session.react("post:1", "dislike", 1, 1), session.react("post:1", "like", 0, 2)
    event = session.event("post:1", "share", "0123456789")
    assert [message["ref"] for message in sent(session)] == [first, event]
    ack = {"ev": "ack", "ref": first, "item": "post:1", "v": 6, "counts": {"dislike": 1}, "mine": {"dislike": 1}}
    session.receive(ack, 0)
    assert [message["ref"] for message in sent(session)] == [second]


def test_a_rate_limited_reaction_goes_out_again_when_its_time_has_come_and_those_behind_it_wait() -> None:
    session = opened()
    refs = [session.react(f"post:{number}", "clap", 1, number) for number in range(1, 4)]
    session.take(10.0)
    refused = {"ev": "error", "ref": refs[0], "code": "rate_limited", "message": "slow down", "retry_after": 2.0}
    assert session.receive(refused, 10.0) == []
    later = session.react("post:4", "clap", 1, 4)
    assert sent(session, 11.9) == []
    wake_s = session.wake_s(10.0)
    assert wake_s is not None
    assert 12.0 <= wake_s <= 12.1
    assert [message["ref"] for message in sent(session, wake_s)] == [refs[0], later]


def test_a_refusing_hub_is_sent_ever_fewer_reactions_at_once() -> None:
    session = opened()
    for number in range(40):
        session.react(f"post:{number}", "clap", 1, number + 1)
    now_s, sizes = 0.0, []
    for _ in range(5):
        batch = sent(session, now_s)
        sizes.append(len(batch))
        for message in batch:
            session.receive({"ev": "error", "ref": message["ref"], "code": "unavailable", "message": "no"}, now_s)
        now_s = session.wake_s(now_s) or now_s
    assert sizes == [16, 1, 1, 1, 1]


def test_a_refusal_that_no_retry_mends_is_the_answer() -> None:
    session = opened()
    ref = session.react("post:1", "wow", 1, 1)
    session.take(0)
    (effect,) = session.receive({"ev": "error", "ref": ref, "code": "unknown_kind", "message": "no such kind"}, 0)
    assert isinstance(effect, Settled)
    assert isinstance(effect.answer, Refused)
    assert (effect.ref, effect.answer.code, str(effect.answer)) == (ref, "unknown_kind", "no such kind")
    session.lost()
    session.opened()
    assert sent(session) == []


def test_a_subscription_that_is_refused_is_not_tried_again_on_the_next_connection() -> None:
    session = opened()
    (ref,) = session.subscribe(["post:1"])
    session.take(0)
    (effect,) = session.receive({"ev": "error", "ref": ref, "code": "too_many_items", "message": "no"}, 0)
    assert isinstance(effect, Settled)
    assert session.items == []


def test_an_item_that_a_new_connection_may_not_watch_any_more_is_a_failure_and_not_silence() -> None:
    session = watching()
    session.lost()
    session.opened()
    (message,) = sent(session)
    (effect,) = session.receive({"ev": "error", "ref": message["ref"], "code": "forbidden", "message": "no"}, 0)
    assert isinstance(effect, Failed)
    assert effect.refusal.code == "forbidden"


def test_nothing_but_the_token_goes_out_before_the_hub_took_it() -> None:
    session = opened(authenticates=True)
    session.subscribe(["post:1"])
    assert session.wants_token
    assert sent(session) == []
    session.authenticate("a token")
    (auth,) = sent(session)
    assert (auth["op"], auth["token"]) == ("auth", "a token")
    assert sent(session) == []
    session.receive({"ev": "auth", "ref": auth["ref"], "actor": "u:1"}, 0)
    assert [message["op"] for message in sent(session)] == ["subscribe"]
    assert session.actor == "u:1"


def test_a_wrong_token_is_a_failure() -> None:
    session = opened(authenticates=True)
    session.authenticate("wrong")
    (auth,) = sent(session)
    (effect,) = session.receive({"ev": "error", "ref": auth["ref"], "code": "bad_token", "message": "no"}, 0)
    assert isinstance(effect, Failed)
    assert isinstance(effect.refusal, AuthRefused)


def test_an_expired_token_is_replaced_once_and_the_reaction_goes_out_again() -> None:
    session = opened(authenticates=True, renewable=True)
    session.authenticate("first")
    session.receive({"ev": "auth", "ref": sent(session)[0]["ref"], "actor": "u:1"}, 0)
    ref = session.react("post:1", "like", 1, 1)
    (reaction,) = sent(session)
    expired = {"ev": "error", "ref": ref, "code": "token_expired", "message": "expired"}
    assert session.receive(expired, 0) == []
    assert session.wants_token
    session.authenticate("second")
    session.receive({"ev": "auth", "ref": sent(session)[0]["ref"], "actor": "u:1"}, 0)
    assert sent(session) == [reaction]
    (effect,) = session.receive(expired, 0)
    assert isinstance(effect, Settled)
    assert isinstance(effect.answer, AuthRefused)


def test_what_another_actor_said_is_forgotten_when_the_token_changes_hands() -> None:
    session = opened(authenticates=True, renewable=True)
    session.authenticate("first")
    session.receive({"ev": "auth", "ref": sent(session)[0]["ref"], "actor": "v:1"}, 0)
    (ref,) = session.subscribe(["post:1"])
    session.take(0)
    session.receive(snapshot(ref, {"item": "post:1", "v": 5, "counts": {"like": 1}, "mine": {"like": 1}}), 0)
    session.lost()
    session.opened()
    session.authenticate("second")
    session.receive({"ev": "auth", "ref": sent(session)[0]["ref"], "actor": "v:2"}, 0)
    assert session.newest("post:1") == Counts("post:1", 5, {"like": 1}, None)
    message = sent(session)[0]
    session.receive(snapshot(message["ref"], {"item": "post:1", "v": 5, "counts": {"like": 1}, "mine": {}}), 0)
    assert session.newest("post:1") == Counts("post:1", 5, {"like": 1}, {})


def test_an_abandoned_reaction_is_not_sent_again() -> None:
    session = opened()
    flying, queued = session.react("post:1", "like", 1, 1), session.react("post:1", "love", 1, 2)
    session.take(0)
    for ref in (flying, queued):
        session.abandon(ref)
    session.lost()
    session.opened()
    assert sent(session) == []


def test_an_abandoned_subscription_is_undone() -> None:
    session = opened()
    (ref,) = session.subscribe(["post:1"])
    session.take(0)
    session.abandon(ref)
    assert session.receive(snapshot(ref, {"item": "post:1", "v": 5, "counts": {}}), 0) == []
    assert [(m["op"], m["items"]) for m in sent(session)] == [("unsubscribe", ["post:1"])]
    assert session.items == []


def test_events_and_fields_of_a_later_hub_are_let_pass() -> None:
    session = watching()
    assert session.receive({"ev": "weather", "ref": 1, "sun": True}, 0) == []
    assert session.receive({**counts(7), "colour": "red"}, 0) == [Changed("post:1")]


@pytest.mark.parametrize(("wish", "waits_s"), [(2.7, 2.7), (0, 0.0), (1e9, 300.0), (-1, None), ("soon", None)])
def test_a_bye_says_how_long_to_stay_away_within_reason(wish: object, waits_s: float | None) -> None:
    assert opened().receive({"ev": "bye", "reason": "restart", "retry_after": wish}, 0) == [Bye(waits_s)]


@pytest.mark.parametrize("item", ["", "a b", "x" * 201, "ü", 'a"b'])
def test_what_is_no_item_id_never_reaches_the_hub(item: str) -> None:
    session = opened()
    for call in (lambda: session.subscribe(["ok", item]), lambda: session.react(item, "like", 1, 1)):
        with pytest.raises(ValueError, match="an item id is"):
            call()
    assert session.items == []
    assert sent(session) == []


def test_a_message_that_no_hub_would_take_is_refused_here() -> None:
    session = opened()
    with pytest.raises(ValueError, match="4096 bytes"):
        session.event("post:1", "share", "x" * 5000)
    assert sent(session) == []


@pytest.mark.parametrize("count", [0, 1, 19, 20, 21, 500])
def test_items_are_cut_into_messages_of_at_most_four_kibibytes(count: int) -> None:
    items = [f"{number:x<200}" for number in range(count)]
    cut = list(chunks(items))
    assert [item for chunk in cut for item in chunk] == items
    session = opened()
    refs = session.subscribe(items)
    assert len(refs) == len(cut)
    for ref in refs:
        (data,) = session.take(0)
        assert len(data) <= 4096
        session.receive(snapshot(ref), 0)


class AnyOrder(RuleBasedStateMachine):
    """A session, a hub by the book, and a wire between them that delivers in order, or breaks."""

    @initialize()
    def begin(self) -> None:
        self.truth = Truth()
        self.session = Session(Random(1), authenticates=True)
        self.now_s = 0.0
        self.to_hub: deque[dict[str, Any]] = deque()
        self.to_client: deque[dict[str, Any]] = deque()
        self.watched: set[str] = set()
        self.wanted: set[str] = set()
        self.waiting: set[int] = set()
        self.wishes: dict[tuple[str, str], int] = {}
        self.events: dict[str, set[str]] = {}
        self.connected = False
        self.history: dict[str, list[dict[str, Any]]] = {}  # every frame that an item ever had
        self.seen: dict[str, int] = {}
        self.connect()
        self.subscribe("post:1")
        self.for_a_while_all_is_well()

    @rule(item=ITEMS)
    def subscribe(self, item: str) -> None:
        self.wanted.add(item)
        self.waiting.update(self.session.subscribe([item]))

    @rule(item=ITEMS)
    def unsubscribe(self, item: str) -> None:
        self.wanted.discard(item)
        self.seen.pop(item, None)
        self.waiting.update(self.session.unsubscribe([item]))

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

    @precondition(lambda self: self.connected and self.history)
    @rule(data=st.data())
    def an_old_frame_comes_again(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(sorted(self.history)))
        self.to_client.append(data.draw(st.sampled_from(self.history[item])))

    def count(self, actor: str, message: dict[str, Any]) -> None:
        item = message["item"]
        before = self.truth.versions.get(item)
        self.truth.react(actor, message)
        if self.truth.versions.get(item) != before:
            frame = {"ev": "counts", **self.truth.body(item)}
            self.history.setdefault(item, []).append(frame)
            if item in self.watched:
                self.to_client.append(frame)

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
        self.watched = set()
        self.session.opened()
        self.session.authenticate("me")

    @precondition(lambda self: self.connected)
    @rule()
    def cut(self) -> None:
        self.connected = False
        self.to_hub.clear()
        self.to_client.clear()
        self.watched = set()
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
                self.watched.update(message["items"])
                items = [self.truth.body(item, "me") for item in message["items"]]
                self.to_client.append({"ev": "snapshot", "ref": ref, "items": items})
            case "unsubscribe":
                self.watched.difference_update(message["items"])
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

    @precondition(lambda self: bool(self.to_client))
    @rule()
    def the_client_reads(self) -> None:
        for effect in self.session.receive(self.to_client.popleft(), self.now_s):
            if isinstance(effect, Settled):
                assert not isinstance(effect.answer, Refused)
                self.waiting.remove(effect.ref)  # answered once, and only what was asked
            else:
                assert isinstance(effect, Changed)

    @precondition(lambda self: self.connected)
    @rule()
    def for_a_while_all_is_well(self) -> None:
        for _ in range(10_000):
            self.send(1.0)
            if not self.to_hub and not self.to_client and self.session.wake_s(self.now_s) is None:
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
        assert self.waiting == set()
        assert set(self.session.items) == self.wanted == self.watched
        for item in self.wanted:
            assert self.session.newest(item) == Counts(**self.truth.body(item, "me"))
        for (item, kind), value in self.wishes.items():
            assert self.truth.mine(item, "me").get(kind, 0) == value
        for item, ids in self.events.items():
            assert self.truth.counts(item)["share"] == len(ids)


AnyOrder.TestCase.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestItEndsAtTheTruthInWhateverOrderThingsCome = AnyOrder.TestCase
