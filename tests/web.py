"""What tests of the HTTP part share."""

from __future__ import annotations

from typing import Any

import httpx

from hubs import Hub


def bearer(hub: Hub, sub: str, /, **claims: Any) -> dict[str, str]:
    """The header that carries a token."""
    return {"Authorization": f"Bearer {hub.token(sub, **claims)}"}


def check_problem(answer: httpx.Response, status: int, *codes: str) -> None:
    """An error is a problem document (RFC 9457) with one of the codes, and shows no trace."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].split(";")[0] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] in codes, problem
    assert problem.get("status", status) == status
    assert "title" in problem or "type" in problem
    assert "Traceback" not in answer.text
