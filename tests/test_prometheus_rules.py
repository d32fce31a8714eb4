"""docs/prometheus/tallycast.rules.yml: promtool takes it and its unit tests, and each alert says what to do."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

import promql

ROOT = Path(__file__).parents[1]
RULES = ROOT / "docs" / "prometheus" / "tallycast.rules.yml"
UNIT_TESTS = ROOT / "tests" / "prometheus" / "rules.test.yml"
GROUPS = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
RECORDINGS = [rule for group in GROUPS for rule in group["rules"] if "record" in rule]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    found = ROOT / ".tools" / "promtool"
    command = str(found) if found.exists() else shutil.which("promtool")
    assert command, "no promtool: `make install-test` fetches it, or put Prometheus's on the PATH"
    return subprocess.run([command, *arguments], capture_output=True, text=True, timeout=60, check=False)


def known() -> dict[str, frozenset[str]]:
    """The labels of all series, of recorded ones too."""
    recorded = {rule["record"]: frozenset(promql.grouped(rule["expr"]) - {"le"}) for rule in RECORDINGS}
    return promql.series() | recorded


def anchors(markdown: str) -> set[str]:
    """Where a link into the document can lead, by GitHub's rule."""
    headings = re.findall(r"^#+ (.+)$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_promtool_takes_the_rules() -> None:
    checked = promtool("check", "rules", "--lint-fatal", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_promtools_unit_tests_of_the_alerts_pass() -> None:
    tested = promtool("test", "rules", UNIT_TESTS)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("rule", [*RECORDINGS, *ALERTS], ids=lambda rule: str(rule.get("record") or rule.get("alert")))
def test_a_rule_asks_for_what_hubs_have(rule: dict[str, Any]) -> None:
    promql.check(rule["expr"], known())
    for asked in promql.asked(rule["expr"]):
        assert asked.matchers.get("job") == ("=", "tallycast") or ":" in asked.name, asked


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert re.fullmatch(r"\d+m", rule["for"])
    assert rule["labels"]["severity"] in ("critical", "warning")
    annotations = rule["annotations"]
    assert set(annotations) == {"summary", "description", "runbook_url"}
    assert annotations["description"].endswith(".") and not annotations["summary"].endswith(".")
    named = set(re.findall(r"\$labels\.(\w+)", annotations["summary"] + annotations["description"]))
    assert named <= {"instance"} | promql.grouped(rule["expr"])
    document, _, anchor = annotations["runbook_url"].partition("#")
    assert anchor in anchors((ROOT / document).read_text("utf-8"))
    assert anchor == rule["alert"].lower()


def test_each_alert_is_seen_to_fire_and_not_to_fire() -> None:
    tests = yaml.safe_load(UNIT_TESTS.read_text("utf-8"))["tests"]
    seen = [(test["alertname"], bool(test["exp_alerts"])) for scene in tests for test in scene["alert_rule_test"]]
    for rule in ALERTS:
        assert {(rule["alert"], True), (rule["alert"], False)} <= set(seen), rule["alert"]


def test_each_recording_is_of_use() -> None:
    asked = {one.name for rule in ALERTS for one in promql.asked(rule["expr"])}
    assert {rule["record"] for rule in RECORDINGS} <= asked
