"""react: what each rule counts, and what saying it again does."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from hubs import Hub
from talk import Talk, talking


@pytest.fixture
async def other(hub: Hub) -> AsyncIterator[Talk]:
    """A connection of another actor than `user`'s."""
    async with talking(hub.live, hub.token(f"u:{uuid4().hex}")) as talk:
        yield talk


async def test_an_ack_has_the_shape_that_the_protocol_shows(user: Talk, item: str) -> None:
    ack = await user.react(item)
    assert ack == {
        "ev": "ack",
        "ref": ack["ref"],
        "item": item,
        "v": ack["v"],
        "counts": {"like": 1},
        "mine": {"like": 1},
    }


async def test_counts_are_the_sum_of_all_actors_values(user: Talk, other: Talk, item: str) -> None:
    await user.react(item, "like")
    ack = await other.react(item, "like")
    assert (ack["counts"], ack["mine"]) == ({"like": 2}, {"like": 1})
    await user.react(item, "clap", 5)
    ack = await other.react(item, "clap", 50)
    assert (ack["counts"], ack["mine"]) == ({"like": 2, "clap": 55}, {"like": 1, "clap": 50})


async def test_value_0_undoes_a_toggle_and_a_kind_of_0_is_absent(user: Talk, other: Talk, item: str) -> None:
    await user.react(item, "love", 1)
    await other.react(item, "love", 1)
    ack = await user.react(item, "love", 0)
    assert (ack["counts"], ack["mine"]) == ({"love": 1}, {})
    ack = await other.react(item, "love", 0)
    assert (ack["counts"], ack["mine"]) == ({}, {})


async def test_true_and_false_are_1_and_0(user: Talk, item: str) -> None:
    ack = await user.react(item, "love", True)
    assert (ack["counts"], ack["mine"]) == ({"love": 1}, {"love": 1})
    assert type(ack["mine"]["love"]) is int
    assert (await user.react(item, "love", False))["counts"] == {}


async def test_kinds_of_a_group_exclude_each_other(user: Talk, other: Talk, item: str) -> None:
    await other.react(item, "like")
    await user.react(item, "like")
    ack = await user.react(item, "dislike")
    assert (ack["counts"], ack["mine"]) == ({"like": 1, "dislike": 1}, {"dislike": 1})
    ack = await user.react(item, "like")
    assert (ack["counts"], ack["mine"]) == ({"like": 2}, {"like": 1})


async def test_undoing_one_of_a_group_leaves_the_other(user: Talk, item: str) -> None:
    await user.react(item, "like")
    ack = await user.react(item, "dislike", 0)
    assert (ack["counts"], ack["mine"]) == ({"like": 1}, {"like": 1})


async def test_a_kind_outside_the_group_is_not_touched(user: Talk, item: str) -> None:
    await user.react(item, "love")
    await user.react(item, "like")
    assert (await user.react(item, "dislike"))["mine"] == {"love": 1, "dislike": 1}


async def test_viewers_see_both_kinds_of_a_group_move_in_one_frame(reader: Talk, user: Talk, item: str) -> None:
    await user.react(item, "like")
    await reader.subscribe(item)
    await user.react(item, "dislike")
    await reader.counts(item, lambda counts: counts == {"dislike": 1})
    seen = [frame["counts"] for frame in reader.frames if frame["ev"] == "counts"]
    assert all(sum(counts.values()) == 1 for counts in seen), seen


async def test_an_amount_is_the_actors_total(user: Talk, item: str) -> None:
    for value in (1, 50, 50, 3, 0):
        ack = await user.react(item, "clap", value)
        assert ack["counts"] == ack["mine"] == ({"clap": value} if value else {})


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("like", 2),
        ("like", -1),
        ("like", 1.0),
        ("like", 0.5),
        ("like", "1"),
        ("like", None),
        ("like", [1]),
        ("like", {"like": 1}),
        ("like", 10**30),
        ("clap", 51),
        ("clap", -1),
        ("clap", 1.5),
        ("clap", True),
        ("clap", "5"),
        ("clap", 2**63),
    ],
)
async def test_a_value_outside_the_rule_is_a_bad_value(user: Talk, item: str, kind: str, value: object) -> None:
    assert (await user.ask("react", item=item, kind=kind, value=value))["code"] == "bad_value"
    assert (await user.subscribe(item))[0]["counts"] == {}


