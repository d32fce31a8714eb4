"""auth: which tokens are good, for what and for how long."""

from __future__ import annotations

import asyncio
import base64
import json
import time

import pytest

from hubs import OLD_SECRET, Hub, token
from talk import Talk, talking


def unsigned(claims: dict[str, object]) -> str:
    """A token of algorithm `none`."""
    parts = (json.dumps({"alg": "none", "typ": "JWT"}), json.dumps(claims))
    return ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts) + "."


async def test_auth_says_who_one_is(hub: Hub, reader: Talk, actor: str) -> None:
    answer = await reader.ok("auth", token=hub.token(actor))
    assert answer == {"ev": "auth", "ref": answer["ref"], "actor": actor}


async def test_mine_is_there_from_authentication_on(hub: Hub, reader: Talk, actor: str, item: str) -> None:
    assert "mine" not in (await reader.subscribe(item))[0]
    await reader.ok("auth", token=hub.token(actor))
    assert (await reader.subscribe(item))[0]["mine"] == {}
    await reader.react(item)
    assert (await reader.subscribe(item))[0]["mine"] == {"like": 1}


async def test_counts_frames_carry_no_mine(reader: Talk, user: Talk, item: str) -> None:
    await user.subscribe(item)
    await reader.subscribe(item)
    await user.react(item)
    await reader.counts(item, bool)
    await user.react(item, "love")
    await reader.counts(item, lambda counts: "love" in counts)
    frames = [frame for talk in (reader, user) for frame in talk.frames if frame["ev"] == "counts"]
    assert all("mine" not in frame for frame in frames)


async def test_authenticating_again_is_another_actors_turn(hub: Hub, reader: Talk, actor: str, item: str) -> None:
    for name, count in ((actor, 1), (actor, 1), (f"{actor}:2", 2)):
        await reader.ok("auth", token=hub.token(name))
        ack = await reader.react(item)
        assert (ack["counts"], ack["mine"]) == ({"like": count}, {"like": 1})


async def test_one_actor_on_two_connections_is_one_actor(hub: Hub, user: Talk, actor: str, item: str) -> None:
    await user.react(item)
    async with talking(hub.live, hub.token(actor)) as again:
        assert (await again.react(item))["counts"] == {"like": 1}
        assert (await again.react(item, "like", 0))["counts"] == {}
    assert (await user.subscribe(item))[0]["mine"] == {}


@pytest.mark.parametrize("sub", ["x", "u" * 128, "v:somebody", "u:!#$%&'()*+,-./:;<=>?@[]^_`{|}~"])
async def test_a_sub_of_1_to_128_printable_characters_is_an_actor(hub: Hub, reader: Talk, sub: str) -> None:
    assert (await reader.ok("auth", token=hub.token(sub)))["actor"] == sub


def wrong_tokens() -> dict[str, str]:
    """Tokens that are bad whenever they are looked at."""
    later = int(time.time()) + 3600
    head, body, signature = token("u:1").split(".")
    return {
        "empty": "",
        "a word": "nonsense",
        "two parts": f"{head}.{body}",
        "four parts": f"{head}.{body}.{signature}.x",
        "no signature": f"{head}.{body}.",
        "signature of another": f"{head}.{body}.{token('u:2').split('.')[2]}",
        "another secret": token("u:1", secret="somebody-elses-secret-0123456789-0123"),
        "algorithm none": unsigned({"sub": "u:1", "exp": later}),
        "algorithm HS512": token("u:1", algorithm="HS512", secret="x" * 64),
        "no sub": token("u:1", sub=None),
        "no exp": token("u:1", exp=None),
        "empty sub": token(""),
        "long sub": token("u" * 129),
        "sub with a control character": token("u:\n1"),
        "sub beyond ASCII": token("u:é"),
        "items not a list": token("u:1", items="post:1"),
        "items not of texts": token("u:1", items=[1]),
        "huge": "x" * 3000,
        "surrogates": "\ud800.\ud800.\ud800",
        "beyond ASCII": "é.é.é",
        "null bytes": "\x00.\x00.\x00",
    }


