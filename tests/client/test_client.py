"""The client against a hub that is scripted to fail in every way that the protocol knows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from scripted import SECONDS, Message, ScriptedHub, Talk
from tallycast_client import (
    AuthRefused,
    Client,
    ClientClosed,
    Counts,
    LinkState,
    OperationTimeout,
    ProtocolError,
    RateLimited,
    Refused,
    Unavailable,
    Unreachable,
    Updates,
)

MakeClient = Callable[..., Client]
ME = "token of u:1"


async def newest(updates: Updates, v: int) -> list[Counts]:
    """The updates up to the one with version `v`."""
    seen: list[Counts] = []
    async with asyncio.timeout(SECONDS):
        async for counts in updates:
            seen.append(counts)
            if counts.v == v:
                return seen
    raise AssertionError("the updates ended")


async def lose(talk: Talk, _message: Message) -> None:
    talk.cut()


def execute_and_lose(hub: ScriptedHub) -> Callable[[Talk, Message], Awaitable[None]]:
    async def script(talk: Talk, message: Message) -> None:
        hub.truth.react(talk.actor or "", message)
        talk.cut()

    return script


def refuse(code: str, **more: Any) -> Callable[[Talk, Message], Awaitable[None]]:
    async def script(talk: Talk, message: Message) -> None:
        await talk.error(message, code, **more)

    return script


def close_with(code: int) -> Callable[[Talk, Message], Awaitable[None]]:
    async def script(talk: Talk, _message: Message) -> None:
        await talk.ws.close(code, "scripted")

    return script


@pytest.fixture(autouse=True)
async def no_task_is_left_behind() -> AsyncIterator[None]:
    yield
    left = {task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("tallycast_client")}
    assert left == set()


async def test_it_subscribes_reacts_and_sees_the_new_counts(hub: ScriptedHub, client: MakeClient) -> None:
    async with client(token=ME) as mine:
        assert mine.actor == "u:1"
        assert await mine.subscribe("post:1") == {"post:1": Counts("post:1", 0, {}, {})}
        assert await mine.react("post:1", "like") == Counts("post:1", 1001, {"like": 1}, {"like": 1})
        await hub.publish("post:1", "u:2", "like", 1)
        seen = await newest(mine.updates(), 1002)
        assert seen[-1] == Counts("post:1", 1002, {"like": 2}, {"like": 1})
        await mine.unsubscribe("post:1")
        assert mine.newest("post:1") is None
    assert [message["op"] for message in hub.received] == ["auth", "subscribe", "react", "unsubscribe"]


async def test_a_slow_reader_gets_only_the_newest_of_each_item(hub: ScriptedHub, client: MakeClient) -> None:
    async with client() as mine:
        await mine.subscribe("post:1", "post:2")
        slow, quick = mine.updates(), mine.updates()
        for _ in range(5):
            await hub.publish("post:1", "u:2", "like", 1)
            await hub.publish("post:1", "u:2", "like", 0)
        await newest(quick, 1010)
        assert [(await anext(slow)).v for _ in range(2)] == [1010, 0]


async def test_stale_counts_are_dropped(hub: ScriptedHub, client: MakeClient) -> None:
    async with client() as mine:
        await mine.subscribe("post:1")
        updates = mine.updates()
        for v in (5, 3, 5, 4, 6):
            await hub.push(item="post:1", v=v, counts={"like": v})
        versions = [counts.v for counts in await newest(updates, 6)]
        assert versions == sorted(set(versions))


async def test_after_a_cut_it_watches_again_and_catches_up(hub: ScriptedHub, client: MakeClient) -> None:
    async with client() as mine:
        await mine.subscribe("post:1", "post:2")
        updates = mine.updates()
        hub.talks[0].cut()
        await hub.until(lambda: not hub.open)
        hub.truth.react("u:2", {"item": "post:1", "kind": "like", "value": 1})
        assert (await newest(updates, 1001))[-1].counts == {"like": 1}
        assert sorted(hub.talks[-1].items) == ["post:1", "post:2"]


async def test_a_reaction_whose_ack_was_lost_is_sent_again_and_counts_once(
    hub: ScriptedHub, client: MakeClient
) -> None:
    async with client(token=ME) as mine:
        for lost in (execute_and_lose(hub), lose, execute_and_lose(hub)):
            hub.scripts["react"].append(lost)
        assert (await mine.react("post:1", "clap", 7)).counts == {"clap": 7}
        first, *again = hub.ops("react")
        assert again == [first] * 3


async def test_an_event_whose_ack_was_lost_counts_once_under_the_id_made_for_it(
    hub: ScriptedHub, client: MakeClient
) -> None:
    async with client(token=ME) as mine:
        hub.scripts["react"].append(execute_and_lose(hub))
        assert (await mine.event("post:1", "share")).counts == {"share": 1}
        assert (await mine.event("post:1", "share")).counts == {"share": 2}
        assert (await mine.event("post:1", "share", id="an-id-of-mine")).counts == {"share": 3}
        assert (await mine.event("post:1", "share", id="an-id-of-mine")).counts == {"share": 3}
        ids = [message["id"] for message in hub.ops("react")]
        assert ids[0] == ids[1] != ids[2]


async def test_a_late_retry_does_not_undo_a_newer_wish(hub: ScriptedHub, client: MakeClient) -> None:
    async with client(token=ME) as mine:
        hub.scripts["react"].append(refuse("rate_limited", retry_after=0.05))
        first = asyncio.create_task(mine.react("post:1", "like", 1))
        await hub.until(lambda: hub.ops("react"))
        second = asyncio.create_task(mine.react("post:1", "like", 0))
        await asyncio.gather(first, second)
        assert hub.truth.mine("post:1", "u:1") == {}


async def test_hundreds_of_items_go_out_in_messages_that_the_hub_takes(hub: ScriptedHub, client: MakeClient) -> None:
    items = [f"{number:x<120}" for number in range(100)]
    async with client() as mine:
        assert list(await mine.subscribe(*items)) == items
        assert len(hub.ops("subscribe")) > 2


@pytest.mark.parametrize("code", ["rate_limited", "unavailable"])
async def test_it_waits_as_long_as_the_hub_asks_and_tries_again(
    hub: ScriptedHub, client: MakeClient, code: str
) -> None:
    loop = asyncio.get_running_loop()
    async with client(token=ME) as mine:
        hub.scripts["react"].append(refuse(code, retry_after=0.3))
        began_s = loop.time()
        await mine.react("post:1", "like")
        assert loop.time() - began_s >= 0.3
        hub.scripts["subscribe"].append(refuse(code, retry_after=0.1))
        assert list(await mine.subscribe("post:1")) == ["post:1"]


@pytest.mark.parametrize(("code", "error"), [("rate_limited", RateLimited), ("unavailable", Unavailable)])
async def test_a_hub_that_asks_to_wait_beyond_the_timeout_is_the_reason_given(
    hub: ScriptedHub, client: MakeClient, code: str, error: type[Refused]
) -> None:
    async with client(token=ME, timeout_s=0.3) as mine:
        hub.scripts["react"].append(refuse(code, retry_after=60))
        with pytest.raises(error, match="scripted"):
            await mine.react("post:1", "like")
    assert len(hub.ops("react")) == 1


async def test_without_an_answer_in_time_the_reaction_ends_and_is_not_sent_again(
    hub: ScriptedHub, client: MakeClient
) -> None:
    async def swallow(talk: Talk, message: Message) -> None:
        pass

    async with client(token=ME, timeout_s=0.3) as mine:
        hub.scripts["react"].append(swallow)
        with pytest.raises(OperationTimeout, match="reaction like to post:1"):
            await mine.react("post:1", "like")
        hub.talks[0].cut()
        await mine.subscribe("post:1")
        assert len(hub.ops("react")) == 1


async def test_a_refusal_is_raised_where_it_belongs_and_the_connection_goes_on(
    hub: ScriptedHub, client: MakeClient
) -> None:
    async with client(token=ME) as mine:
        with pytest.raises(Refused) as refused:
            await mine.react("post:1", "wow")
        assert refused.value.code == "unknown_kind"
        assert (await mine.react("post:1", "like")).counts == {"like": 1}
        assert hub.handshakes == 1


async def test_a_reaction_without_a_token_is_refused_by_the_hub(hub: ScriptedHub, client: MakeClient) -> None:
    async with client() as mine:
        with pytest.raises(AuthRefused):
            await mine.react("post:1", "like")


async def test_a_bye_keeps_it_away_for_as_long_as_it_says(hub: ScriptedHub, client: MakeClient) -> None:
    links: list[LinkState] = []
    async with client(on_link=links.append) as mine:
        await mine.subscribe("post:1")
        await hub.talks[0].send(ev="bye", reason="restart", retry_after=0.4)
        await hub.talks[0].ws.close(1012)
        await hub.until(lambda: len(hub.talks) == 2 and hub.talks[1].items)
    assert [link.name for link in links] == ["connecting", "open", "waiting", "connecting", "open", "closed"]
    assert links[2].retry_in_s == 0.4


@pytest.mark.parametrize(("status", "wait_s"), [(503, 1.0), (429, 1.0)])
async def test_a_hub_that_turns_it_away_for_now_is_asked_again_after_retry_after(
    hub: ScriptedHub, client: MakeClient, status: int, wait_s: float
) -> None:
    links: list[LinkState] = []
    hub.turn_away.append((status, {"Retry-After": "1"}, b"draining"))
    async with client(on_link=links.append):
        assert hub.handshakes == 2
    assert wait_s <= links[1].retry_in_s <= wait_s + 0.05


async def test_the_first_connection_is_given_up_with_the_hubs_own_reason(hub: ScriptedHub, client: MakeClient) -> None:
    problem = {"code": "unavailable", "detail": "the hub is draining", "status": 503}
    hub.turn_away.append((503, {"Retry-After": "60"}, json.dumps(problem).encode()))
    with pytest.raises(Unavailable, match="the hub is draining") as refused:
        await client().open()
    assert refused.value.retry_after_s == 60


@pytest.mark.parametrize(
    ("status", "error"), [(403, Refused), (401, AuthRefused), (404, ProtocolError), (200, ProtocolError)]
)
async def test_a_handshake_refused_for_good_is_not_tried_again(
    hub: ScriptedHub, client: MakeClient, status: int, error: type[Exception]
) -> None:
    hub.turn_away.extend([(status, {}, b"no")] * 3)
    with pytest.raises(error):
        await client().open()
    assert hub.handshakes == 1


@pytest.mark.parametrize("code", ["bad_token", "token_expired"])
async def test_a_token_that_the_hub_does_not_take_is_raised_and_not_tried_again(
    hub: ScriptedHub, client: MakeClient, code: str
) -> None:
    hub.scripts["auth"].extend([refuse(code)] * 3)
    with pytest.raises(AuthRefused, match=f"scripted {code}"):
        await client(token=ME).open()
    assert len(hub.ops("auth")) == 1


async def test_an_expired_token_is_asked_for_anew_and_nothing_is_lost(hub: ScriptedHub, client: MakeClient) -> None:
    asked: list[str] = []

    async def token() -> str:
        asked.append(ME)
        return ME

    async with client(token=token) as mine:
        hub.scripts["react"].append(refuse("token_expired"))
        assert (await mine.react("post:1", "like")).counts == {"like": 1}
        assert len(asked) == 2
        hub.talks[0].cut()
        await mine.react("post:1", "love")
        assert len(asked) == 3


async def test_a_token_function_that_fails_for_the_network_is_asked_again(hub: ScriptedHub, client: MakeClient) -> None:
    failures = [ConnectionResetError("gone"), Unreachable("gone")]

    def token() -> str:
        if failures:
            raise failures.pop()
        return ME

    async with client(token=token) as mine:
        assert mine.actor == "u:1"


async def test_a_token_function_that_is_broken_says_so(hub: ScriptedHub, client: MakeClient) -> None:
    def token() -> str:
        raise KeyError("no such user")

    with pytest.raises(KeyError, match="no such user"):
        await client(token=token).open()


@pytest.mark.parametrize(
    ("code", "error"), [(4401, AuthRefused), (1008, Refused), (1009, Refused), (1003, Refused), (1007, Refused)]
)
async def test_a_close_that_would_only_come_again_ends_the_client(
    hub: ScriptedHub, client: MakeClient, code: int, error: type[Refused]
) -> None:
    async with client() as mine:
        updates = mine.updates()
        hub.scripts["subscribe"].append(close_with(code))
        with pytest.raises(error, match=f"{code}: scripted"):
            await mine.subscribe("post:1")
        with pytest.raises(error):
            await anext(updates)
        with pytest.raises(error):
            await mine.react("post:1", "like")
    assert hub.handshakes == 1


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 4408])
async def test_any_other_close_is_followed_by_another_connection(
    hub: ScriptedHub, client: MakeClient, code: int
) -> None:
    async with client() as mine:
        hub.scripts["subscribe"].append(close_with(code))
        assert list(await mine.subscribe("post:1")) == ["post:1"]
        assert hub.handshakes == 2


async def test_a_viewer_whose_token_ended_comes_back_with_a_fresh_one(hub: ScriptedHub, client: MakeClient) -> None:
    async with client(token=lambda: ME) as mine:
        hub.scripts["subscribe"].append(close_with(4401))
        assert list(await mine.subscribe("post:1")) == ["post:1"]


async def test_what_speaks_another_protocol_is_not_taken_for_a_hub(hub: ScriptedHub, client: MakeClient) -> None:
    async def greet(talk: Talk, _message: Message) -> None:
        await talk.ws.send("hello!")

    async with client() as mine:
        hub.scripts["subscribe"].append(greet)
        with pytest.raises(ProtocolError, match="not JSON"):
            await mine.subscribe("post:1")


async def test_a_dead_link_is_noticed_and_replaced(hub: ScriptedHub, client: MakeClient) -> None:
    async with client(heartbeat_s=0.2) as mine:
        await mine.subscribe("post:1")
        hub.talks[0].ws.transport.pause_reading()  # pings arrive, and nobody answers
        await hub.until(lambda: len(hub.talks) == 2 and hub.talks[1].items)
        hub.talks[0].cut()


async def test_it_comes_back_to_a_hub_that_was_gone_for_a_while(hub: ScriptedHub, client: MakeClient) -> None:
    waiting = asyncio.Event()
    async with client(on_link=lambda link: waiting.set() if link.name == "waiting" else None) as mine:
        await mine.subscribe("post:1")
        await hub.stop()
        await asyncio.wait_for(waiting.wait(), SECONDS)
        hub.truth.react("u:2", {"item": "post:1", "kind": "like", "value": 1})
        updates = mine.updates()
        await hub.start(hub.port)
        assert (await newest(updates, 1001))[-1].counts == {"like": 1}


async def test_nobody_there_is_said_after_one_attempt_when_there_is_no_time_for_more(hub: ScriptedHub) -> None:
    await hub.stop()
    with pytest.raises(Unreachable, match="connection refused"):
        await Client(hub.url, open_timeout_s=0).open()
    await hub.start(0)


async def test_closing_ends_updates_and_whatever_waits(hub: ScriptedHub, client: MakeClient) -> None:
    async def swallow(talk: Talk, message: Message) -> None:
        pass

    hub.scripts["react"].append(swallow)
    mine = client(token=ME)
    await mine.open()
    await mine.subscribe("post:1")
    updates = mine.updates()
    await anext(updates)
    following = asyncio.create_task(anext(updates, None))
    reacting = asyncio.create_task(mine.react("post:1", "like"))
    await hub.until(lambda: hub.ops("react"))
    await mine.close()
    await mine.close()
    assert await following is None
    with pytest.raises(ClientClosed):
        await reacting
    with pytest.raises(ClientClosed):
        await mine.react("post:1", "like")
    with pytest.raises(ClientClosed):
        await mine.open()
    await hub.until(lambda: not hub.open)
    assert hub.talks[0].ws.close_code == 1000


async def test_a_client_that_is_not_open_says_so() -> None:
    with pytest.raises(ClientClosed, match="async with"):
        await Client("http://127.0.0.1:1").subscribe("post:1")


async def test_a_cancelled_reaction_is_not_sent_again(hub: ScriptedHub, client: MakeClient) -> None:
    async with client(token=ME) as mine:
        hub.scripts["react"].append(refuse("rate_limited", retry_after=0.2))
        reacting = asyncio.create_task(mine.react("post:1", "like"))
        await hub.until(lambda: hub.ops("react"))
        reacting.cancel()
        await asyncio.gather(reacting, return_exceptions=True)
        await mine.react("post:2", "like")
        assert [message["item"] for message in hub.ops("react")] == ["post:1", "post:2"]
