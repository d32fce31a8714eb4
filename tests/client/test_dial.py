"""Addresses, waits, and the parts of messages: the client's pure helpers."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallycast_client.backoff import MAX_RETRY_AFTER_S, delay_s, retry_after_header_s
from tallycast_client.dial import Addresses, addresses
from tallycast_client.errors import ProtocolError
from tallycast_client.messages import decode, read_counts, read_error


@pytest.mark.parametrize(
    ("url", "live", "http"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/live", "http://127.0.0.1:8000"),
        ("ws://127.0.0.1:8000/v1/live", "ws://127.0.0.1:8000/v1/live", "http://127.0.0.1:8000"),
        ("https://example.org/tally/", "wss://example.org/tally/v1/live", "https://example.org/tally"),
        ("wss://[::1]:9/v1/live/", "wss://[::1]:9/v1/live", "https://[::1]:9"),
    ],
)
def test_any_address_of_a_hub_gives_both(url: str, live: str, http: str) -> None:
    assert addresses(url) == Addresses(live, http)


@pytest.mark.parametrize(
    "url", ["", "localhost:8000", "ftp://x", "http://", "http://[::1", "http://x:99999", "http://u:p@x", "ws://x?t=1"]
)
def test_what_is_no_address_of_a_hub_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="a hub's address"):
        addresses(url)


@given(attempt=st.integers(0, 10_000), seed=st.integers())
def test_delays_are_jittered_over_a_range_that_doubles_up_to_the_cap(attempt: int, seed: int) -> None:
    assert 0.0 <= delay_s(attempt, Random(seed)) <= min(20.0, 0.5 * 2.0 ** min(attempt, 64))


def test_delays_use_the_whole_range() -> None:
    delays = [delay_s(3, Random(seed)) for seed in range(200)]
    assert min(delays) < 0.4 < 3.6 < max(delays)


def test_a_negative_attempt_is_an_error() -> None:
    with pytest.raises(ValueError, match="negative"):
        delay_s(-1, Random(1))


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("2", 2.0),
        (" 0 ", 0.0),
        ("999999999999", MAX_RETRY_AFTER_S),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90.0),
        ("Thu, 01 Jan 1970 00:00:01 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, wait_s: float | None) -> None:
    assert retry_after_header_s(header, now_s=10.0) == wait_s


@pytest.mark.parametrize("data", ["", "[]", "7", '{"ev":7}', "{}", "[" * 100_000, b"\xff"])
def test_what_is_no_message_is_a_protocol_error(data: str | bytes) -> None:
    with pytest.raises(ProtocolError):
        decode(data)


@pytest.mark.parametrize(
    "message",
    [
        None,
        {},
        {"item": "a", "v": "1", "counts": {}},
        {"item": "a", "v": 1, "counts": {"like": "1"}},
        {"item": "a", "v": 1, "counts": {}, "mine": []},
    ],
)
def test_counts_of_wrong_types_are_a_protocol_error(message: object) -> None:
    with pytest.raises(ProtocolError):
        read_counts(message)


def test_an_error_of_a_later_hub_with_a_code_not_known_here_is_a_refusal_all_the_same() -> None:
    error = read_error({"ev": "error", "code": "too_happy", "message": "calm down", "retry_after": 1})
    assert (error.code, str(error), error.retry_after_s) == ("too_happy", "calm down", 1.0)
