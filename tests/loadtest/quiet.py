"""A view for runs in tests: keeps what it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tallycast_loadtest.results import Second


class Quiet:
    """Keeps phases, seconds and notes; calls `on_note` and `on_phase` with each note and each phase's name."""

    def __init__(self, on_note: Callable[[str], object] = bool, on_phase: Callable[[str], object] = bool) -> None:
        self.phases: list[str] = []
        self.seconds: list[Second] = []
        self.notes: list[str] = []
        self._on_note, self._on_phase = on_note, on_phase

    def phase(self, name: str, total: float, unit: str) -> None:
        self.phases.append(name)
        self._on_phase(name)

    def progress(self, done: float) -> None:
        assert done >= 0

    def second(self, second: Second, errors: Mapping[str, int]) -> None:
        self.seconds.append(second)

    def note(self, text: str) -> None:
        self.notes.append(text)
        self._on_note(text)
