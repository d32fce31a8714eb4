"""What a run comes to, and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tallycast_loadtest.results import Generator, Oracle, Threshold, Verdict

# Beyond these the generator is so busy that what it measures is partly itself.
SATURATED_CPU: Final = 0.9  # of a core, over five seconds
SATURATED_LAG_MS: Final = 50.0  # of its timers, at p99: a hub's tick unless set otherwise

# The hub's settings that stand behind what it refuses with.
SETTINGS: Final[Mapping[str, str]] = {
    "rate_limited": "TALLYCAST_REACTIONS_PER_SECOND",
    "too_many_connections": "TALLYCAST_CONNECTS_PER_SECOND, TALLYCAST_CONNECTIONS_PER_IP or TALLYCAST_MAX_CONNECTIONS",
    "too_many_items": "TALLYCAST_ITEMS_PER_VIEWER",
}


def saturated(cpu: float, lag_ms: float) -> bool:
    """Whether figures measured by a generator this busy would lie."""
    return cpu >= SATURATED_CPU or lag_ms >= SATURATED_LAG_MS


def verdict(oracle: Oracle, generator: Generator, thresholds: Iterable[Threshold], *, interrupted: bool) -> Verdict:
    """The worst that can be said of the run. Wrong counts are wrong, however it went otherwise."""
    if oracle.wrong:
        return "wrong counts"
    if interrupted:
        return "interrupted"
    if generator.saturated:
        return "generator saturated"
    return "ok" if all(threshold.met for threshold in thresholds) else "thresholds missed"


def why(
    oracle: Oracle,
    generator: Generator,
    thresholds: Iterable[Threshold],
    errors: Mapping[str, int],
    details: Mapping[str, str],
) -> tuple[str, ...]:
    """All that was not as it should be, a line each. `details` are the hub's own words for an error."""
    lines = [
        f"{name.replace('_', ' ')}: {count:,}"
        for name in ("lost", "doubled", "reordered", "stale_at_end", "unanswered")
        if (count := getattr(oracle, name))
    ]
    if generator.cpu_max >= SATURATED_CPU:
        lines.append(
            f"the busiest process used {generator.cpu_max:.0%} of a core (from {SATURATED_CPU:.0%} on figures lie): "
            "more --processes, a smaller scenario, or a second machine"
        )
    if generator.lag_p99_ms >= SATURATED_LAG_MS:
        lines.append(
            f"the generator's timers were {generator.lag_p99_ms:.0f} ms late at p99 (from {SATURATED_LAG_MS:.0f} ms on "
            "figures lie): more --processes, a smaller scenario, or a second machine"
        )
    lines += [
        f"{threshold.text}: {'not measured' if threshold.value is None else f'was {threshold.value:g}'}"
        for threshold in thresholds
        if not threshold.met
    ]
    lines += [limit_met(code, errors[code], details.get(code, "")) for code in SETTINGS if errors.get(code)]
    return tuple(lines)


def limit_met(code: str, times: int, detail: str) -> str:
    """What to say of a limit of the hub's."""
    words = f" ({detail})" if detail else ""
    return f"a limit of the hub was met {times:,} times{words}: raise {SETTINGS[code]} on the hub"
