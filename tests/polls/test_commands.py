"""`tallycast poll`: what it prints, and the exit codes that scripts go by."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from hubs import OwnHub, free_port
from polling import make_key
from tallycast.cli import run
from tallycast.poll_commands import board

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def poll(hub: OwnHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `tallycast poll …` at the hub with a key that may do everything: exit code, output, errors."""
    monkeypatch.setenv("TALLYCAST_URL", hub.http)
    monkeypatch.setenv("TALLYCAST_KEY", asyncio.run(make_key(str(hub.settings["store"]))))

    def poll(*arguments: str) -> tuple[int, str, str]:
        code = run(["poll", *arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return poll


def test_a_poll_is_made_watched_closed_and_shown(poll: Command, hub: OwnHub, monkeypatch: pytest.MonkeyPatch) -> None:
    create = ("create", "Which lamp?", "Oil", "Gas", "--closes", "2h", "--results", "closed", "--answer", "2")
    code, out, err = poll(*create, "--id", "lamp")
    assert (code, err) == (0, "")
    assert out.startswith("Which lamp?\n\n   1  Oil  ")
    assert "poll:lamp  open, closes 20" in out
    assert run(["react", "poll:lamp", "option-2", "--url", hub.http, "--token", hub.token("u:1")]) == 0
    code, out, _ = poll("show", "poll:lamp")
    assert "   2  Gas  ████████████████████████       1  100% ✓\n" in out
    assert out.endswith("; votes: 1\n")
    code, out, _ = poll("close", "lamp", "--json")
    assert (code, json.loads(out)["state"]) == (0, "closed")
    code, out, _ = poll("watch", "lamp")
    assert (code, out) == (0, "poll:lamp closed 1=0 2=1\n")
    monkeypatch.delenv("TALLYCAST_KEY")
    code, out, _ = poll("show", "lamp", "--json")
    told = json.loads(out)
    assert (code, told["counts"], told["answers"], "votes" in told) == (0, [0, 1], [2], False)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("create", "Which?", "A", "B"), 2, "'--closes'"),
        (("create", "Which?", "A", "B", "--closes", "soon"), 2, "expected 10m, 2h, 3d"),
        (("create", "Which?", "A", "--closes", "1h"), 1, "the hub refused (bad_request): options is a list of 2 to 10"),
        (("create", "Which?", "A", "B", "--closes", "2020-01-01"), 1, "closes_at lies in the past"),
        (("create", "Which?", "A", "B", "--closes", "1h", "--id", "a/b"), 2, "'a/b' is no poll's id"),
        (("show", "nowhere"), 1, "the hub refused (not_found): there is no poll 'nowhere'"),
        (("close", "nowhere"), 1, "the hub refused (not_found)"),
        (("show", "x", "--url", "nothing"), 2, "--url"),
    ],
)
def test_what_is_wrong_is_one_line_and_an_exit_code(
    arguments: tuple[str, ...], code: int, said: str, poll: Command
) -> None:
    was, out, err = poll(*arguments)
    assert (was, out) == (code, "")
    assert said in err
    assert err.count("\n") == 1


def test_without_a_key_or_a_hub_it_says_what_is_missing(poll: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, err = poll("show", "x", "--url", f"http://127.0.0.1:{free_port()}")
    assert (code, "cannot reach" in err) == (3, True)
    monkeypatch.setenv("TALLYCAST_KEY", "tk_wrong")
    code, _, err = poll("show", "x")
    assert (code, "bad_token" in err) == (1, True)
    monkeypatch.delenv("TALLYCAST_KEY")
    code, _, err = poll("close", "x")
    assert (code, "--key" in err) == (2, True)


def test_votes_that_are_hidden_are_not_drawn() -> None:
    told: dict[str, Any] = {
        "item": "poll:lamp", "question": "Which lamp?", "options": ["Oil", "Gas"], "counts": None,
        "state": "upcoming", "opens_at": 1_763_800_000, "closes_at": 1_763_800_600, "closed_at": None,
    }  # fmt: skip
    assert board(told) == (
        "Which lamp?\n\n   1  Oil\n   2  Gas\n\n"
        "poll:lamp  upcoming, opens 2025-11-22 08:26:40 UTC; the votes are not shown yet"
    )
