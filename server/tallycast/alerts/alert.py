"""An alert: a rule, what it looks at, and where it is told of."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from tallycast.alerts.rules import RULES, Rule, Target, name_of, parse_rule, parse_target
from tallycast.alerts.webhooks import MOST_WEBHOOKS, check_name, check_switch, new_id
from tallycast.errors import Refused

SPACE = "alerts"
MOST_ALERTS = 200


class Alert(NamedTuple):
    """What a creator wants to be told of. `webhooks` are ids; before `made_ms`, Unix time in ms, nothing counts."""

    id: str
    name: str
    target: Target
    rule: Rule
    webhooks: tuple[str, ...]
    made_ms: int
    enabled: bool = True

    def public(self) -> dict[str, Any]:
        """The alert as the API shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "rule": name_of(self.rule),
            "target": self.target.text,
            **self.rule._asdict(),
            "webhooks": self.webhooks,
            "enabled": self.enabled,
            "made_at": self.made_ms // 1000,
        }


class Index:
    """Finds those of some alerts that look at an item, without asking each of them."""

    def __init__(self, alerts: Iterable[Alert]) -> None:
        self._by_target: dict[Target, list[Alert]] = {}
        for alert in alerts:
            self._by_target.setdefault(alert.target, []).append(alert)
        self._lengths = sorted({len(target.name) for target in self._by_target if target.every})

    def covering(self, item: str) -> list[Alert]:
        """Those whose target covers the item."""
        found = list(self._by_target.get(Target(item, False), ()))
        for length in self._lengths:
            if length > len(item):
                break
            found += self._by_target.get(Target(item[:length], True), ())
        return found


def new_alert(body: Mapping[str, Any], kinds: Collection[str], known: Collection[str], *, now_s: float) -> Alert:
    """An alert as its maker describes it; `known` are ids of the webhooks that it may name. Raises Refused."""
    target = parse_target(body.get("target"))
    rule = parse_rule(body, target, kinds)
    allowed = ("name", "rule", "target", "webhooks", *rule._fields)
    for field in body:
        if field not in allowed:
            raise Refused(
                "bad_request", f"no field {field!r} is known of rule {name_of(rule)}; there are: {', '.join(allowed)}"
            )
    name, webhooks = check_name(body.get("name")), check_webhooks(body.get("webhooks", []), known)
    return Alert(new_id("al"), name, target, rule, webhooks, int(now_s * 1000))


def changed(alert: Alert, body: Mapping[str, Any], known: Collection[str]) -> Alert:
    """The alert with another `name` or `webhooks`, or turned on or off. Raises Refused."""
    return alert._replace(
        name=check_name(body.get("name", alert.name)),
        enabled=check_switch(body.get("enabled", alert.enabled)),
        webhooks=check_webhooks(body["webhooks"], known) if "webhooks" in body else alert.webhooks,
    )


def check_webhooks(ids: object, known: Collection[str]) -> tuple[str, ...]:
    """Ids of webhooks, each once. Raises Refused (`bad_request`)."""
    if not isinstance(ids, list) or len(ids) > MOST_WEBHOOKS:
        raise Refused("bad_request", f"webhooks must be a list of at most {MOST_WEBHOOKS} ids, [] for none")
    for id in ids:
        if not isinstance(id, str) or id not in known:
            raise Refused("bad_request", f"there is no webhook {str(id)[:64]!r}: GET /v1/admin/webhooks lists them")
    return tuple(dict.fromkeys(ids))


def load_alert(body: bytes) -> Alert:
    """A document of the space `alerts`."""
    document = orjson.loads(body)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in document["values"].items()}
    return Alert(
        document["id"],
        document["name"],
        Target(*document["target"]),
        RULES[document["rule"]](**values),
        tuple(document["webhooks"]),
        document["made_ms"],
        document["enabled"],
    )


def dump_alert(alert: Alert) -> bytes:
    """The document of an alert."""
    rule, target = name_of(alert.rule), tuple(alert.target)
    return orjson.dumps({**alert._asdict(), "rule": rule, "values": alert.rule._asdict(), "target": target})
