"""The HTML report, without a browser."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

from load_results import stopped, whole
from tallycast_loadtest import report

ATTACK = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def test_words_of_a_hostile_hub_stay_words() -> None:
    result = replace(whole(), errors={ATTACK: 3}, scenario={"about": ATTACK, ATTACK: ATTACK}, why=(ATTACK,))
    page = report.page(result.to_json())
    assert page.count("<script") == 4
    assert "<img" not in page
    assert "&lt;/script&gt;" in page


def test_no_secret_of_a_command_line_or_an_address_is_passed_on() -> None:
    result = whole()
    told = ("tallycast", "load", "http://ada:hush@hub:1/?token=hush", "--secret-file", "hush")
    result = replace(result, command=told, hub=replace(result.hub, url="http://ada:hush@hub:1"))
    page = report.page(result.to_json())
    assert "hush" not in page
    assert "http://***@hub:1" in page


def test_a_run_that_measured_nothing_has_a_report_too(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    report.write(stopped(), path)
    assert "Stopped early" in path.read_text("utf-8")
    assert 'download="report.json"' in path.read_text("utf-8")


def test_what_is_no_number_becomes_null() -> None:
    broken = replace(whole().rates, sent_per_s=math.nan, acked_per_s=math.inf)
    page = report.page(replace(whole(), rates=broken).to_json())
    assert '"sent_per_s":null,"acked_per_s":null' in page
