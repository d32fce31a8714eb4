"""docs/protocol.md says what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from tallycast import doorstep, identity, transport, viewer
from tallycast.errors import CODES
from tallycast.frames import CLOSE_CODES
from tallycast.routes import badge, events, form, http
from tallycast.settings import Settings

PAGE = (Path(__file__).parent.parent / "docs" / "protocol.md").read_text("utf-8")
DOCUMENT: dict[str, Any] = json.loads(http.OPENAPI)


def section(title: str) -> str:
    """What stands between a heading that begins so and the next."""
    match = re.search(rf"^## {re.escape(title)}.*?\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert match is not None, f"no section {title}"
    return match[1]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's first table, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def messages(key: str) -> list[dict[str, Any]]:
    """The messages of the page that have `key`."""
    found = [json.loads(line) for line in re.findall(r"^(?:data: )?(\{.*\})$", PAGE, re.MULTILINE)]
    return [message for message in found if key in message]


def test_the_error_codes_are_those_of_the_hub() -> None:
    assert rows("Errors") == [
        [f"`{code}`", str(row.status), "yes" if row.client_fault else "no", row.meaning] for code, row in CODES.items()
    ]


def test_the_close_codes_are_those_of_the_hub() -> None:
    assert rows("Close codes") == [[str(code), meaning] for code, meaning in CLOSE_CODES.items()]


def test_the_operations_are_those_of_the_hub() -> None:
    assert {message["op"] for message in messages("op")} == set(viewer.OPS)
    assert {row[0].strip("`") for row in rows("WebSocket")} == set(viewer.OPS)


def test_messages_of_the_hub_begin_as_they_are_said_to() -> None:
    shown = messages("ev")
    assert {message["ev"] for message in shown} == {
        "auth", "snapshot", "ok", "ack", "counts", "pong", "error", "bye"
    }  # fmt: skip
    for message in shown:
        keys = [key for key in message if key != "ref"]
        assert keys[0] == "ev"
        assert "item" not in keys or keys[1] == "item"


def test_the_problem_that_is_shown_is_of_the_described_schema() -> None:
    (shown,) = messages("status")
    assert list(shown) == [*DOCUMENT["components"]["schemas"]["Problem"]["required"], "retry_after"]
    assert CODES[shown["code"]].status == shown["status"]


def test_the_event_that_is_shown_is_what_the_hub_makes_of_its_message() -> None:
    text = section("Server-Sent Events")
    match = re.search(r"^(event: counts\n.*?\n\n)", text, re.MULTILINE | re.DOTALL)
    assert match is not None
    data = match[1].partition("data: ")[2].strip().encode()
    assert events.event(data).decode() == match[1]
    assert orjson.dumps(orjson.loads(data)) == data


def test_every_http_path_is_there() -> None:
    shown = {match for row in rows("HTTP") for match in re.findall(r"(?:GET|POST) (/[\w./{}]+)", row[0])}
    assert shown == set(DOCUMENT["paths"])


@pytest.mark.parametrize(
    ("title", "text"),
    [
        ("WebSocket", f"`slow_viewer_s` ({Settings().slow_viewer_s} s)"),
        ("WebSocket", f"`ping_s` ({Settings().ping_s} s)"),
        ("WebSocket", f"(`tick_ms`, {Settings().tick_ms} unless set)"),
        ("WebSocket", f"{Settings().message_bytes} bytes (`message_bytes`)"),
        ("Errors", f"(`request_s`, {Settings().request_s} s)"),
        ("Errors", f"after {viewer.MOST_ERRORS} errors of the client's own making within a minute"),
        ("Identity", f"at most {identity.MAX_TOKEN_CHARACTERS} characters"),
        ("Identity", f"up to {identity.LEEWAY_S:g} s ahead"),
        ("Identity", f"contain `{identity.AUDIENCE}`"),
        ("HTTP", f"up to {http.MOST_ITEMS} items"),
        ("HTTP", f"{doorstep.MAX_LINE_BYTES // 1024} KiB"),
        ("HTTP", f"{Settings().message_bytes} bytes (`message_bytes`)"),
        ("Server-Sent Events", f"{Settings().items_per_viewer} items (`items_per_viewer`)"),
        ("Server-Sent Events", f"between {events.RETRY_MS[0]} and {events.RETRY_MS[1]} ms"),
        ("Server-Sent Events", f"after {events.COMMENT_S:g} s"),
        ("Without a script", f"at most {Settings().message_bytes} bytes (`message_bytes`)"),
        ("Without a script", f"cookie `{form.COOKIE}`"),
        ("Without a script", f"within the same {form.TWICE_S} s"),
        ("Without a script", f"kept for {badge.FRESH_S} s"),
        ("Limits", f"| {Settings().message_bytes} bytes |"),
        ("Limits", f"| {doorstep.MAX_LINE_BYTES // 1024} KiB; {doorstep.MAX_HEAD_BYTES // 1024} KiB |"),
        ("Limits", f"| {Settings().items_per_viewer}; {http.MOST_ITEMS} |"),
        ("Limits", f"| {Settings().reactions_per_second} a second, {Settings().reactions_per_second * 4} at once |"),
        ("Limits", f"| {Settings().connects_per_second} a second |"),
        ("Limits", f"| {Settings().connections_per_ip:,}; {Settings().max_connections:,} |"),
        ("Limits", f"| {Settings().visitors_per_minute} a minute |"),
        ("Limits", f"| {transport.MAX_FRAGMENTS} |"),
    ],
)
def test_figures_are_those_of_the_code(title: str, text: str) -> None:
    assert text in " ".join(section(title).split("\n"))


def test_links_within_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^##+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= anchors
