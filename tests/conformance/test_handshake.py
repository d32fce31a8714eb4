"""GET /v1/live: who is let in, and with what."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from hubs import OLD_SECRET, Hub, token
from lanes import Start
from raw import connected, opened, text
from talk import talking


async def refusal(live: str, **options: object) -> int:
    """The status that a handshake is refused with."""
    with pytest.raises(InvalidStatus) as caught:
        async with talking(live, **options):  # type: ignore[arg-type]
            pass
    return caught.value.response.status_code


async def test_the_subprotocol_is_chosen_when_offered(hub: Hub) -> None:
    async with talking(hub.live, subprotocols=[Subprotocol("other"), Subprotocol("tallycast.v1")]) as talk:
        assert talk.socket.subprotocol == "tallycast.v1"


async def test_the_subprotocol_is_not_required(hub: Hub) -> None:
    async with talking(hub.live) as talk:
        assert talk.socket.subprotocol is None
        await talk.ok("ping")


async def test_a_subprotocol_that_the_hub_does_not_speak_is_not_chosen(hub: Hub) -> None:
    async with opened(hub, sec_websocket_protocol="tallycast.v9, chat") as raw:
        await raw.send(text({"op": "ping", "ref": 1}))
        assert await raw.message() == {"ev": "pong", "ref": 1}
    async with connected(hub) as raw:
        answer = await raw.shake(hub, sec_websocket_protocol="tallycast.v9, chat")
        assert "sec-websocket-protocol" not in answer.headers


async def test_the_answer_proves_that_it_read_the_key(hub: Hub) -> None:
    async with connected(hub) as raw:
        answer = await raw.shake(hub, sec_websocket_key="dGhlIHNhbXBsZSBub25jZQ==")
    assert answer.status == 101
    assert answer.headers["upgrade"].lower() == "websocket"
    assert answer.headers["connection"].lower() == "upgrade"
    assert answer.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3


async def test_header_names_and_token_lists_are_read_without_regard_to_case(hub: Hub) -> None:
    async with opened(hub, connection="keep-alive, uPGRADE", upgrade="WebSocket") as raw:
        await raw.send(text({"op": "ping"}))
        assert await raw.message() == {"ev": "pong"}


async def test_no_compression_is_negotiated(hub: Hub, lane: str) -> None:
    if lane == "hypercorn":
        pytest.skip("hypercorn agrees to compression whenever it is offered; an app cannot turn that off")
    async with connected(hub) as raw:
        answer = await raw.shake(hub, sec_websocket_extensions="permessage-deflate; client_max_window_bits")
    assert answer.status == 101
    assert "sec-websocket-extensions" not in answer.headers


async def test_readers_get_no_cookie(hub: Hub) -> None:
    async with talking(hub.live) as talk:
        assert talk.socket.response is not None
        assert "set-cookie" not in talk.socket.response.headers


@pytest.mark.parametrize(
    "origin", ["https://good.example", "https://a.wild.example", "https://b.a.wild.example", "HTTPS://GOOD.example"]
)
async def test_an_allowed_origin_is_let_in(hub: Hub, origin: str) -> None:
    async with talking(hub.live, origin=origin) as talk:
        await talk.ok("ping")


async def test_the_hubs_own_origin_is_let_in(hub: Hub) -> None:
    async with talking(hub.live, origin=f"http://{hub.host}:{hub.port}") as talk:
        await talk.ok("ping")


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://good.example",
        "https://good.example:8443",
        "https://good.example.evil.example",
        "https://evilwild.example",
        "https://wild.example.evil.example",
        "null",
        "https://",
        "%",
        "http://127.0.0.1:1",
    ],
)
async def test_another_origin_is_refused_with_403(hub: Hub, origin: str) -> None:
    assert await refusal(hub.live, origin=origin) == 403


async def test_a_token_at_the_handshake_authenticates(hub: Hub, actor: str, item: str) -> None:
    headers = {"Authorization": f"Bearer {hub.token(actor)}"}
    async with talking(hub.live, additional_headers=headers) as talk:
        assert (await talk.subscribe(item))[0]["mine"] == {}
        assert (await talk.react(item))["mine"] == {"like": 1}


@pytest.mark.parametrize(
    "authorization",
    [
        lambda hub: "Bearer nonsense",
        lambda hub: f"Bearer {hub.token('u:1', secret='x' * 40)}",
        lambda hub: f"Bearer {hub.token('u:1', ttl_s=-60)}",
    ],
    ids=["malformed", "forged", "expired"],
)
async def test_a_bad_token_at_the_handshake_is_refused_with_401(hub: Hub, authorization: Callable[[Hub], str]) -> None:
    assert await refusal(hub.live, additional_headers={"Authorization": authorization(hub)}) == 401


async def test_a_token_of_the_older_secret_is_good_while_rotating(hub: Hub, lane: str, actor: str) -> None:
    if lane == "elsewhere":
        pytest.skip("the second secret of the hub of CONFORMANCE_URL is not known")
    async with talking(hub.live, token(actor, secret=OLD_SECRET)) as talk:
        assert talk.frames[-1]["actor"] == actor


@pytest.mark.parametrize(
    ("wrong", "headers"),
    [
        ("version", {"sec_websocket_version": "12"}),
        ("no version", {"sec_websocket_version": None}),
        ("no key", {"sec_websocket_key": None}),
        ("no upgrade", {"upgrade": None}),
        ("not a websocket", {"upgrade": "nonsense"}),
    ],
)
async def test_a_request_that_is_no_handshake_gets_a_4xx(hub: Hub, wrong: str, headers: dict[str, str | None]) -> None:
    async with connected(hub) as raw:
        answer = await raw.shake(hub, **headers)
    assert 400 <= answer.status < 500, (wrong, answer)


async def test_where_viewing_needs_a_token_others_are_closed_with_4401(start: Start) -> None:
    with start(viewing="token") as hub:
        async with talking(hub.live) as talk:
            await talk.send({"op": "subscribe", "ref": 1, "items": ["post:1"]})
            assert await talk.closed() == 4401
            assert all(frame["ev"] in ("error", "bye") for frame in talk.frames)
        headers = {"Authorization": f"Bearer {hub.token('u:1')}"}
        async with talking(hub.live, additional_headers=headers) as talk:
            assert await talk.subscribe("post:1") == [{"item": "post:1", "v": 0, "counts": {}, "mine": {}}]
        async with talking(hub.live, hub.token("u:2")) as talk:
            assert (await talk.subscribe("post:1"))[0]["counts"] == {}
