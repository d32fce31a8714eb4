"""The command line without a hub: usage, settings, tokens, checks, and its exit codes."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from hubs import SECRET, free_port
from tallycast import __version__
from tallycast.cli import cli, run
from tallycast.identity import Identity
from tallycast.kinds import Reaction
from tallycast.settings import SETTINGS, Settings, read_kinds
from tallycast.store import open_store


@pytest.fixture(autouse=True)
def a_clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("TALLYCAST_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr, with nothing on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tallycast: ")
    assert err.count("\n") == 1
    return err.removeprefix("tallycast: ").strip()


def in_a_shell(*args: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "tallycast", *args),
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_its_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"tallycast {__version__}\n"


def test_help_names_every_command_and_exit_code() -> None:
    shown = CliRunner().invoke(cli, ["--help"])
    assert shown.exit_code == 0
    for word in ("serve", "watch", "react", "counts", "token", "check", "migrate", "Exit codes", "130"):
        assert word in shown.output


def test_serve_offers_every_setting_with_its_variable_and_default() -> None:
    shown = " ".join(CliRunner().invoke(cli, ["serve", "--help"]).output.split())
    for setting in SETTINGS:
        assert f"{setting.flag} " in shown
        assert f"[{setting.env}" in shown


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["serve", "--porrt", "1"], "--porrt"),
        (["serve", "--port", "x"], "TALLYCAST_PORT (--port) is 'x'"),
        (["serve", "--store", "nonsense"], "a URL such as sqlite:///tallycast.db"),
        (["serve", "--secret", "short"], "TALLYCAST_SECRET (--secret)"),
        (["watch"], "ITEM"),
        (["watch", "a b"], "an item id is"),
        (["counts", "a", "--url", "ftp://x"], "a hub's address looks like"),
        (["react", "a", "like", "many"], "'many' is not a valid integer"),
        (["token", "u:1", "--ttl", "soon"], "such as 90s, 15m, 1h or 30d"),
        (["token", ""], "1–128 printable ASCII"),
        (["check", "--store", "sqlite:///none.db"], "no such file"),
    ],
)
def test_wrong_usage_and_settings_are_one_line_and_exit_code_2(
    args: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(args) == 2
    assert says in told(capsys)


def test_an_unknown_setting_is_refused_and_the_near_one_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYCAST_TIK_MS", "5")
    assert run(["serve"]) == 2
    assert "did you mean TALLYCAST_TICK_MS?" in told(capsys)


def test_the_clients_own_variables_are_no_unknown_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYCAST_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("TALLYCAST_TOKEN", "a token")
    assert Settings.load(os.environ, {}) == Settings()


@pytest.mark.parametrize("args", [["watch", "a"], ["counts", "a"], ["react", "a", "like"]])
def test_no_hub_is_exit_code_3_and_says_what_to_do(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*args, "--url", f"http://127.0.0.1:{free_port()}"]) == 3
    line = told(capsys)
    assert "connection refused" in line
    assert "TALLYCAST_URL" in line


def test_the_token_is_never_shown(capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    for command in (["watch", "a"], ["counts", "a"], ["react", "a", "like"]):
        run([*command, "--url", url, "--token", "TOP-SECRET"])
        assert "TOP-SECRET" not in "".join(capsys.readouterr())


def test_a_token_is_signed_with_the_first_secret_and_good_for_what_was_asked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALLYCAST_SECRET", SECRET)
    assert run(["token", "u:42", "--ttl", "2h", "--item", "post:*", "--item", "video:1"]) == 0
    actor = Identity([SECRET], visitor_s=1).verify(capsys.readouterr().out.strip())
    assert (actor.name, actor.items) == ("u:42", ("post:*", "video:1"))


def test_without_a_secret_the_one_beside_the_store_signs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tokens = []
    for _ in range(2):
        assert run(["token", "u:42", "--store", f"sqlite:///{tmp_path}/t.db"]) == 0
        tokens.append(capsys.readouterr().out.strip())
    kept = (tmp_path / "t.db.secret").read_text("ascii").strip()
    assert {Identity([kept], visitor_s=1).verify(token).name for token in tokens} == {"u:42"}


async def test_check_proves_a_store_finds_what_is_wrong_and_repairs_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/t.db"
    store = open_store(url, read_kinds(Settings()), durability="full")
    await store.apply([Reaction("post:1", f"u:{number}", "like", 1) for number in range(3)])
    await store.close()
    assert run(["check", "--store", url]) == 0
    assert "all counts are the sums" in capsys.readouterr().out
    with closing(sqlite3.connect(tmp_path / "t.db")) as db, db:
        db.execute("UPDATE counts SET n = 77")
    assert run(["check", "--store", url, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["ok"], report["found"], report["repaired"]) == (False, 1, False)
    assert run(["check", "--store", url, "--repair"]) == 0
    assert run(["check", "--store", url]) == 0


def test_errors_in_a_shell_come_without_a_trace(tmp_path: Path) -> None:
    for args, code in ((["serve", "--port", "x"], 2), (["counts", "a", "--url", f"http://127.0.0.1:{free_port()}"], 3)):
        done = in_a_shell(*args)
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.count("\n") == 1


def test_help_and_version_do_not_wait_for_the_server_to_be_imported() -> None:
    script = (
        "import sys; from tallycast.cli import run; run(['--version']); run(['serve', '--help'])\n"
        "slow = {'uvicorn', 'starlette', 'websockets', 'rich', 'asyncio', 'redis', 'jwt'} & set(sys.modules)\n"
        "sys.exit(f'imported: {slow}' if slow else 0)"
    )
    done = subprocess.run((sys.executable, "-c", script), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
