"""URLs of a Redis, and names and forms of what stands there."""

from __future__ import annotations

import pytest

from tallycast.errors import ConfigError
from tallycast.kinds import Said
from tallycast.store.base import Snapshot
from tallycast.store.redis.keys import (
    ENTRY_BYTES,
    Keys,
    make_header,
    make_record,
    parse_header,
    parse_record,
    snapshot_of,
    version_of,
)
from tallycast.store.redis.url import RedisUrl, is_redis, parse_redis_url


@pytest.mark.parametrize(
    ("url", "parsed"),
    [
        ("redis://host", RedisUrl("single", (("host", 6379),))),
        ("REDIS://host", RedisUrl("single", (("host", 6379),))),
        ("redis://10.0.0.1:7000/3", RedisUrl("single", (("10.0.0.1", 7000),), database=3)),
        ("redis://[::1]:7000/", RedisUrl("single", (("::1", 7000),))),
        ("rediss://u:p%40%2F@host", RedisUrl("single", (("host", 6379),), tls=True, user="u", password="p@/")),
        ("redis://:p:q@host", RedisUrl("single", (("host", 6379),), password="p:q")),
        (
            "redis+sentinel://a:1,b:2,c/mymaster/4",
            RedisUrl("sentinel", (("a", 1), ("b", 2), ("c", 26379)), service="mymaster", database=4),
        ),
        (
            "redis+sentinel://a/mymaster?sentinel_username=s%26t&sentinel_password=%3F%3D+=",
            RedisUrl("sentinel", (("a", 26379),), "mymaster", sentinel_user="s&t", sentinel_password="?=+="),
        ),
        ("redis+cluster://a,b:2", RedisUrl("cluster", (("a", 6379), ("b", 2)))),
        ("rediss+cluster://a", RedisUrl("cluster", (("a", 6379),), tls=True)),
    ],
)
def test_a_url_is_taken_apart(url: str, parsed: RedisUrl) -> None:
    assert is_redis(url)
    assert parse_redis_url(url) == parsed


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://:hunter2@",
        "redis://u:hunter2@host:0",
        "redis://u:hunter2@host:70000",
        "redis://u:hunter2@host/x",
        "redis://u:hunter2@host/1/2",
        "redis://u:hunter2@a,b",
        "redis://u:hunter2@host?ssl=true",
        "redis://u:hunter2#@host",
        "redis://u:hunter2 @host",
        "redis://[::1:hunter2",
        "redis+sentinel://:hunter2@a:1",
        "redis+sentinel://:hunter2@a:1/my master",
        "redis+sentinel://a:1?sentinel_password=hunter2",
        "redis+sentinel://a:1/mymaster?password=hunter2",
        "redis+cluster://a:1?sentinel_password=hunter2",
        "redis+cluster://:hunter2@a:1/1",
        "redis+cluster://:hunter2@a:1,,b",
    ],
)
def test_a_wrong_url_gets_one_line_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_redis_url(url)
    assert str(refusal.value).startswith("store: ")
    assert "\n" not in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_a_url_is_shown_without_user_and_password() -> None:
    url = parse_redis_url("rediss+sentinel://me:hunter2@[::1]:1,b:2/service/3?sentinel_password=hunter2")
    assert str(url) == "rediss+sentinel://[::1]:1,b:2/service/3"
    assert "hunter2" not in repr(url)


@pytest.mark.parametrize("url", ["sqlite:///x.db", "http://host", "redis", "redis+unix://x"])
def test_other_urls_are_not_for_redis(url: str) -> None:
    assert not is_redis(url)


def test_all_keys_of_an_item_and_its_channel_have_the_item_as_hash_tag() -> None:
    keys = Keys("p:", database=2)
    names = [keys.item("a/b"), *keys.events("a/b"), keys.channel("a/b")]
    assert names == ["p:{a/b}", "p:{a/b}:e0", "p:{a/b}:e1", "2/p:{a/b}"]
    assert keys.item_of(b"p:{a/b}") == "a/b"


@pytest.mark.parametrize("prefix", ["", "a b", "a{b", "}", "ä", "x" * 101, "a\n"])
def test_a_prefix_that_would_break_the_names_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="prefix: expected"):
        Keys(prefix)


@pytest.mark.parametrize("counts", [{}, {"like": 0}, {"like": 2**48 - 1, "x" * 32: 1, "share": 7}])
def test_a_header_says_what_it_was_made_of(counts: dict[str, int]) -> None:
    assert parse_header(make_header(2**53 - 1, counts)) == (2**53 - 1, counts)


def test_a_record_says_what_it_was_made_of() -> None:
    said = {"clap": Said(2**24 - 1, 2**53 - 1), "like": Said(0, 5), "share": Said(3, 0)}
    assert parse_record(make_record(said, ["like", "share", "clap"]), ["like", "share", "clap"]) == said
    assert make_record({"like": Said(0, 0)}, ["like"]) == b""


def test_two_rivals_of_which_one_is_set_take_one_entry() -> None:
    names = ["share", "like", "dislike"]
    said = {"dislike": Said(0, 5), "like": Said(1, 5)}
    record = make_record(said, names)
    assert len(record) == ENTRY_BYTES
    assert parse_record(record, names) == said


@pytest.mark.parametrize("said", [Said(2**24, 1), Said(-1, 1), Said(1, 2**56)])
def test_what_has_no_room_in_a_record_is_refused(said: Said) -> None:
    with pytest.raises(OverflowError):
        make_record({"clap": said}, ["clap"])


def test_a_publication_tells_what_its_header_says() -> None:
    header = make_header(7, {"like": 1, "dislike": 0})
    assert version_of(header) == 7
    assert snapshot_of("a", header) == Snapshot("a", 7, {"like": 1})


@pytest.mark.parametrize("message", [b"", b"1234567", b'{"item":"a","v":1}', b"\x01" + b"x" * 12])
def test_a_message_of_somebody_else_is_none(message: bytes) -> None:
    version_of(message)
    with pytest.raises(ValueError):
        snapshot_of("a", message)
