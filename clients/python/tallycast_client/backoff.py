"""How long to wait before trying again. Pure: clocks and random numbers are handed in."""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime
from random import Random

MAX_RETRY_AFTER_S = 300.0  # a wish beyond it is taken for a mistake: nobody's page shall stand still for a day


def delay_s(attempt: int, rng: Random, base_s: float = 0.5, cap_s: float = 20.0) -> float:
    """Seconds to wait before reconnection `attempt` (0 is the first).

    Uniform in [0, min(cap_s, base_s * 2**attempt)]: full jitter, so that a restarted hub does not get every viewer
    back at once. Raises ValueError if attempt < 0. After M. Brooker, "Exponential Backoff And Jitter" (AWS, 2015).
    """
    if attempt < 0:
        raise ValueError(f"attempt must not be negative, and is {attempt}")
    return rng.uniform(0.0, min(cap_s, base_s * 2.0 ** min(attempt, 64)))


def retry_after_s(wish: object) -> float | None:
    """A message's `retry_after` in seconds, at most MAX_RETRY_AFTER_S; None where it is not a time to wait."""
    if isinstance(wish, bool) or not isinstance(wish, int | float) or not wish >= 0:
        return None
    return min(float(wish), MAX_RETRY_AFTER_S) if math.isfinite(wish) else MAX_RETRY_AFTER_S


def retry_after_header_s(header: str | None, now_s: float) -> float | None:
    """A `Retry-After` header in seconds (RFC 9110 §10.2.3: seconds or a date); `now_s` is POSIX time."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return retry_after_s(float(text))
    try:
        return retry_after_s(max(0.0, parsedate_to_datetime(text).timestamp() - now_s))
    except (ValueError, OverflowError):
        return None
