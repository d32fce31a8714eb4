"""The gate's decisions and the 101 answer, without a network."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from tallycast.errors import Refused
from tallycast.handshake import Admission, Gate, by_name, offers_subprotocol, upgrade
from tallycast.identity import Identity
from tallycast.metrics import Metrics
from tallycast.origins import Origins
from tallycast.settings import Settings

SECRET = "s" * 32
# RFC 6455 §1.3 has this key and its answer.
HANDSHAKE = {b"sec-websocket-version": b"13", b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ=="}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def make(**settings: object) -> tuple[Gate, Metrics, Clock, Identity]:
    chosen = replace(Settings(secret=(SECRET,)), **settings)  # type: ignore[arg-type]
    metrics, clock, identity = Metrics(), Clock(), Identity((SECRET,), visitor_s=60)
    return Gate(chosen, Origins(chosen.origins), identity, metrics, clock=clock), metrics, clock, identity


def code(gate: Gate, headers: dict[bytes, bytes], peer: str = "192.0.2.1") -> str:
    with pytest.raises(Refused) as refused:
        gate.admit(headers, peer)
    return refused.value.code


def test_a_stranger_is_let_in_and_has_no_name() -> None:
    gate, _, _, _ = make()
    admission = gate.admit({b"host": b"hub.example"}, "192.0.2.1")
    assert admission == Admission("192.0.2.1", None)
    assert gate.open == 1
    gate.leave(admission)
    assert gate.open == 0


def test_a_token_gives_a_name_and_a_bad_one_is_said() -> None:
    gate, _, _, identity = make()
    token = identity.sign("u:1", ttl_s=60)
    actor = gate.admit({b"authorization": b"bearer " + token.encode()}, "192.0.2.1").actor
    assert actor is not None
    assert actor.name == "u:1"
    assert code(gate, {b"authorization": b"Bearer nonsense"}) == "bad_token"
    assert gate.open == 1


def test_the_authorization_of_another_scheme_is_none_of_ours() -> None:
    gate, _, _, _ = make()
    assert gate.admit({b"authorization": b"Basic dTpw"}, "192.0.2.1").actor is None


def test_origins_are_checked_against_the_list_and_the_hubs_own() -> None:
    gate, metrics, _, _ = make(origins=("https://site.example",))
    host = {b"host": b"hub.example:8000"}
    gate.admit({**host, b"origin": b"https://site.example"}, "192.0.2.1")
    gate.admit({**host, b"origin": b"http://hub.example:8000"}, "192.0.2.1")
    assert code(gate, {**host, b"origin": b"https://evil.example"}) == "forbidden"
    assert b'handshakes_refused_total{reason="forbidden"} 1.0' in metrics.render()


def test_one_address_may_have_so_many_connections() -> None:
    gate, _, _, _ = make(connections_per_ip=2)
    first = gate.admit({}, "192.0.2.1")
    gate.admit({}, "192.0.2.1")
    assert code(gate, {}) == "rate_limited"
    gate.admit({}, "192.0.2.2")
    gate.leave(first)
    gate.admit({}, "192.0.2.1")


def test_the_hub_may_have_so_many_connections() -> None:
    gate, _, _, _ = make(max_connections=1)
    gate.admit({}, "192.0.2.1")
    assert code(gate, {}, "192.0.2.2") == "rate_limited"


def test_one_address_may_connect_so_often() -> None:
    gate, _, clock, _ = make(connects_per_second=1)
    for _ in range(10):
        gate.admit({}, "192.0.2.1")
    with pytest.raises(Refused) as refused:
        gate.admit({}, "192.0.2.1")
    assert refused.value.retry_after_s == pytest.approx(1)
    clock.now_s = 1.0
    gate.admit({}, "192.0.2.1")


def test_addresses_behind_a_trusted_proxy_are_told_apart() -> None:
    gate, _, _, _ = make(connections_per_ip=1, trusted_proxies=("10.0.0.0/8",))
    gate.admit({b"x-forwarded-for": b"192.0.2.1"}, "10.0.0.1")
    gate.admit({b"x-forwarded-for": b"192.0.2.2"}, "10.0.0.1")
    assert code(gate, {b"x-forwarded-for": b"192.0.2.2"}, "10.0.0.1") == "rate_limited"
    assert gate.admit({b"x-forwarded-for": b"192.0.2.2"}, "198.51.100.7").address == "198.51.100.7"


def test_nobody_is_let_in_while_the_hub_drains() -> None:
    gate, _, _, _ = make()
    gate.draining = True
    assert code(gate, {}) == "unavailable"


def test_a_token_that_expired_is_refused() -> None:
    gate, _, _, _ = make()
    token = Identity((SECRET,), visitor_s=60, clock=lambda: time.time() - 120).sign("u:1", ttl_s=60)
    assert code(gate, {b"authorization": b"Bearer " + token.encode()}) == "token_expired"


def test_headers_that_stand_twice_are_one_list() -> None:
    assert by_name([(b"x-forwarded-for", b"a"), (b"host", b"h"), (b"x-forwarded-for", b"b")]) == {
        b"x-forwarded-for": b"a, b",
        b"host": b"h",
    }


def test_the_answer_to_a_handshake_is_that_of_the_rfc() -> None:
    answer = upgrade(b"GET", HANDSHAKE)
    assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")
    assert b"Protocol:" not in answer
    assert b"Extensions" not in answer


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(b"tallycast.v1", True), (b"a, tallycast.v1 ,b", True), (b"tallycast.v2", False), (b"tallycast.v10", False)],
)
def test_our_subprotocol_is_chosen_when_it_is_offered(offered: bytes, chosen: bool) -> None:
    assert offers_subprotocol(offered) is chosen
    answer = upgrade(b"GET", {**HANDSHAKE, b"sec-websocket-protocol": offered})
    assert (b"\r\nSec-WebSocket-Protocol: tallycast.v1\r\n" in answer) is chosen


@pytest.mark.parametrize(
    ("method", "header", "value"),
    [
        (b"POST", b"sec-websocket-version", b"13"),
        (b"GET", b"sec-websocket-version", b"8"),
        (b"GET", b"sec-websocket-version", b""),
        (b"GET", b"sec-websocket-key", b""),
        (b"GET", b"sec-websocket-key", b"c2hvcnQ="),
        (b"GET", b"sec-websocket-key", b"!!!!"),
        (b"GET", b"sec-websocket-key", b"\xff\xfe"),
    ],
)
def test_what_is_no_handshake_is_a_bad_request(method: bytes, header: bytes, value: bytes) -> None:
    with pytest.raises(Refused) as refused:
        upgrade(method, {**HANDSHAKE, header: value})
    assert refused.value.code == "bad_request"
