"""`tallycast migrate` when something is wrong, and what its command shows."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from moves import (
    KINDS,
    assert_same,
    move,
    read,
    some_content,
    stop_after,
    url,
    write,
)
from redis_servers import RedisServer
from tallycast import progress
from tallycast.cli import run
from tallycast.errors import ConfigError
from tallycast.store import open_store
from tallycast.store.redis.check import check as check_redis

# Refused


def test_a_target_that_holds_other_data_is_refused_and_left_alone(
    server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.db", some_content())
    write(tmp_path / "b.db", some_content(items=2))
    move(url(tmp_path / "b.db"), server.url, prefix)
    before = read(tmp_path / "b.db")
    with pytest.raises(ConfigError, match="holds data already"):
        move(url(tmp_path / "a.db"), server.url, prefix)
    with pytest.raises(ConfigError, match="holds data already"):
        move(server.url, url(tmp_path / "b.db"), prefix)
    assert check_redis(server.url, KINDS, prefix=prefix).items == 2
    assert read(tmp_path / "b.db") == before


@pytest.mark.usefixtures("small_steps")
def test_a_part_from_elsewhere_is_other_data(server: RedisServer, prefix: str, tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        write(tmp_path / name, some_content())
    stop_after(2, url(tmp_path / "a.db"), server.url, prefix)
    with pytest.raises(ConfigError, match=r"holds a part of sqlite:////.*a\.db"):
        move(url(tmp_path / "b.db"), server.url, prefix)


@pytest.mark.usefixtures("small_steps")
def test_no_hub_starts_on_a_part_of_a_store(server: RedisServer, prefix: str, tmp_path: Path) -> None:
    write(tmp_path / "a.db", some_content())
    stop_after(2, url(tmp_path / "a.db"), server.url, prefix)
    with pytest.raises(ConfigError, match=r"is no whole copy of sqlite:.*a\.db yet: finish that migration"):
        open_store(server.url, KINDS, prefix=prefix)
    assert move(url(tmp_path / "a.db"), server.url, prefix).ok
    open_store(server.url, KINDS, prefix=prefix)


def test_a_store_that_was_only_opened_may_be_filled(server: RedisServer, prefix: str, tmp_path: Path) -> None:
    before = some_content()
    write(tmp_path / "a.db", before)
    with asyncio.Runner() as runner:
        for target, own in ((server.url, {"prefix": prefix}), (url(tmp_path / "b.db"), {})):
            store = open_store(target, KINDS, durability="full", **own)
            runner.run(store.ping())
            runner.run(store.close())
    move(url(tmp_path / "a.db"), server.url, prefix)
    move(server.url, url(tmp_path / "b.db"), prefix)
    assert_same(read(tmp_path / "b.db"), before)


def test_it_does_not_start_beside_a_hub(server: RedisServer, prefix: str, tmp_path: Path) -> None:
    write(tmp_path / "a.db", some_content())
    with asyncio.Runner() as runner:
        for place, own in ((url(tmp_path / "a.db"), {}), (server.url, {"prefix": prefix})):
            hub = open_store(place, KINDS, durability="full", **own)
            runner.run(hub.ping())
            for source, target in ((url(tmp_path / "a.db"), server.url), (server.url, url(tmp_path / "a.db"))):
                with pytest.raises(ConfigError, match="a hub is running on it: stop it first"):
                    move(source, target, prefix)
            runner.run(hub.close())
    assert move(url(tmp_path / "a.db"), server.url, prefix).ok


def test_what_is_wrong_in_the_source_is_told_of_the_copy(server: RedisServer, prefix: str, tmp_path: Path) -> None:
    content = some_content(items=2)
    content.counts["post:1", "like"] += 3
    write(tmp_path / "a.db", content)
    report = move(url(tmp_path / "a.db"), server.url, prefix)
    assert not report.ok
    assert report.findings == ["post:1: like counts 14, but the values make 11"]
    assert check_redis(server.url, KINDS, prefix=prefix, repair=True).repaired


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (("hset", "{post:0}", "", "x"), "post:0: its header is missing or cannot be read"),
        (("hset", "{post:0}", "u:1", "x"), "post:0: what an actor says cannot be read"),
        (("set", "{post:0}", "x"), "post:0: its key"),
        (("set", "{post:0}:e0", "x"), "post:0: the key of its event ids holds something else"),
    ],
)
def test_a_damaged_redis_is_not_copied(
    damage: tuple[str, ...], says: str, server: RedisServer, prefix: str, tmp_path: Path
) -> None:
    write(tmp_path / "a.db", some_content(items=1))
    move(url(tmp_path / "a.db"), server.url, prefix)
    command, key, *rest = damage
    server.ask(command, prefix + key, *rest)
    with pytest.raises(ConfigError, match=says):
        move(server.url, url(tmp_path / "b.db"), prefix)
    assert not (tmp_path / "b.db").exists()


def test_a_damaged_value_in_the_source_asks_for_its_repair(server: RedisServer, prefix: str, tmp_path: Path) -> None:
    content = some_content(items=1)
    content.said["post:0", "u:1", "clap"] = (-1, 0)
    write(tmp_path / "a.db", content)
    with pytest.raises(ConfigError, match="run `tallycast check --repair` on the source first"):
        move(url(tmp_path / "a.db"), server.url, prefix)


# The command


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr, with nothing on stdout."""
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("tallycast: ")
    assert err.count("\n") == 1
    return err.removeprefix("tallycast: ").strip()


