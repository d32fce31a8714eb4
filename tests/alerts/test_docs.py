"""docs/alerts.md: what it tells receivers to do works, and its numbers are those of the code."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from nodejs import node
from tallycast.alerts import firings, sender, watcher
from tallycast.alerts.alert import MOST_ALERTS
from tallycast.alerts.deliveries import DELAYS_S, MOST_WAITING
from tallycast.alerts.rules import CALMER, RULES, Target, parse_rule
from tallycast.alerts.webhooks import MOST_WEBHOOKS, new_secret, sign

TEXT = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text("utf-8")
BODY = '{"text":"Grüße 👍"}'.encode()

Verify = Callable[[str, Mapping[str, str], bytes], bool]

RUN = """
import { verify } from "./verify.mjs";
const { secret, headers, body } = JSON.parse(process.argv[2]);
process.stdout.write(String(verify(secret, headers, Buffer.from(body, "base64"))));
"""


def code(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(found)


def in_python(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    names: dict[str, Any] = {}
    exec(code("python"), names)
    return bool(names["verify"](secret, headers, body))


@pytest.fixture(scope="module")
def in_node(tmp_path_factory: pytest.TempPathFactory) -> Verify:
    directory = tmp_path_factory.mktemp("node")
    (directory / "verify.mjs").write_text(code("js"), "utf-8")
    (directory / "run.mjs").write_text(RUN, "utf-8")

    def verify(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
        asked = {"secret": secret, "headers": headers, "body": base64.b64encode(body).decode()}
        done = node("run.mjs", json.dumps(asked), cwd=directory)
        assert done.returncode == 0, done.stderr
        return done.stdout == "true"

    return verify


@pytest.mark.parametrize("language", ["python", "node"])
def test_what_receivers_are_told_to_do_tells_good_messages_from_bad(language: str, in_node: Verify) -> None:
    verify = in_python if language == "python" else in_node
    secret, now_s = new_secret(), int(time.time())
    good = sign(secret, "msg_1", now_s, BODY)
    assert verify(secret, good, BODY)
    rotating = {**good, "webhook-signature": f"v1,bm8= {good['webhook-signature']}"}
    assert verify(secret, rotating, BODY)
    assert not verify(secret, good, BODY + b" ")
    assert not verify(new_secret(), good, BODY)
    assert not verify(secret, {**good, "webhook-id": "msg_2"}, BODY)
    assert not verify(secret, {**good, "webhook-timestamp": str(now_s + 1)}, BODY)
    assert not verify(secret, {**good, "webhook-signature": good["webhook-signature"].replace("v1", "v2")}, BODY)
    assert not verify(secret, sign(secret, "msg_1", now_s - 301, BODY), BODY)


def test_the_numbers_are_those_of_the_code() -> None:
    for name in RULES:
        assert f"| `{name}` |" in TEXT
    rate = parse_rule({"rule": "rate", "kind": "like"}, Target("", True), ["like"])
    shown = "`minutes` (10) by `factor` (5) times what is usual, and by `minimum` (20)"
    assert (rate.minutes, rate.factor, rate.minimum, rate.quiet_s) == (10, 5, 20, 3600)  # type: ignore[union-attr]
    assert shown in TEXT
    assert CALMER == 0.75
    assert "three quarters" in TEXT
    assert f"At most {MOST_ALERTS} alerts and {MOST_WEBHOOKS} webhooks" in TEXT
    assert f"the last {firings.MOST_FIRINGS} firings" in TEXT
    assert f"{MOST_WAITING} messages may wait" in TEXT
    assert f"sends {watcher.MOST_AT_ONCE} messages" in TEXT
    assert f"2xx within {sender.WHOLE_S:g} s" in TEXT
    assert sender.MOST_READ_BYTES == 8192
    assert DELAYS_S == (5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 6 * 3600)
    assert "after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h and 6 h" in TEXT
