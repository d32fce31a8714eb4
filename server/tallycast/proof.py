"""Proof of work for new visitors, asked for while newcomers flood the hub: ALTCHA's scheme with SHA-256.

A challenge is the hash of a salt and a secret number; who finds the number has worked for it. The hub keeps nothing of
a challenge: it is signed, it ends, it is good for one address, and its solution is taken once.

The format is that of ALTCHA's widget (https://altcha.org), so that its clients and libraries solve it too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

import orjson

from tallycast.errors import Refused
from tallycast.limits import Rate

MOST_NUMBER = 100_000  # half of them are tried on average: a second of a page's time, some ms of an attacker's
GOOD_S = 300  # that a challenge may be solved in
MOST_CHARACTERS = 1024  # of a solution

_SALT = re.compile(r"[0-9a-f]{24}\?expires=([0-9]{1,12})&for=([0-9a-f]{16})&")


class ProofNeeded(Refused):
    """Somebody new must solve `challenge`, which is as ALTCHA's clients take it."""

    def __init__(self, message: str, challenge: dict[str, Any]) -> None:
        super().__init__("proof_needed", message)
        self.challenge = challenge


class Proofs:
    """Asks for proofs while they are `wanted`, and checks them. `clock` gives Unix time in seconds.

    Hubs with the same secret take the solutions of each other's challenges; each takes a solution once.
    """

    def __init__(self, secret: str, *, wanted: Callable[[], bool], clock: Callable[[], float] = time.time) -> None:
        # The blank keeps this apart from what JWT signs, which has none.
        self._key = hmac.digest(secret.encode(), b"proof of work", "sha256")
        self._wanted = wanted
        self._clock = clock
        self._used = Rate(1 / GOOD_S, 1)

    def check(self, address: str, sent: bytes = b"") -> None:
        """Let somebody new at `address` pass, who sent a JSON object with the solution as `proof`, or anything else.

        Raises ProofNeeded.
        """
        if not self._wanted():
            return
        proof = _member(sent)
        wrong = "new visitors must show a proof of work now" if proof is None else self._wrong(address, proof)
        if wrong is not None:
            raise ProofNeeded(f"{wrong}: solve the challenge, and send the solution as proof", self.challenge(address))

    def challenge(self, address: str) -> dict[str, Any]:
        """A new challenge for somebody at `address`."""
        salt = f"{secrets.token_hex(12)}?expires={int(self._clock()) + GOOD_S}&for={self._for(address)}&"
        return self._challenge(salt, secrets.randbelow(MOST_NUMBER + 1))

    def _challenge(self, salt: str, number: int) -> dict[str, Any]:
        challenge = hashlib.sha256(f"{salt}{number}".encode()).hexdigest()
        return {
            "algorithm": "SHA-256",
            "challenge": challenge,
            "maxnumber": MOST_NUMBER,
            "salt": salt,
            "signature": hmac.digest(self._key, challenge.encode(), "sha256").hex(),
        }

    def _wrong(self, address: str, proof: object) -> str | None:
        """Why the solution is not taken; None where it is, and now is used up."""
        found = _solution(proof)
        if found is None:
            return "the proof is no ALTCHA solution in base64"
        salt, number, signature = found
        match = _SALT.fullmatch(salt)
        if match is None or not hmac.compare_digest(self._challenge(salt, number)["signature"], signature):
            return "the proof is no solution of a challenge of this hub"
        now_s = self._clock()
        if int(match[1]) <= now_s:
            return "the proof came too late"
        if match[2] != self._for(address):
            return "the proof is that of another address"
        return "the proof has been used" if self._used.wait_s(signature, now_s) else None

    def _for(self, address: str) -> str:
        return hmac.digest(self._key, b"address " + address.encode(), "sha256")[:8].hex()


def _member(sent: bytes) -> object:
    """The `proof` of a JSON object, None where there is none."""
    try:
        found = orjson.loads(sent)
    except ValueError:
        return None
    return found.get("proof") if isinstance(found, dict) else None


def _solution(proof: object) -> tuple[str, int, str] | None:
    """Salt, number and signature of a solution; None where it is none."""
    if not isinstance(proof, str) or len(proof) > MOST_CHARACTERS or not proof.isascii():
        return None
    try:
        body = orjson.loads(base64.b64decode(proof, validate=True))
    except ValueError:
        return None
    match body:
        case {"salt": str(salt), "number": int(number), "signature": str(signature)}:
            in_range = type(number) is int and 0 <= number <= MOST_NUMBER
            return (salt, number, signature) if in_range and signature.isascii() else None
    return None
