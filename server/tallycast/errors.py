"""Every way Tallycast says no: the table of error codes and the exceptions that carry them.

TallycastError
├── Refused       one message or request gets an error answer; the connection goes on
│   └── Unavailable   the store cannot take or give it now; nothing was counted
└── ConfigError   the operator's settings, kinds file or store are wrong; the hub does not start
"""

from __future__ import annotations

from typing import NamedTuple


class ErrorCode(NamedTuple):
    """One row of the table of error codes.

    `status` is the HTTP status of the same refusal; `client_fault` says whether it counts towards the 20 errors a
    minute after which a connection is closed with 1008; `meaning` is what docs/protocol.md says of it.
    """

    status: int
    client_fault: bool
    meaning: str


CODES: dict[str, ErrorCode] = {
    "bad_json": ErrorCode(400, True, "not one JSON object, or a key stands in it twice"),
    "bad_request": ErrorCode(400, True, "a field is missing, unexpected in this place or of the wrong type"),
    "unknown_op": ErrorCode(400, True, "`op` is none that this hub knows"),
    "bad_item": ErrorCode(400, True, "an item id is not 1–200 of the allowed characters"),
    "unknown_kind": ErrorCode(400, True, "the kind is not in the hub's kinds file"),
    "bad_value": ErrorCode(400, True, "`value` or `id` does not fit the rule of the kind"),
    "bad_token": ErrorCode(401, True, "the token is malformed, of a wrong signature, or lacks a claim"),
    "token_expired": ErrorCode(401, True, "the token's `exp` has passed: get a new one"),
    "unauthenticated": ErrorCode(401, True, "a reaction without identity: send a token first"),
    "forbidden": ErrorCode(403, True, "the token is not good for this item, or the origin is not on the list"),
    "frozen": ErrorCode(403, True, "the item takes no reactions now"),
    "banned": ErrorCode(403, True, "this actor may not react here"),
    "proof_needed": ErrorCode(403, True, "new visitors must bring a proof of work now: solve `challenge` (HTTP only)"),
    "closed": ErrorCode(409, True, "the poll is not open"),
    "conflict": ErrorCode(409, True, "it is there already, or somebody else has changed it since (HTTP only)"),
    "too_many_items": ErrorCode(400, True, "more items than one viewer or request may have"),
    "rate_limited": ErrorCode(429, False, "too much at once: wait `retry_after` seconds"),
    "unavailable": ErrorCode(503, False, "the store cannot take it now; nothing was counted; try again"),
    "not_found": ErrorCode(404, True, "no such path (HTTP only)"),
    "method_not_allowed": ErrorCode(405, True, "the path has no such method (HTTP only)"),
    "too_big": ErrorCode(413, True, "the request's body is over the limit (HTTP only)"),
    "internal": ErrorCode(500, False, "a defect in the hub; it is in its log (HTTP only)"),
}


class TallycastError(Exception):
    """What all of Tallycast's own exceptions are."""


class Refused(TallycastError):
    """One message or request is answered with an error; nothing of it was done.

    `code` is a key of CODES, `message` one sentence for a developer: what was wrong and what to do.
    `retry_after_s` is how long to wait before trying again, None where trying again is of no use.
    """

    def __init__(self, code: str, message: str, *, retry_after_s: float | None = None) -> None:
        assert code in CODES, code
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class Unavailable(Refused):
    """The store cannot take or give it now. Nothing was counted; the same message may be sent again."""

    def __init__(self, message: str, *, retry_after_s: float = 1.0) -> None:
        super().__init__("unavailable", message, retry_after_s=retry_after_s)


class ConfigError(TallycastError):
    """The operator's own input is wrong: one line that says what and what to do. The command exits with 2."""
