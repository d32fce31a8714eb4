"""API keys: what is kept of them, who is let in, and how wrong ones are met."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tallycast.access import RIGHTS, SPACE, USED_EVERY_S, WRONG_PER_MINUTE, Access, dump_key, load_key, new_key
from tallycast.errors import Refused
from tallycast.mirrors import Mirrors
from tallycast.store.records import Records
from tallycast.store.sqlite_beside import open_records

NOW_S = 1_800_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def records(tmp_path: Path) -> AsyncIterator[Records]:
    beside = open_records(tmp_path / "keys.db")
    yield beside.records
    await beside.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def access(records: Records, clock: Clock) -> Access:
    return Access(Mirrors(records, clock=time.monotonic), clock_s=clock, ticks_s=clock)


async def make(records: Records, *rights: str, prefix: str = "", ttl_s: float | None = None) -> tuple[str, str]:
    """The id and the Authorization header of a new key."""
    id, token, key = new_key("Ada", rights or RIGHTS, prefix=prefix, ttl_s=ttl_s, now_s=NOW_S)
    await records.put(SPACE, id, dump_key(key), None)
    return id, f"Bearer {token}"


async def refused(access: Access, authorization: str | None, address: str = "192.0.2.1") -> str:
    await access.learn(authorization)
    with pytest.raises(Refused) as caught:
        access.holder(authorization, address=address)
    assert authorization is None or not authorization or authorization not in caught.value.message
    return caught.value.code


async def test_only_a_hash_of_the_secret_is_kept(records: Records) -> None:
    id, authorization = await make(records)
    secret = authorization.split("_", 2)[2]
    body = (await records.all(SPACE))[id]
    assert len(secret) >= 20
    assert secret.encode() not in body
    assert load_key(body).public(id).keys() == {"id", "name", "rights", "prefix", "made_at", "expires_at", "last_used"}


async def test_a_key_is_known_as_soon_as_it_is_made_and_the_scheme_is_in_any_case(
    records: Records, access: Access
) -> None:
    id, authorization = await make(records, "read", prefix="blog/")
    await access.learn(authorization)
    admin = access.holder(authorization.replace("Bearer", "bEARER "))
    assert admin == ("Ada", id, frozenset({"read"}), "blog/")
    assert admin.who == f"Ada ({id})"


@pytest.mark.parametrize("authorization", [None, "", "Basic YTpi", "tk_0123456789ab_x"])
async def test_without_a_bearer_key_nobody_is_known(access: Access, authorization: str | None) -> None:
    assert await refused(access, authorization) == "unauthenticated"


async def test_a_key_that_is_none_or_has_another_secret_is_wrong(records: Records, access: Access) -> None:
    id, authorization = await make(records)
    other = "x" if authorization[-1] != "x" else "y"
    for wrong in (
        "Bearer x",
        "Bearer tk__",
        f"Bearer tk_{id}_{'A' * 43}",
        authorization[:-1] + other,
        authorization + "A",
    ):
        assert await refused(access, wrong) == "bad_token"


async def test_a_key_ends_when_its_time_does(records: Records, access: Access, clock: Clock) -> None:
    id, authorization = await make(records, ttl_s=60)
    await access.learn(authorization)
    clock.now_s += 59.9
    assert access.holder(authorization) == access.of(id)
    clock.now_s += 0.2
    assert await refused(access, authorization) == "token_expired"
    assert access.of(id) is None


async def test_a_revoked_key_is_wrong(records: Records, access: Access) -> None:
    id, authorization = await make(records)
    await access.learn(authorization)
    assert await access.revoke(id)
    assert await refused(access, authorization) == "bad_token"
    assert not await access.revoke(id)


async def test_wrong_keys_of_an_address_are_limited_and_right_ones_are_not(
    records: Records, access: Access, clock: Clock
) -> None:
    _, authorization = await make(records)
    wrong = "Bearer tk_0123456789ab_" + "A" * 43
    for _ in range(WRONG_PER_MINUTE):
        assert await refused(access, wrong) == "bad_token"
    assert await refused(access, wrong) == "rate_limited"
    assert await refused(access, wrong, "192.0.2.2") == "bad_token"
    clock.now_s += 1
    await access.learn(authorization)
    assert access.holder(authorization, address="192.0.2.1").name == "Ada"
    clock.now_s += 60
    assert await refused(access, wrong) == "bad_token"


@pytest.mark.parametrize(
    ("rights", "prefix", "right", "scopes", "allowed"),
    [
        (("read",), "", "read", ("a", ""), True),
        (("read",), "", "write", ("a",), False),
        (("read", "write"), "blog/", "write", ("blog/1", "blog/"), True),
        (("read", "write"), "blog/", "write", ("blog/1", "shop/1"), False),
        (("read", "write"), "blog/", "write", ("",), False),
        (("read", "write"), "blog/", "write", ("blog",), False),
        (("moderate",), "", "keys", (), False),
    ],
)
async def test_a_key_is_good_for_its_rights_within_its_prefix(
    records: Records,
    access: Access,
    rights: tuple[str, ...],
    prefix: str,
    right: str,
    scopes: tuple[str, ...],
    allowed: bool,
) -> None:
    _, authorization = await make(records, *rights, prefix=prefix)
    await access.learn(authorization)
    if allowed:
        access.authorize(authorization, right, *scopes)  # type: ignore[arg-type]
    else:
        with pytest.raises(Refused, match=r"this needs a key with the right|the key is good for items") as caught:
            access.authorize(authorization, right, *scopes)  # type: ignore[arg-type]
        assert caught.value.code == "forbidden"


async def test_when_a_key_was_used_is_written_down_within_an_hour(
    records: Records, access: Access, clock: Clock
) -> None:
    id, authorization = await make(records)
    await access.learn(authorization)

    async def used() -> int | None:
        access.holder(authorization)
        await access.note_use()
        return load_key((await records.all(SPACE))[id]).last_used

    assert await used() == NOW_S
    clock.now_s += USED_EVERY_S / 2
    assert await used() == NOW_S
    clock.now_s += USED_EVERY_S / 2
    assert await used() == NOW_S + USED_EVERY_S


async def test_noting_its_use_brings_no_revoked_key_back(records: Records, access: Access) -> None:
    id, authorization = await make(records)
    await access.learn(authorization)
    access.holder(authorization)
    await records.delete(SPACE, id, "any")  # at another hub
    await access.note_use()
    assert await records.all(SPACE) == {}
    assert await refused(access, authorization) == "bad_token"


@pytest.mark.parametrize(
    ("name", "rights", "prefix", "ttl_s", "wrong"),
    [
        ("", ("read",), "", None, "name"),
        ("x" * 65, ("read",), "", None, "name"),
        ("a\nb", ("read",), "", None, "name"),
        ("a", (), "", None, "right"),
        ("a", ("root",), "", None, "right"),
        ("a", ("read",), "a b", None, "prefix"),
        ("a", ("read",), "a" * 201, None, "prefix"),
        ("a", ("read",), "", 0, "second"),
        ("a", ("read",), "", 1e12, "years"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(
    name: str, rights: tuple[str, ...], prefix: str, ttl_s: float | None, wrong: str
) -> None:
    with pytest.raises(ValueError, match=wrong):
        new_key(name, rights, prefix=prefix, ttl_s=ttl_s, now_s=NOW_S)
