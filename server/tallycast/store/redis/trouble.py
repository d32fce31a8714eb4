"""What Redis's errors mean: for a client, and for the operator who has to do something."""

from __future__ import annotations

import ssl

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisClusterException,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tallycast.store.redis.servers import NotConfirmedError

# The first that fits holds.
BY_TYPE: tuple[tuple[type[Exception], str, str], ...] = (
    (NoScriptError, "Redis does not keep its scripts", "see Redis's log"),
    (BusyLoadingError, "Redis is loading its data", "wait"),
    (AuthenticationError, "Redis refuses user or password", "correct them in TALLYCAST_STORE"),
    (NoPermissionError, "Redis forbids it to this user", "docs/operations.md has the ACL rule that is needed"),
    (OutOfMemoryError, "Redis is out of memory", "raise its maxmemory, or free some; nothing was counted"),
    (ReadOnlyError, "Redis is a read-only replica", "name its primary in TALLYCAST_STORE, or use redis+sentinel://"),
    (MovedError, "Redis is part of a cluster", "use redis+cluster:// in TALLYCAST_STORE"),
    (ClusterCrossSlotError, "Redis is part of a cluster", "use redis+cluster:// in TALLYCAST_STORE"),
    (ClusterDownError, "a part of the Redis cluster is down", "it is tried again"),
    (
        NotConfirmedError,
        "Redis could not make it safe",
        "the replica or disk that TALLYCAST_ACK waits for is slow or gone",
    ),
    (RedisClusterException, "the Redis cluster does not answer", "it is tried again"),
    (RedisTimeoutError, "Redis does not answer in time", "it is tried again"),
    (RedisConnectionError, "Redis cannot be reached", "it is tried again"),
    (OSError, "Redis cannot be reached", "it is tried again"),
)
UNTRUSTED = "Redis's certificate is not accepted"
BY_VERIFICATION: dict[int, str] = {  # OpenSSL's X509_V_ERR_…
    9: "it is not valid yet: correct the clock or renew it",
    10: "it has expired: renew it",
    62: "it is for another host: use a name that it has",
    64: "it is for another address: use a name that it has",
}
BY_CODE: dict[str, tuple[str, str]] = {
    "WRONGTYPE": ("another program's key is in the way", "delete or rename it, or choose another TALLYCAST_PREFIX"),
    "NOREPLICAS": ("Redis has too few replicas", "bring one back: its min-replicas-to-write wants them"),
    "MISCONF": ("Redis cannot save to its disk", "see Redis's log"),
    "BUSY": ("Redis is busy with a script", "SCRIPT KILL ends it"),
}


def explain(error: Exception) -> tuple[str, str]:
    """What a client is told of an error, and what its operator can do."""
    untrusted = _verification(error)
    if untrusted is not None:
        return UNTRUSTED, BY_VERIFICATION.get(untrusted.verify_code, "name the file of its CA in SSL_CERT_FILE")
    for of, message, advice in BY_TYPE:
        if isinstance(error, of):
            return message, advice
    code = str(error).partition(" ")[0]
    if isinstance(error, ResponseError) and code in BY_CODE:
        return BY_CODE[code]
    return "Redis does not work", "see the error"


def _verification(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """What was wrong with a certificate, where that is behind the error."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error
