"""A store that cannot be written: reactions are refused, counts are still shown, and all is well once it can again."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hubs import OwnHub, defaults, eventually, running
from talk import Frame, Talk, talking

TMPFS_BYTES = 700 * 1024


class Fault:
    """Something that keeps the hub from writing, and can be undone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def begin(self, hub: OwnHub) -> None:
        """From now on it cannot write."""
        raise NotImplementedError

    def end(self, hub: OwnHub) -> None:
        """From now on it can again."""
        raise NotImplementedError


class FullDisk(Fault):
    """Its file system has no byte left."""

    def begin(self, hub: OwnHub) -> None:
        with (self.directory / "filler").open("wb", buffering=0) as filler:
            try:
                for size in (4096, 512, 1):
                    try:
                        while True:
                            filler.write(b"x" * size)
                    except OSError:
                        continue
            finally:
                os.fsync(filler.fileno())

    def end(self, hub: OwnHub) -> None:
        (self.directory / "filler").unlink()


class FileLimit(Fault):
    """It may make no file any longer, which needs no rights to bring about."""

    def begin(self, hub: OwnHub) -> None:
        _, hard = resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE, (4096, hard))

    def end(self, hub: OwnHub) -> None:
        _, hard = resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(hub.process.pid, resource.RLIMIT_FSIZE, (hard, hard))


@pytest.fixture(params=[FullDisk, FileLimit])
def fault(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fault]:
    """A way to keep a hub whose store is in the fault's directory from writing."""
    if request.param is not FullDisk:
        yield request.param(tmp_path)
        return
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={TMPFS_BYTES}", "tmpfs", str(disk))
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a small file system, e.g. root")
    try:
        yield FullDisk(disk)
    finally:
        subprocess.run(("umount", str(disk)), check=True)


async def refused(talk: Talk, item: str) -> Frame:
    """React until the store does not take it any more; the refusal. What it had room for is taken."""
    for n in range(10_000):
        answer = await talk.ask("react", item=item, kind="share", id=f"filling:{n:05}")
        if answer["ev"] == "error":
            return answer
    raise AssertionError("the store is never full")


async def test_a_store_that_cannot_be_written_refuses_reactions_shows_counts_and_recovers(
    fault: Fault, tmp_path: Path
) -> None:
    settings = defaults(reactions_per_second=0, store=f"sqlite:///{fault.directory / 'hub.db'}")
    with running(tmp_path, **settings) as hub:
        async with (
            talking(hub.live, hub.token("u:1")) as user,
            talking(hub.live) as reader,
            httpx.AsyncClient(base_url=hub.http, trust_env=False, verify=False) as web,
        ):
            for n in range(5):
                await user.ok("react", item="full:1", kind="share", id=f"before:{n:05}")
            await reader.subscribe("full:1")
            fault.begin(hub)
            answer = await refused(user, "full:1")
            assert answer["code"] == "unavailable"
            assert answer["retry_after"] > 0
            for n in range(25):  # more than a client may have errors of its own making
                again = await user.ask("react", item="full:2", kind="like", value=1, seq=n + 1)
                assert again["code"] == "unavailable"
            body = {"item": "full:2", "kind": "like", "value": 1}
            headers = {"Authorization": f"Bearer {hub.token('u:2')}"}
            posted = await web.post("/v1/reactions", json=body, headers=headers)
            assert (posted.status_code, posted.json()["code"]) == (503, "unavailable")
            assert int(posted.headers["retry-after"]) >= 1

            shown = (await reader.subscribe("full:1"))[0]["counts"]
            assert shown["share"] >= 5
            counts = await web.get("/v1/counts", params={"item": ["full:1", "full:2"]})
            assert [entry["counts"] for entry in counts.json()["items"]] == [shown, {}]
            async with talking(hub.live) as late:
                assert (await late.subscribe("full:1"))[0]["counts"] == shown
            await eventually(lambda: hub.status("/readyz") == 503)
            assert hub.status("/healthz") == 200
            reason = (await web.get("/readyz")).json()
            assert reason["code"] == "unavailable"

            fault.end(hub)
            await recovered(user)
            await eventually(lambda: hub.status("/readyz") == 200)
            ack = await user.ok("react", item="full:1", kind="share", id="after:00001")
            assert ack["counts"]["share"] == shown["share"] + 1
            assert (await reader.counts("full:1", lambda counts: counts == ack["counts"]))["v"] == ack["v"]
        hub.kill()
        result = await asyncio.to_thread(hub.check)
        assert result.returncode == 0, result.stdout + result.stderr


async def recovered(talk: Talk) -> None:
    """The same reaction, sent again as its refusals ask for, is counted once."""
    async with asyncio.timeout(20):
        while True:
            answer = await talk.ask("react", item="full:2", kind="like", value=1, seq=100)
            if answer["ev"] == "ack":
                assert answer["counts"] == answer["mine"] == {"like": 1}
                return
            await asyncio.sleep(min(answer["retry_after"], 0.5))
