"""How much anybody may do: a rate a key and a number at a time a key. Pure: clocks are handed in."""

from __future__ import annotations

# The most by which rounding moves a time.time() of this century is 0.24 µs: a wait shorter than this is none.
_SLACK_S = 1e-6
_MIN_GENERATION_S = 1.0


class Rate:
    """At most `per_s` a second a key, and `burst` at once after a pause. `per_s` 0: no limit.

    GCRA, the leaky bucket of ATM (ITU-T I.371) as a meter: what is kept of a key is one number, the time at which it
    is full again. Keys that are, are forgotten without a timer and without a scan: entries lie in two generations,
    and the older one is dropped when all in it must be full.
    """

    def __init__(self, per_s: float, burst: float) -> None:
        """Raises ValueError if `per_s` < 0, or if `burst` < 1 where there is a limit."""
        if per_s < 0 or (per_s and burst < 1):
            raise ValueError(f"a rate of {per_s} a second with bursts of {burst}")
        self._interval_s = 1 / per_s if per_s else 0.0
        self._room_s = (burst - 1) * self._interval_s
        self._generation_s = max(self._room_s + self._interval_s, _MIN_GENERATION_S)
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}
        self._turned_s = float("-inf")

    def __len__(self) -> int:
        """Keys that are remembered: never more than were admitted within the last two generations."""
        return len(self._young) + sum(key not in self._young for key in self._old)

    def wait_s(self, key: str, now_s: float) -> float:
        """0.0: `key` is admitted and counted. Else the seconds after which it would be; nothing is counted.

        `now_s` is a clock that does not go back, in seconds.
        """
        if not self._interval_s:
            return 0.0
        if now_s - self._turned_s >= self._generation_s:
            self._turn(now_s)
        full_s = self._young.get(key)
        if full_s is None:
            full_s = self._old.get(key, now_s)
        if full_s < now_s:
            full_s = now_s
        wait_s = full_s - now_s - self._room_s
        if wait_s > _SLACK_S:
            return wait_s
        self._young[key] = full_s + self._interval_s
        return 0.0

    def _turn(self, now_s: float) -> None:
        """Begin a generation. What is dropped was last admitted a whole generation ago, so it is full again."""
        self._old = self._young if now_s - self._turned_s < 2 * self._generation_s else {}
        self._young = {}
        self._turned_s = now_s


class Cap:
    """At most `most` at a time a key; 0: no limit. A key with none inside is not remembered."""

    def __init__(self, most: int) -> None:
        """Raises ValueError if `most` < 0."""
        if most < 0:
            raise ValueError(f"a cap of {most}")
        self._most = most
        self._inside: dict[str, int] = {}

    def __len__(self) -> int:
        """Keys with somebody inside; 0 where there is no limit."""
        return len(self._inside)

    def enter(self, key: str) -> bool:
        """Whether there is room for one more; if so it is counted and must `leave` once."""
        if not self._most:
            return True
        inside = self._inside.get(key, 0)
        if inside >= self._most:
            return False
        self._inside[key] = inside + 1
        return True

    def leave(self, key: str) -> None:
        """One that entered is gone. Raises KeyError where none of `key` is inside."""
        if not self._most:
            return
        inside = self._inside[key] - 1
        if inside:
            self._inside[key] = inside
        else:
            del self._inside[key]