@pytest.mark.parametrize("fields", [{}, {"id": "12345678"}, {"value": 1, "id": "12345678"}])
async def test_a_toggle_takes_a_value_and_no_id(user: Talk, item: str, fields: dict[str, object]) -> None:
    answer = await user.ask("react", item=item, kind="like", **fields)
    assert answer["code"] in ("bad_value", "bad_request")
    assert (await user.subscribe(item))[0]["counts"] == {}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"value": 1},
        {"id": "1234567"},
        {"id": "x" * 65},
        {"id": ""},
        {"id": 12345678},
        {"id": ["12345678"]},
        {"id": "12345678\u0000"},
        {"id": "12345678", "value": 1},
    ],
)
async def test_an_event_takes_an_id_of_8_to_64_characters_and_no_value(
    user: Talk, item: str, fields: dict[str, object]
) -> None:
    answer = await user.ask("react", item=item, kind="share", **fields)
    assert answer["code"] in ("bad_value", "bad_request")
    assert (await user.subscribe(item))[0]["counts"] == {}


@pytest.mark.parametrize("length", [8, 64])
async def test_an_event_counts_once_an_id(user: Talk, other: Talk, item: str, length: int) -> None:
    one, two = "a" * length, "b" * length
    for id, count in ((one, 1), (one, 1), (two, 2), (one, 2), (two, 2)):
        assert (await user.ok("react", item=item, kind="share", id=id))["counts"] == {"share": count}
    # ids are unique to their actor: somebody else's same id is another event
    assert (await other.ok("react", item=item, kind="share", id=one))["counts"] == {"share": 3}


async def test_the_same_event_id_counts_for_each_item_and_kind_it_was_sent_to_once(user: Talk, item: str) -> None:
    """An id is `unique to this actor`: reused elsewhere it may count or not, but never twice in one place."""
    for place in (item, f"{item}:2"):
        for kind in ("share", "download"):
            first = await user.ok("react", item=place, kind=kind, id="the-same-id")
            again = await user.ok("react", item=place, kind=kind, id="the-same-id")
            assert first["counts"] == again["counts"]


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "like", "value": 1},
        {"kind": "like", "value": 1, "seq": 1763750000000000},
        {"kind": "clap", "value": 9},
        {"kind": "clap", "value": 9, "seq": 5},
        {"kind": "download", "id": "6f1c09d2-event"},
        {"kind": "love", "value": 0},
    ],
)
async def test_saying_the_same_thing_again_never_changes_a_count(
    hub: Hub, user: Talk, actor: str, item: str, fields: dict[str, object]
) -> None:
    first = await user.ok("react", item=item, **fields)
    async with talking(hub.live, hub.token(actor)) as elsewhere:
        for talk in (user, elsewhere, user):
            again = await talk.ok("react", item=item, **fields)
            assert (again["counts"], again["mine"]) == (first["counts"], first["mine"])


async def test_a_smaller_seq_changes_nothing_and_is_answered_with_what_stands(user: Talk, item: str) -> None:
    await user.react(item, "love", 1, seq=20)
    ack = await user.react(item, "love", 0, seq=10)
    assert (ack["counts"], ack["mine"]) == ({"love": 1}, {"love": 1})
    ack = await user.react(item, "love", 0, seq=30)
    assert (ack["counts"], ack["mine"]) == ({}, {})
    ack = await user.react(item, "love", 1, seq=20)  # the late retry of a like that was undone since
    assert (ack["counts"], ack["mine"]) == ({}, {})


async def test_a_late_retry_cannot_undo_a_newer_wish_in_its_group(user: Talk, item: str) -> None:
    await user.react(item, "like", 1, seq=10)
    await user.react(item, "dislike", 1, seq=20)
    ack = await user.react(item, "like", 1, seq=10)
    assert (ack["counts"], ack["mine"]) == ({"dislike": 1}, {"dislike": 1})


