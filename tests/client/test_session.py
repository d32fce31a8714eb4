"""The session alone: what it makes of each message, and what it sends when."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from tallycast_client.errors import AuthRefused, ProtocolError, Refused
from tallycast_client.messages import Counts, chunks
from tallycast_client.session import Bye, Changed, Failed, Session, Settled


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


def test_what_the_actor_says_on_another_connection_is_taken_also_where_no_count_moved() -> None:
    session = watching()
    assert session.receive({**counts(7), "mine": {"like": 1}}, 0) == [Changed("post:1")]
    assert session.receive({**counts(7), "mine": {}}, 0) == [Changed("post:1")]
    assert session.newest("post:1") == Counts("post:1", 7, {"like": 7}, {})
    session.receive(counts(8), 0)
    session.receive({**counts(6), "mine": {"like": 1}}, 0)
    assert session.newest("post:1") == Counts("post:1", 8, {"like": 8}, {}), "older than what was said last"


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
    refs = session.subscribe(items, viewers=True)
    assert len(refs) == len(cut)
    for ref in refs:
        (data,) = session.take(0)
        assert len(data) <= 4096
        session.receive(snapshot(ref), 0)


def viewers(n: int, v: int = 5) -> dict[str, Any]:
    """A counts frame of post:1 that tells how many watch."""
    return {**counts(v), "viewers": n}


def asks(session: Session) -> list[tuple[str, list[str], bool]]:
    """What goes out now about items: the operation, the items, whether viewers are asked for."""
    return [(m["op"], m["items"], m.get("viewers", False)) for m in sent(session)]


def counted() -> Session:
    """A session that watches post:1 at version 5, and knows of 3 viewers."""
    session = opened()
    (ref,) = session.subscribe(["post:1"], viewers=True)
    session.take(0)
    session.receive(snapshot(ref, {"item": "post:1", "v": 5, "counts": {"like": 5}, "viewers": 3}), 0)
    return session


def test_how_many_watch_is_told_with_the_counts_and_a_change_of_it_alone_is_a_change() -> None:
    session = counted()
    assert session.newest("post:1") == Counts("post:1", 5, {"like": 5}, viewers=3)
    assert session.receive(viewers(4), 0) == [Changed("post:1")]
    assert session.receive(viewers(4), 0) == []
    assert session.receive(viewers(6, v=7), 0) == [Changed("post:1")]
    assert session.newest("post:1") == Counts("post:1", 7, {"like": 7}, viewers=6)


def test_how_many_watch_is_not_taken_from_a_frame_that_is_older_than_the_counts() -> None:
    session = counted()
    session.receive(viewers(4, v=7), 0)
    assert session.receive(viewers(9, v=6), 0) == []
    assert session.newest("post:1") == Counts("post:1", 7, {"like": 7}, viewers=4)


def test_an_ack_says_nothing_of_viewers() -> None:
    session = counted()
    ref = session.react("post:1", "like", 1, 100)
    session.take(0)
    ack = {"ev": "ack", "ref": ref, "item": "post:1", "v": 6, "counts": {"like": 6}, "mine": {"like": 1}}
    assert session.receive(ack, 0)[1] == Settled(ref, (Counts("post:1", 6, {"like": 6}, {"like": 1}),))
    assert session.newest("post:1") == Counts("post:1", 6, {"like": 6}, {"like": 1}, 3)


def test_subscribing_again_without_viewers_ends_them() -> None:
    session = counted()
    (ref,) = session.subscribe(["post:1"])
    assert asks(session) == [("subscribe", ["post:1"], False)]
    answer = snapshot(ref, {"item": "post:1", "v": 5, "counts": {"like": 5}})
    assert session.receive(answer, 0)[0] == Changed("post:1")
    assert session.newest("post:1") == Counts("post:1", 5, {"like": 5})
    session.lost()
    session.opened()
    assert asks(session) == [("subscribe", ["post:1"], False)]


def test_a_new_connection_asks_for_each_item_as_it_was_asked_for_before() -> None:
    session = counted()
    (ref,) = session.subscribe(["post:2"])
    session.take(0)
    session.receive(snapshot(ref, {"item": "post:2", "v": 5, "counts": {}}), 0)
    session.lost()
    session.opened()
    (plain,) = sent(session)
    session.receive(snapshot(plain["ref"], {"item": "post:2", "v": 5, "counts": {}}), 0)
    assert (plain["items"], "viewers" in plain) == (["post:2"], False)
    assert asks(session) == [("subscribe", ["post:1"], True)]


def test_a_wish_for_viewers_that_the_hub_refuses_leaves_the_item_watched_as_it_was_also_on_a_new_connection() -> None:
    session = watching()
    (ref,) = session.subscribe(["post:1"], viewers=True)
    session.take(0)
    session.lost()
    session.opened()
    (again,) = sent(session)
    assert (again["items"], "viewers" in again) == (["post:1"], False)
    session.receive(snapshot(again["ref"], {"item": "post:1", "v": 5, "counts": {"like": 5}}), 0)
    assert asks(session) == [("subscribe", ["post:1"], True)]
    (effect,) = session.receive({"ev": "error", "ref": ref, "code": "forbidden", "message": "no"}, 0)
    assert isinstance(effect, Settled)
    assert session.items == ["post:1"]
    session.lost()
    session.opened()
    assert asks(session) == [("subscribe", ["post:1"], False)]


def test_a_hub_that_does_not_tell_how_many_watch_is_not_taken_for_one_that_does() -> None:
    session = counted()
    session.lost()
    session.opened()
    (message,) = sent(session)
    session.receive(snapshot(message["ref"], {"item": "post:1", "v": 5, "counts": {"like": 5}}), 0)
    assert session.newest("post:1") == Counts("post:1", 5, {"like": 5})


@pytest.mark.parametrize("wrong", [True, "3", 1.5, [3]])
def test_viewers_that_are_no_integer_are_no_message_of_a_hub(wrong: object) -> None:
    with pytest.raises(ProtocolError, match="not of the types"):
        counted().receive({**counts(7), "viewers": wrong}, 0)
