"""The table of counts that a terminal shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from tallycast_client import Counts, LinkState

HIGHLIGHT_S = 1.5  # for which a change stands out


class Board:
    """The newest counts of some items, when each changed, and how to draw them. `now_s` is POSIX time.

    `viewers`: with a column that tells how many watch each item.
    """

    def __init__(self, items: Sequence[str], kinds: Mapping[str, Mapping[str, Any]], *, viewers: bool = False) -> None:
        self._viewers = viewers
        self._newest: dict[str, Counts | None] = dict.fromkeys(items)
        self._labels = {name: str(kind.get("emoji") or kind.get("label") or name) for name, kind in kinds.items()}
        self._changed_s: dict[tuple[str, str], float] = {}

    def note(self, counts: Counts, now_s: float) -> None:
        """These are an item's newest counts."""
        before = self._newest.get(counts.item)
        self._newest[counts.item] = counts
        if before is not None:
            for kind in before.counts.keys() | counts.counts.keys():
                if before.counts.get(kind, 0) != counts.counts.get(kind, 0):
                    self._changed_s[counts.item, kind] = now_s
        for kind in counts.counts:
            self._labels.setdefault(kind, kind)

    def table(self, link: LinkState | None, now_s: float) -> Table:
        """The table at this time; without a link it shows no ages and no connection."""
        table = Table(caption=None if link is None else _caption(link), caption_justify="left")
        table.add_column("item", overflow="fold")
        for label in self._labels.values():
            table.add_column(label, justify="right")
        if self._viewers:
            table.add_column("watching", justify="right")
        if link is not None:
            table.add_column("changed", justify="right")
        for item, counts in self._newest.items():
            cells = [self._cell(item, kind, counts, now_s) for kind in self._labels]
            viewers = [_viewers(counts)] if self._viewers else []
            age = [] if link is None else [_age(counts, now_s)]
            table.add_row(Text(item), *cells, *viewers, *age)
        return table

    def _cell(self, item: str, kind: str, counts: Counts | None, now_s: float) -> Text:
        if counts is None:
            return Text("")
        changed_s = self._changed_s.get((item, kind))
        fresh = changed_s is not None and now_s - changed_s < HIGHLIGHT_S
        said = bool(counts.mine and counts.mine.get(kind))
        return Text(
            f"{counts.counts.get(kind, 0):,}", style="bold reverse green" if fresh else "bold cyan" if said else ""
        )


def _viewers(counts: Counts | None) -> Text:
    return Text("…", style="dim") if counts is None or counts.viewers is None else Text(f"{counts.viewers:,}")


def _age(counts: Counts | None, now_s: float) -> Text:
    """How old the version is: versions are µs of the hub's clock, 0 before the first reaction."""
    if counts is None or counts.v == 0:
        return Text("…" if counts is None else "never", style="dim")
    age_s = now_s - counts.v / 1e6
    for unit, length_s in (("d", 86_400), ("h", 3600), ("min", 60)):
        if age_s >= length_s:
            return Text(f"{age_s / length_s:.0f} {unit} ago", style="dim")
    return Text("now" if age_s < 1 else f"{age_s:.0f} s ago", style="dim")


def _caption(link: LinkState) -> Text:
    if link.name == "open":
        return Text("● live", style="green")
    if link.name == "waiting":
        return Text(f"○ {link.why}; next attempt in {link.retry_in_s:.1f} s", style="red")
    return Text(f"○ {link.name}", style="yellow")