async def test_a_smaller_seq_of_another_kind_is_counted_when_it_comes_late(user: Talk, item: str) -> None:
    await user.react(item, "like", 1, seq=20)
    ack = await user.react(item, "love", 1, seq=10)  # was lost on its way at first; no newer wish stands against it
    assert ack["mine"] == {"like": 1, "love": 1}


async def test_seq_is_each_actors_own_and_each_items_own(user: Talk, other: Talk, item: str) -> None:
    await user.react(item, "love", 1, seq=100)
    assert (await other.react(item, "love", 1, seq=1))["counts"] == {"love": 2}
    assert (await user.react(f"{item}:2", "love", 1, seq=1))["counts"] == {"love": 1}


@pytest.mark.parametrize("seq", [-1, 1.5, "1", True, [1], 2**53, 10**30])
async def test_a_bad_seq_is_a_bad_request(user: Talk, item: str, seq: object) -> None:
    assert (await user.ask("react", item=item, kind="like", value=1, seq=seq))["code"] == "bad_request"
    assert (await user.subscribe(item))[0]["counts"] == {}


@pytest.mark.parametrize("kind", ["nonsense", "LIKE", "", " like", "like\n", 1, None, ["like"], {}])
async def test_a_kind_that_is_not_declared_is_unknown(user: Talk, item: str, kind: object) -> None:
    assert (await user.ask("react", item=item, kind=kind, value=1))["code"] in ("unknown_kind", "bad_request")
    assert (await user.subscribe(item))[0]["counts"] == {}


async def test_a_reaction_without_identity_is_unauthenticated(reader: Talk, item: str) -> None:
    assert (await reader.ask("react", item=item, kind="like", value=1))["code"] == "unauthenticated"
    assert (await reader.subscribe(item))[0]["counts"] == {}


async def test_versions_are_about_now_in_microseconds_and_only_grow(user: Talk, item: str) -> None:
    last = 0
    for value in (1, 0, 1, 0, 1):
        ack = await user.react(item, "love", value)
        assert ack["v"] > last
        last = ack["v"]
    assert abs(last / 1e6 - time.time()) < 60
    assert type(last) is int


async def test_a_reaction_that_changes_nothing_does_not_take_the_version_back(user: Talk, item: str) -> None:
    first = await user.react(item)
    assert (await user.react(item))["v"] >= first["v"]


async def test_reactions_without_waiting_are_acknowledged_each_and_the_last_stands(user: Talk, item: str) -> None:
    for n in range(1, 31):
        await user.send({"op": "react", "ref": n, "item": item, "kind": "clap", "value": n})
    acks = [await user.until(lambda frame: frame["ev"] == "ack") for _ in range(30)]
    assert sorted(ack["ref"] for ack in acks) == list(range(1, 31))
    assert acks[-1]["counts"] == acks[-1]["mine"] == {"clap": 30}
    versions = [ack["v"] for ack in acks]
    assert versions == sorted(versions)


async def test_a_burst_beyond_the_rate_is_refused_and_the_connection_lives(user: Talk, item: str) -> None:
    """10 reactions a second, bursts of four times that. The refusals are not counted as errors of the client's."""
    sent = 120
    for n in range(1, sent + 1):
        await user.send({"op": "react", "ref": n, "item": item, "kind": "clap", "value": n % 50 + 1})
    answers = [await user.until(lambda frame: frame["ev"] in ("ack", "error")) for _ in range(sent)]
    refused = [answer for answer in answers if answer["ev"] == "error"]
    assert {answer["code"] for answer in refused} == {"rate_limited"}
    assert len(answers) - len(refused) >= 40
    assert len(refused) > 20
    assert all(0 < answer["retry_after"] < 60 for answer in refused)
    assert {answer["ref"] for answer in answers} == set(range(1, sent + 1))
    assert (await user.ask("ping"))["ev"] == "pong"
