"""What an alert says, in words and as data."""

from __future__ import annotations

from datetime import UTC, datetime

from tallycast.alerts.alert import Alert
from tallycast.alerts.firings import Event
from tallycast.alerts.rules import Count, Rate, Ratio


def count(alert: Alert, rule: Count, item: str, mark: int, now: int) -> Event:
    """`item` has reached `mark`, and has `now`."""
    text = f"{alert.name}: {item} has reached {mark:,} ({rule.kind}), and has {now:,} now"
    return Event(item, text, {"kind": rule.kind, "mark": mark, "count": now})


def rate(alert: Alert, rule: Rate, n: int, usual: float) -> Event:
    """The target moved by `n` in the rule's minutes, where `usual` is usual."""
    target = alert.target.text
    text = f"{alert.name}: {target} got {n:,} ({rule.kind}) in {rule.minutes} min, where {usual:,.1f} is usual"
    data = {"kind": rule.kind, "minutes": rule.minutes, "count": n, "usual": round(usual, 3)}
    return Event(target, text, data)


def ratio(alert: Alert, rule: Ratio, item: str, up: int, down: int) -> Event:
    """So many votes for and against `item`."""
    share = up / (up + down) if up + down else 0.0
    text = (
        f"{alert.name}: {share:.0%} of the {up + down:,} votes on {item} are {rule.up}"
        f" ({up:,} {rule.up}, {down:,} {rule.down}), below {rule.below:.0%}"
    )
    return Event(item, text, {"up": up, "down": down, "ratio": round(share, 4), "below": rule.below})


def silence(alert: Alert, since_s: float) -> Event:
    """Nothing has moved since, in Unix seconds."""
    since = datetime.fromtimestamp(int(since_s), UTC)
    text = f"{alert.name}: nothing has moved under {alert.target.text} since {since:%Y-%m-%d %H:%M:%S} UTC"
    return Event(alert.target.text, text, {"since": since.isoformat().replace("+00:00", "Z")})
