"""Everything that this client raises of its own.

TallycastClientError
├── Refused            the hub, or who stands before it, said no: `code`, `message`, `retry_after_s`
│   ├── AuthRefused        without a token, or with one that is wrong or has expired
│   ├── RateLimited        too much at once, and the time-out ended before the hub took it
│   └── Unavailable        the hub cannot take it now, and the time-out ended before it could
├── TransportError
│   ├── Unreachable        no connection to the hub
│   └── OperationTimeout   no answer in time; what was asked for may have been done or not
├── ProtocolError      what answers there does not speak version 1 of the protocol
└── ClientClosed       the client was closed, or used before it was opened
"""

from __future__ import annotations


class TallycastClientError(Exception):
    """What all of this client's own exceptions are."""


class Refused(TallycastClientError):
    """The hub said no. `code` is one of the protocol's error codes, or `http_<status>` of who answered instead.

    `retry_after_s` is how long the hub asked to wait, None where it did not.
    """

    def __init__(self, code: str, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class AuthRefused(Refused):
    """Not without a token that is good: it is missing, wrong, or has expired."""


class RateLimited(Refused):
    """Too much at once. Nothing of it was counted."""


class Unavailable(Refused):
    """The hub cannot take it now. Nothing of it was counted."""


class TransportError(TallycastClientError):
    """The way to the hub does not work."""


class Unreachable(TransportError):
    """No connection to the hub could be made. The cause is the last attempt's error."""


class OperationTimeout(TransportError, TimeoutError):
    """No answer in time. A reaction may have been counted or not: saying the same again does not count it twice."""


class ProtocolError(TallycastClientError):
    """What answers there does not speak version 1 of Tallycast's protocol."""


class ClientClosed(TallycastClientError):
    """The client was closed while this was waiting, or it is not open."""


_CLASSES: dict[str, type[Refused]] = {
    "bad_token": AuthRefused,
    "token_expired": AuthRefused,
    "unauthenticated": AuthRefused,
    "rate_limited": RateLimited,
    "unavailable": Unavailable,
}


def refusal(code: str, message: str, retry_after_s: float | None = None) -> Refused:
    """The exception for an error code of the protocol."""
    return _CLASSES.get(code, Refused)(code, message, retry_after_s=retry_after_s)
