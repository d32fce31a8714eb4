"""Problems as such: what of a refusal stands where."""

from __future__ import annotations

import json

import pytest

from tallycast.errors import CODES
from tallycast.routes.problems import MEDIA_TYPE, problem


@pytest.mark.parametrize("code", CODES)
def test_a_problem_has_the_status_of_its_code_and_is_kept_by_nobody(code: str) -> None:
    answer = problem(code, "what to do")
    body = json.loads(bytes(answer.body))
    assert body == {
        "type": "about:blank",
        "title": body["title"],
        "status": CODES[code].status,
        "code": code,
        "detail": "what to do",
    }
    assert answer.status_code == CODES[code].status
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)


@pytest.mark.parametrize(("wait_s", "said_s", "header"), [(0.8, 0.8, "1"), (2.0, 2.0, "2"), (0.0001, 0.001, "1")])
def test_a_wait_is_never_said_to_be_shorter_than_it_is(wait_s: float, said_s: float, header: str) -> None:
    answer = problem("rate_limited", "wait", retry_after_s=wait_s)
    assert json.loads(bytes(answer.body))["retry_after"] == said_s
    assert answer.headers["retry-after"] == header


def test_a_401_says_whether_a_token_was_wrong_or_missing() -> None:
    assert problem("unauthenticated", "send one").headers["www-authenticate"] == "Bearer"
    assert problem("token_expired", "get a new one").headers["www-authenticate"] == 'Bearer error="invalid_token"'