@pytest.mark.parametrize(
    ("source", "target", "says"),
    [
        ("nonsense", "redis://127.0.0.1:1", "expected a URL such as sqlite:///"),
        ("sqlite:///t.db", "nonsense", "expected a URL such as sqlite:///"),
        ("mysql://u:secret-word@h/d", "sqlite:///t.db", "expected a URL such as sqlite:///"),
        ("sqlite://t.db", "redis://127.0.0.1:1", "sqlite:///relative.db"),
        ("sqlite:///none.db", "redis://127.0.0.1:1", "no such file"),
        ("sqlite:///t.db", "redis://u:secret-word@127.0.0.1:1", "cannot be reached"),
        ("redis://127.0.0.1:1", "sqlite:///new.db", "cannot be reached"),
        ("sqlite:///t.db", "redis://127.0.0.1:1/x", "the database is a number"),
        ("sqlite:///t.db", "sqlite:///./t.db", "name the same store"),
        ("redis://127.0.0.1:1", "redis://127.0.0.1:1/0", "name the same store"),
    ],
)
def test_wrong_urls_are_one_line_and_exit_code_2(
    source: str,
    target: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "t.db", some_content())
    assert run(["migrate", "--from", source, "--to", target]) == 2
    line = told(capsys)
    assert says in line
    assert "secret-word" not in line
    assert not (tmp_path / "new.db").exists()


def test_the_url_that_is_not_given_is_the_stores_own(
    server: RedisServer,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = some_content(items=1)
    write(tmp_path / "a.db", before)
    monkeypatch.setenv("TALLYCAST_STORE", server.url)
    monkeypatch.setenv("TALLYCAST_PREFIX", prefix)
    assert run(["migrate", "--from", url(tmp_path / "a.db")]) == 0
    assert run(["migrate", "--to", url(tmp_path / "b.db")]) == 0
    assert_same(read(tmp_path / "b.db"), before)
    capsys.readouterr()
    assert run(["migrate"]) == 2
    assert "the one that is not given is TALLYCAST_STORE" in told(capsys)


@pytest.mark.usefixtures("small_steps")
def test_in_a_pipe_lines_say_how_far_it_is(
    server: RedisServer,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    write(tmp_path / "a.db", some_content(items=2))
    args = ["migrate", "--from", url(tmp_path / "a.db"), "--to", server.url, "--prefix", prefix]
    assert run(args) == 0
    out, err = capsys.readouterr()
    assert "all counts are the sums of their values" in out
    lines = err.splitlines()
    assert lines[0].startswith("copied 1 of 3 items, "), "about: one of them says nothing"
    assert lines[-1] == "copied 2 of 2 items, 76 values"


def test_on_a_terminal_there_is_a_bar(server: RedisServer, prefix: str, tmp_path: Path) -> None:
    write(tmp_path / "a.db", some_content(items=2))
    ours, theirs = os.openpty()
    args = ("migrate", "--from", url(tmp_path / "a.db"), "--to", server.url, "--prefix", prefix)
    done = subprocess.run(
        (sys.executable, "-m", "tallycast", *args), stderr=theirs, stdout=subprocess.PIPE, timeout=60, check=False
    )
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert done.returncode == 0
    assert b"2/2" in shown
    assert b"all counts are the sums" in done.stdout


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux's way of saying that nobody writes to it any more
        return b""
