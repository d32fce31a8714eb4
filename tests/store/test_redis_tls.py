"""`rediss://`: certificates are verified, and what is wrong with one is a line that says what to do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from hubs import running
from main_path import take_main_path
from redis_servers import RedisServer, cluster, sentinels, single
from tallycast.errors import ConfigError, Unavailable
from tallycast.kinds import Kinds
from tallycast.store import open_store

Conf = dict[str, Any]
SECONDS = 20.0


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def certified(authority: trustme.CA, tmp_path: Path) -> Callable[..., Conf]:
    """Lines of redis.conf for a server with a certificate for these names and addresses."""

    def issue(*names: str, not_after: datetime | None = None) -> Conf:
        certificate = authority.issue_cert(*names, not_after=not_after)
        pem, ca = tmp_path / "server.pem", tmp_path / "ca.pem"
        certificate.private_key_and_cert_chain_pem.write_to_path(pem)
        authority.cert_pem.write_to_path(ca)
        return {
            "tls_cert_file": pem,
            "tls_key_file": pem,
            "tls_ca_cert_file": ca,
            "tls_auth_clients": "no",
            "tls_replication": "yes",
            "tls_cluster": "yes",
        }

    return issue


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process trusts the authority."""
    authority.cert_pem.write_to_path(tmp_path / "trusted.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))


def refusal(url: str, kinds: Kinds) -> str:
    with pytest.raises(ConfigError) as refused:
        open_store(url, kinds)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("servers", [single, sentinels, cluster])
async def test_the_main_path_works_over_tls(servers: Any, certified: Callable[..., Conf], tmp_path: Path) -> None:
    running: AbstractContextManager[Any] = servers(**certified("127.0.0.1"))
    with running as own:
        assert own.url.startswith("rediss")
        await take_main_path(own.url, tmp_path)


@pytest.mark.usefixtures("trusted")
def test_a_hub_serves_over_tls(certified: Callable[..., Conf], tmp_path: Path) -> None:
    with single(**certified("127.0.0.1")) as server:
        with running(tmp_path, store=server.url) as hub, httpx.Client(base_url=hub.http) as client:
            said = {"item": "post:1", "kind": "like", "value": 1}
            answer = client.post(
                "/v1/reactions", json=said, headers={"Authorization": f"Bearer {hub.token('u:1')}"}, timeout=SECONDS
            )
            assert answer.json()["counts"] == {"like": 1}
            assert client.get("/readyz", timeout=SECONDS).status_code == 200


def test_a_certificate_of_an_unknown_ca_is_refused(certified: Callable[..., Conf], kinds: Kinds) -> None:
    with single(**certified("127.0.0.1")) as server:
        line = refusal(server.url, kinds)
    assert "certificate is not accepted: name the file of its CA in SSL_CERT_FILE" in line


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("form", ["rediss://{}", "rediss+cluster://{}", "rediss+sentinel://{}/mymaster"])
def test_a_certificate_for_another_host_is_refused(form: str, certified: Callable[..., Conf], kinds: Kinds) -> None:
    with single(**certified("redis.example")) as server:
        assert "it is for another address" in refusal(form.format(f"127.0.0.1:{server.port}"), kinds)
        assert "it is for another host" in refusal(form.format(f"localhost:{server.port}"), kinds)


@pytest.mark.usefixtures("trusted")
def test_an_expired_certificate_is_refused(certified: Callable[..., Conf], kinds: Kinds) -> None:
    with single(**certified("127.0.0.1", not_after=datetime.now(UTC) - timedelta(days=1))) as server:
        assert "it has expired: renew it" in refusal(server.url, kinds)


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("form", ["redis{}://{}", "redis{}+cluster://{}", "redis{}+sentinel://{}/mymaster"])
def test_tls_where_none_is_spoken_and_the_reverse_are_told(
    form: str, certified: Callable[..., Conf], kinds: Kinds, redis_single: RedisServer
) -> None:
    right, wrong = (form.format(s, "").partition("://")[0] for s in ("", "s"))
    assert f"speaks no TLS: use {right}://" in refusal(form.format("s", f"127.0.0.1:{redis_single.port}"), kinds)
    with single(**certified("127.0.0.1")) as server:
        assert f"speaks TLS: use {wrong}://" in refusal(form.format("", f"127.0.0.1:{server.port}"), kinds)


async def test_a_hub_that_runs_already_says_what_is_wrong_with_a_new_certificate(
    certified: Callable[..., Conf], kinds: Kinds, caplog: pytest.LogCaptureFixture
) -> None:
    with single(**certified("127.0.0.1")) as server:
        server.stop()
        store = open_store(server.url, kinds)
        await asyncio.to_thread(server.start)
        end_s = time.monotonic() + SECONDS
        while "SSL_CERT_FILE" not in caplog.text:
            assert time.monotonic() < end_s
            with pytest.raises(Unavailable):
                await store.ping()
            await asyncio.sleep(0.05)
        with pytest.raises(Unavailable, match="certificate is not accepted"):
            await store.ping()
        await store.close()
