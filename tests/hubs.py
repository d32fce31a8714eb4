"""Real hubs for tests: each a process of its own, on a free port, with its own directory, settings and log."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
from prometheus_client.parser import text_string_to_metric_families

SECRET = "first-test-secret-that-signs-0123456789"
OLD_SECRET = "older-test-secret-still-good-0123456789"
SECONDS = 20.0  # until something that has to happen counts as not happening
TRACE = re.compile(r'File ".*/tallycast/')

Command = Callable[[int], Sequence[str]]


def token(sub: str, /, *, ttl_s: float = 3600, secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    """A token as a site signs it for its user. Claims of None are left out, so that wrong tokens can be made."""
    full = {"sub": sub, "exp": int(time.time() + ttl_s), **claims}
    return jwt.encode({k: v for k, v in full.items() if v is not None}, secret, algorithm)


def fast_lane(port: int) -> Sequence[str]:
    """The command that a site runs."""
    return (sys.executable, "-m", "tallycast", "serve", "--host", "127.0.0.1", "--port", str(port))


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Hub:
    """A running hub, or one that ran elsewhere and is only spoken to."""

    def __init__(self, port: int, prefix: str = "", *, host: str = "127.0.0.1", secret: str = SECRET) -> None:
        self.host, self.port, self.prefix, self.secret = host, port, prefix, secret

    @property
    def http(self) -> str:
        """The address that the HTTP paths follow, without a slash at its end."""
        return f"http://{self.host}:{self.port}{self.prefix}"

    @property
    def live(self) -> str:
        """The address of the socket."""
        return f"ws://{self.host}:{self.port}{self.prefix}/v1/live"

    def token(self, sub: str, /, **claims: Any) -> str:
        """A good token of this hub's site, unless the claims make it a bad one."""
        return token(sub, **{"secret": self.secret, **claims})

    def status(self, path: str, timeout_s: float = 5.0) -> int:
        """The HTTP status of a GET. OSError when nobody answers."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            connection.request("GET", self.prefix + path)
            return connection.getresponse().status
        except http.client.HTTPException as error:
            raise ConnectionError(f"no HTTP answer: {error!r}") from error
        finally:
            connection.close()


class OwnHub(Hub):
    """A hub that this test run started, and ends."""

    def __init__(self, directory: Path, *, command: Command = fast_lane, prefix: str = "", **settings: object) -> None:
        """Start it and wait until it is alive. Settings by their names in TALLYCAST_<NAME>, lower case."""
        super().__init__(free_port(), prefix)
        self.directory = directory
        self.settings = {"store": f"sqlite:///{directory / 'hub.db'}", "secret": SECRET, **settings}
        self.log_path = directory / f"hub-{self.port}.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                command(self.port), cwd=directory, env=self._environ(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_until_alive()
        except BaseException:
            self.kill()
            raise

    def _environ(self) -> dict[str, str]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("TALLYCAST_")}
        return environ | {f"TALLYCAST_{name.upper()}": str(value) for name, value in self.settings.items()}

    def _wait_until_alive(self) -> None:
        end = time.monotonic() + SECONDS
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"the hub ended with {self.process.returncode}:\n{self.log()}")
            try:
                if self.status("/healthz") == 200:
                    return
            except OSError:
                pass
            if time.monotonic() > end:
                raise TimeoutError(f"the hub does not answer:\n{self.log()}")
            time.sleep(0.05)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels, as /metrics tells it now."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        try:
            connection.request("GET", self.prefix + "/metrics")
            families = text_string_to_metric_families(connection.getresponse().read().decode())
            return sum(s.value for family in families for s in family.samples if s.name == f"tallycast_{name}")
        finally:
            connection.close()

    def log(self) -> str:
        """What it wrote to its standard output and error so far."""
        return self.log_path.read_text("utf-8", "replace")

    def check(self) -> subprocess.CompletedProcess[str]:
        """`tallycast check` on its store, with its settings."""
        command = (sys.executable, "-m", "tallycast", "check")
        return subprocess.run(
            command, cwd=self.directory, env=self._environ(), capture_output=True, text=True, timeout=60, check=False
        )

    def rss_bytes(self) -> int:
        """Its resident memory now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text("ascii").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS: the process is gone")

    def terminate(self) -> None:
        """Ask it to drain, as a platform does. `wait` tells how it went."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, timeout_s: float = SECONDS) -> int:
        """Its exit code. TimeoutExpired when it does not end."""
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(SECONDS)


async def eventually(condition: Callable[[], object], *, within_s: float = SECONDS) -> None:
    """Wait until the condition holds. It is asked ten times a second, off the event loop as it may ask a hub."""
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(condition):
            await asyncio.sleep(0.1)


@contextmanager
def running(directory: Path, **options: Any) -> Iterator[OwnHub]:
    """A hub for one block; options as for OwnHub. No trace of a crash of its own may be in its log when it ends."""
    hub = OwnHub(directory, **options)
    try:
        yield hub
    finally:
        hub.kill()
    assert not TRACE.search(hub.log()), hub.log()


def defaults(**settings: object) -> Mapping[str, object]:
    """Settings of a hub whose many test clients share one address; everything else as shipped."""
    return {"connects_per_second": 0, "visitors_per_minute": 0, **settings}
