"""The ACL rules of docs/operations.md: enough for all that hubs and operators do, and not for more."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import redis

from main_path import take_main_path
from redis_servers import RedisServer, cluster, sentinels, single
from tallycast.errors import ConfigError
from tallycast.kinds import Kinds
from tallycast.store import open_store

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"
WORD = "w0rd/with@signs"
ENCODED = "w0rd%2Fwith%40signs"


def rules() -> list[list[str]]:
    """For the servers, and for the sentinels."""
    lines = OPERATIONS.read_text("utf-8").splitlines()
    return [line.replace("PASSWORD", WORD).split() for line in lines if line.startswith("ACL SETUSER")]


def let_in(servers: Sequence[RedisServer], rule: Sequence[str]) -> None:
    """Make the user of the rule."""
    for server in servers:
        server.ask(*rule)


def with_user(url: str) -> str:
    return url.replace("://", f"://tallycast:{ENCODED}@")


@pytest.mark.parametrize(("database", "more"), [("", []), ("/1", ["&1/tallycast:*"])])
async def test_the_rule_for_servers_is_enough_on_one(database: str, more: list[str], tmp_path: Path) -> None:
    with single() as server:
        let_in([server], rules()[0] + more)
        await take_main_path(with_user(server.url) + database, tmp_path)


async def test_the_rule_with_what_it_takes_more_is_enough_for_an_ack_of_the_disk(kinds: Kinds) -> None:
    for more, told in ((["+waitaof"], False), (["+waitaof", "+config|get"], True)):
        with single(program="redis-8", appendonly="yes", appendfsync="no") as server:
            let_in([server], rules()[0] + more)
            if told:
                with pytest.raises(ConfigError, match="needs appendfsync always"):
                    open_store(with_user(server.url), kinds, ack="disk")
            server.ask("config", "set", "appendfsync", "always")
            store = open_store(with_user(server.url), kinds, ack="disk")
            await store.ping()
            await store.close()


async def test_the_rule_for_servers_is_enough_on_a_cluster(tmp_path: Path) -> None:
    with cluster() as nodes:
        let_in(nodes.servers, rules()[0])
        await take_main_path(with_user(nodes.url), tmp_path)


async def test_both_rules_are_enough_behind_sentinels(tmp_path: Path) -> None:
    with sentinels() as watched:
        of_servers, of_sentinels = rules()
        let_in(watched.servers, of_servers)
        let_in(watched.watchers, of_sentinels)
        url = f"{with_user(watched.url)}?sentinel_username=tallycast&sentinel_password={ENCODED}"
        await take_main_path(url, tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        "flushall",
        "keys *",
        "config get *",
        "get other:key",
        "publish other:key x",
        "script flush",
        "shutdown",
        "client kill id 1",
    ],
)
def test_the_rule_for_servers_gives_no_more_than_that(command: str, redis_single: RedisServer) -> None:
    let_in([redis_single], rules()[0])
    with redis.Redis(port=redis_single.port, username="tallycast", password=WORD, protocol=2) as client:
        assert client.get("tallycast:nothing") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*command.split())
