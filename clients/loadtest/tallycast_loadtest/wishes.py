"""What an actor says next of an item, so that each reaction moves a count. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple


class Rule(NamedTuple):
    """How a hub counts a kind, by its /v1/config. `group` is of toggles that shut each other out, `max` of amounts."""

    rule: Literal["toggle", "amount", "event"]
    group: str | None = None
    max: int = 0


class Wishes:
    """What each actor said last, and the next thing to say."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = rules
        self._said: dict[tuple[int, str, str], int] = {}

    def next(self, actor: int, item: str, kind: str) -> int | None:
        """The value to say: toggles are set and unset in turn, amounts grow and begin anew; None for an event."""
        rule = self._rules[kind]
        if rule.rule == "event":
            return None
        said = self._said.get((actor, item, kind), 0)
        value = 1 - said if rule.rule == "toggle" else (said + 1) % (rule.max + 1)
        if value and rule.group is not None:
            for other in rivals(self._rules, kind):
                self._said.pop((actor, item, other), None)
        self._said[actor, item, kind] = value
        return value


def rivals(rules: Mapping[str, Rule], kind: str) -> list[str]:
    """The other toggles of the kind's group, which setting it unsets."""
    group = rules[kind].group
    return [other for other, rule in rules.items() if group is not None and rule.group == group and other != kind]
