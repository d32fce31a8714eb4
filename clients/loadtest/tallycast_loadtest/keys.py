"""How a key of a scenario is checked, whether it comes from a TOML file or from `--set key=value`."""

from __future__ import annotations

import math
import re
from dataclasses import field
from typing import Any, Final, Literal, NamedTuple, TypeVar

Form = Literal["integer", "number", "choice", "text", "kinds"]

_KIND: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_SHOWN_CHARACTERS: Final = 100  # of a wrong value in its error


class ScenarioError(ValueError):
    """A scenario that cannot be run; the text is one line: where, what is wrong, what is allowed."""


class Key(NamedTuple):
    """One row of the table of keys: a field of Scenario.

    `help` is one sentence for documents. Numbers lie in `low`…`high`. `kinds` is a table of kinds and their weights.
    """

    name: str
    type: Form
    default: Any
    help: str
    low: float
    high: float
    choices: tuple[str, ...]

    @property
    def default_text(self) -> str:
        """The default as it would be given to `--set`."""
        if self.type == "kinds":
            return ",".join(f"{kind}={weight:g}" for kind, weight in self.default.items())
        return f"{self.default:g}" if self.type == "number" else str(self.default)

    @property
    def expected(self) -> str:
        """What a value must be, for errors and documents."""
        if self.type == "integer":
            return f"a whole number from {self.low:.0f} to {self.high:.0f}"
        if self.type == "number":
            return f"a number from {self.low:g} to {self.high:.12g}"
        if self.type == "choice":
            return "one of " + ", ".join(self.choices)
        return "kinds with their weights, such as like=0.7,clap=0.3" if self.type == "kinds" else "a text"

    def parse(self, text: str) -> Any:
        """The value that the text of a `--set` stands for. Raises ScenarioError."""
        value: Any = text.strip()
        try:
            if self.type == "integer":
                value = int(text)
            elif self.type == "number":
                value = float(text)
            elif self.type == "kinds":
                pairs = (entry.partition("=") for entry in text.split(","))
                value = {kind.strip(): float(weight) for kind, _, weight in pairs}
        except ValueError:
            raise self.wrong(text) from None
        return self.check(value)

    def check(self, value: Any) -> Any:
        """A value of a TOML file as the field keeps it. Raises ScenarioError."""
        if self.type == "kinds":
            return self._kinds(value)
        if self.type in ("integer", "number"):
            whole = self.type == "integer"
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
                raise self.wrong(value)
            if not self.low <= value <= self.high:  # NaN fails this too
                raise self.wrong(value)
            return value if whole else float(value)
        if not isinstance(value, str) or (self.choices and value not in self.choices):
            raise self.wrong(value)
        return value

    def _kinds(self, value: Any) -> dict[str, float]:
        if not isinstance(value, dict) or not value:
            raise self.wrong(value)
        for kind, weight in value.items():
            if not _KIND.fullmatch(kind) or isinstance(weight, bool) or not isinstance(weight, int | float):
                raise self.wrong(value)
            if not 0 < weight < math.inf:
                raise ScenarioError(f"{self.name} gives {kind!r} the weight {weight}: expected a number above 0")
        return {kind: float(weight) for kind, weight in value.items()}

    def wrong(self, value: object) -> ScenarioError:
        """The error for `value`."""
        return ScenarioError(f"{self.name} is {str(value)[:_SHOWN_CHARACTERS]!r}: expected {self.expected}")


T = TypeVar("T")


def key(
    default: T,
    about: str,
    *,
    low: float = 0,
    high: float = 0,
    choices: tuple[str, ...] = (),
) -> T:
    """A field of Scenario with its row of the table; like dataclasses.field, typed as the value that it becomes."""
    form: Form = "choice" if choices else "text"
    if isinstance(default, dict):
        form = "kinds"
    elif isinstance(default, int | float):
        form = "integer" if isinstance(default, int) else "number"
    row = Key("", form, default, about, low, high, choices)
    if isinstance(default, dict):
        kinds: T = field(default_factory=lambda: dict(default), metadata={"row": row})  # type: ignore[assignment]
        return kinds
    field_: T = field(default=default, metadata={"row": row})
    return field_
