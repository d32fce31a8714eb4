"""proof.py: what is asked of new visitors while a burst lasts, and what is taken for an answer."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest

from tallycast.proof import GOOD_S, ProofNeeded, Proofs

MOST_NUMBER = 500
HOME, ELSEWHERE = "192.0.2.1", "192.0.2.2"
SECRET = "a-secret-of-these-tests-0123456789"


class Clock:
    now_s = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now_s


def solved(challenge: dict[str, Any]) -> dict[str, Any]:
    """The challenge with its number, found as any client of ALTCHA finds it."""
    for number in range(challenge["maxnumber"] + 1):
        if hashlib.sha256(f"{challenge['salt']}{number}".encode()).hexdigest() == challenge["challenge"]:
            return {**challenge, "number": number}
    raise AssertionError("no number solves it")


def sent(solution: object) -> bytes:
    """The body of a request with that solution."""
    return json.dumps({"proof": base64.b64encode(json.dumps(solution).encode()).decode()}).encode()


def refusal(proofs: Proofs, body: bytes, address: str = HOME) -> ProofNeeded:
    with pytest.raises(ProofNeeded) as caught:
        proofs.check(address, body)
    assert caught.value.code == "proof_needed"
    return caught.value


@pytest.fixture(autouse=True)
def easy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Challenges that cost these tests no time."""
    monkeypatch.setattr("tallycast.proof.MOST_NUMBER", MOST_NUMBER)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def proofs(clock: Clock) -> Proofs:
    return Proofs(SECRET, wanted=lambda: True, clock=clock)


def test_nothing_is_asked_while_nothing_is_wanted() -> None:
    Proofs(SECRET, wanted=lambda: False).check(HOME, b"anything")


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"no JSON", b'{"proof":null}', b'{"proof":[]}', b'{"proof":"?"}'])
def test_who_brings_no_proof_gets_a_challenge(proofs: Proofs, body: bytes) -> None:
    challenge = refusal(proofs, body).challenge
    assert set(challenge) == {"algorithm", "challenge", "maxnumber", "salt", "signature"}
    assert (challenge["algorithm"], challenge["maxnumber"]) == ("SHA-256", MOST_NUMBER)


def test_a_solution_is_taken_once(proofs: Proofs, clock: Clock) -> None:
    body = sent(solved(refusal(proofs, b"").challenge))
    proofs.check(HOME, body)
    for _ in range(3):
        clock.now_s += GOOD_S / 4
        assert "has been used" in refusal(proofs, body).message
    clock.now_s += GOOD_S / 2
    assert "too late" in refusal(proofs, body).message


def test_a_solution_is_good_for_one_address_and_for_hubs_of_one_secret(proofs: Proofs, clock: Clock) -> None:
    body = sent(solved(proofs.challenge(HOME)))
    assert "another address" in refusal(proofs, body, ELSEWHERE).message
    stranger = Proofs("another-secret-of-these-tests-0123456", wanted=lambda: True, clock=clock)
    assert "no solution" in refusal(stranger, body).message
    Proofs(SECRET, wanted=lambda: True, clock=clock).check(HOME, body)


def test_a_solution_comes_in_time(proofs: Proofs, clock: Clock) -> None:
    body = sent(solved(proofs.challenge(HOME)))
    clock.now_s += GOOD_S
    assert "too late" in refusal(proofs, body).message


@pytest.mark.parametrize(
    "change",
    [
        {"number": MOST_NUMBER + 1},
        {"number": -1},
        {"number": True},
        {"number": "1"},
        {"number": 10**400},
        {"salt": 5},
        {"salt": "aa?expires=99999999999&for=bb&"},
        {"signature": "é"},
        {"signature": ""},
        {"signature": None},
    ],
)
def test_a_solution_that_was_changed_is_none(proofs: Proofs, change: dict[str, Any]) -> None:
    assert "proof is no" in refusal(proofs, sent({**solved(proofs.challenge(HOME)), **change})).message


def test_a_time_cannot_be_added_to_a_challenge(proofs: Proofs) -> None:
    right = solved(proofs.challenge(HOME))
    salt = right["salt"].replace("expires=", "expires=9")
    assert "no solution" in refusal(proofs, sent({**right, "salt": salt})).message


def test_the_scheme_is_that_of_altchas_own_library() -> None:
    """A challenge that altcha 2.3.0's create_challenge_v1() made of this salt and number, with the key that is made of
    the secret."""
    made = Proofs(SECRET, wanted=lambda: True)._challenge("0011aabb?expires=1790000300&", 4711)
    assert made["challenge"] == "260c7f5ec56412c3fd3336fd068427727a3ca781ca3d9b56e492c5ea76d5b9a8"
    assert made["signature"] == "3ab1e5de2577441dfba0a5b28a2d9c5b60e9c6eb8114a8293d92b17ff9846b22"