@pytest.mark.parametrize("wrong", wrong_tokens())
async def test_a_bad_token_is_refused_and_gives_no_identity(reader: Talk, item: str, wrong: str) -> None:
    answer = await reader.say({"op": "auth", "token": wrong_tokens()[wrong]})
    assert answer["ev"] == "error"
    # a lone surrogate is no JSON at all
    assert answer["code"] == ("bad_json" if wrong == "surrogates" else "bad_token")
    assert "mine" not in (await reader.subscribe(item))[0]
    assert (await reader.ask("react", item=item, kind="like", value=1))["code"] == "unauthenticated"


@pytest.mark.parametrize("exp", ["soon", None, [], 1e400])
async def test_an_exp_that_is_no_time_is_a_bad_token(reader: Talk, exp: object) -> None:
    answer = await reader.ask("auth", token=token("u:1", exp=exp))
    assert answer["code"] in ("bad_token", "token_expired")


async def test_an_expired_token_is_refused_as_such(hub: Hub, reader: Talk) -> None:
    assert (await reader.ask("auth", token=hub.token("u:1", ttl_s=-1)))["code"] == "token_expired"


async def test_an_error_does_not_show_the_token(hub: Hub, reader: Talk) -> None:
    for secret in (hub.token("u:1", ttl_s=-1), "nonsense-nonsense"):
        assert secret not in (await reader.ask("auth", token=secret))["message"]


async def test_a_token_that_expires_in_mid_connection_ends_reacting_and_not_reading(
    hub: Hub, user: Talk, item: str
) -> None:
    async with talking(hub.live, hub.token("u:short", ttl_s=2)) as short:
        await short.subscribe(item)
        while (answer := await short.ask("react", item=item, kind="like", value=1))["ev"] == "ack":
            await asyncio.sleep(0.15)  # fewer than the rate of reactions allows
        assert answer["code"] == "token_expired"
        ack = await user.react(item, "love")
        assert ack["counts"] == {"like": 1, "love": 1}
        await short.counts(item, lambda counts: counts == ack["counts"])
        await short.ok("auth", token=hub.token("u:short"))
        assert (await short.react(item, "love"))["mine"] == {"like": 1, "love": 1}


async def test_a_scoped_token_is_good_for_its_items_alone(hub: Hub, reader: Talk, actor: str, item: str) -> None:
    scoped = hub.token(actor, items=[f"{item}:exact", f"{item}:under/*"])
    await reader.ok("auth", token=scoped)
    for good in (f"{item}:exact", f"{item}:under/", f"{item}:under/1"):
        assert (await reader.react(good))["counts"] == {"like": 1}
    for bad in (item, f"{item}:exact2", f"{item}:under", "post:1"):
        assert (await reader.ask("react", item=bad, kind="like", value=1))["code"] == "forbidden"
    entries = await reader.subscribe(item, f"{item}:under")
    assert [entry["counts"] for entry in entries] == [{}, {}]


@pytest.mark.parametrize(("items", "may"), [([], False), (["*"], True)])
async def test_a_scope_may_be_nothing_or_everything(
    hub: Hub, reader: Talk, actor: str, item: str, items: list[str], may: bool
) -> None:
    await reader.ok("auth", token=hub.token(actor, items=items))
    answer = await reader.ask("react", item=item, kind="like", value=1)
    assert answer["ev"] == ("ack" if may else "error")
    assert may or answer["code"] == "forbidden"


async def test_both_secrets_of_a_rotation_verify(hub: Hub, lane: str, reader: Talk) -> None:
    if lane == "elsewhere":
        pytest.skip("the second secret of the hub of CONFORMANCE_URL is not known")
    await reader.ok("auth", token=token("u:old", secret=OLD_SECRET))
    await reader.ok("auth", token=token("u:new"))
