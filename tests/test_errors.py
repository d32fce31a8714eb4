"""errors.py: the table of codes and what the exceptions carry."""

from __future__ import annotations

from http import HTTPStatus

import pytest

from tallycast.errors import CODES, ConfigError, Refused, TallycastError, Unavailable

# Those of the protocol's first version: a client may rely on each of them.
PROTOCOL = ["bad_json", "bad_request", "unknown_op", "bad_item", "unknown_kind", "bad_value", "bad_token"]
PROTOCOL += ["token_expired", "unauthenticated", "forbidden", "too_many_items", "rate_limited", "unavailable"]


def test_every_code_of_the_protocol_is_in_the_table() -> None:
    assert [code for code in CODES if code in PROTOCOL] == PROTOCOL


@pytest.mark.parametrize("code", CODES)
def test_a_code_has_an_http_status_and_a_meaning(code: str) -> None:
    row = CODES[code]
    assert row.status in [status.value for status in HTTPStatus] and row.status >= 400
    assert row.meaning and "\n" not in row.meaning


@pytest.mark.parametrize("code", CODES)
def test_only_a_clients_own_faults_count_towards_its_end(code: str) -> None:
    row = CODES[code]
    assert row.client_fault == (row.status < 500 and row.status != 429)


def test_a_refusal_carries_its_code_message_and_time_to_wait() -> None:
    refused = Refused("rate_limited", "wait a little", retry_after_s=0.8)
    assert (refused.code, refused.message, refused.retry_after_s, str(refused)) == (
        "rate_limited",
        "wait a little",
        0.8,
        "wait a little",
    )
    assert Refused("bad_item", "no").retry_after_s is None


def test_a_refusal_with_a_code_of_its_own_is_a_defect_that_shows() -> None:
    with pytest.raises(AssertionError):
        Refused("no_such_code", "x")


def test_unavailable_is_a_refusal_that_says_when_to_try_again() -> None:
    assert (Unavailable("disk full").code, Unavailable("disk full").retry_after_s) == ("unavailable", 1.0)
    assert isinstance(Unavailable("disk full"), Refused)


def test_the_operators_errors_are_not_the_clients() -> None:
    assert issubclass(ConfigError, TallycastError) and issubclass(Refused, TallycastError)
    assert not issubclass(ConfigError, Refused)
