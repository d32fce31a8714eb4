"""One real redis-server for tests: with a free port and a directory of its own, started, awaited and ended by pid."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SECONDS = 20.0  # until something that has to happen counts as not happening
LATER = Path(__file__).parents[1] / ".tools" / "later-redis"
# What is started, where it is, and how to come by it.
PROGRAMS: dict[str, tuple[Path | str, str]] = {
    "redis": ("redis-server", "apt-get install redis-server"),
    "redis-8": (LATER / "redis-server", ".ci/later-redis"),
    "valkey-8": (LATER / "valkey-server", ".ci/later-redis"),
}
# Below the ports that systems give to outgoing connections: one of those cannot take the port of a stopped server, and
# nobody who dials it is connected to himself.
PORTS = range(16_000, 32_000)


def require_redis(program: str = "redis") -> str:
    """The path of a server's program. Without it the test is skipped, and fails where CI is set."""
    name, remedy = PROGRAMS[program]
    path = shutil.which(name)
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no {program}: {remedy}")
        pytest.skip(f"NOT TESTED WITH {program.upper()}: {remedy}")
    return path


def free_port() -> int:
    """A port that nobody listens on now, for a server that may come and go."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def until(condition: Callable[[], object], what: str, within_s: float = SECONDS) -> None:
    """Wait until the condition holds; a Redis that cannot answer now is one where it does not. Blocks the thread."""
    end = time.monotonic() + within_s
    while True:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        if time.monotonic() > end:
            raise TimeoutError(f"not within {within_s:g} s: {what}")
        time.sleep(0.02)


class RedisServer:
    """One redis-server, which can be ended and started again on its port and with its files."""

    def __init__(
        self, directory: Path, *, program: str = "redis", sentinel: Sequence[str] = (), **conf: object
    ) -> None:
        """Start it and wait until it answers. With `sentinel`, those lines of its file, it is a sentinel."""
        directory.mkdir()
        self.path = require_redis(program)
        self.tls = "tls_cert_file" in conf
        self.directory, self.sentinel, self.conf = directory, sentinel, conf
        self._process: subprocess.Popen[bytes] | None = None
        for attempts_left in (2, 1, 0):
            self.port = free_port()
            self._configure()
            try:
                self.start()
                return
            except BaseException as error:
                self.kill9()
                if not isinstance(error, RuntimeError) or not attempts_left or "already in use" not in str(error):
                    raise

    def _configure(self) -> None:
        lines: dict[str, object] = {
            "bind": "127.0.0.1",
            "port": 0 if self.tls else self.port,
            "tls-port": self.port if self.tls else 0,
            "dir": self.directory,
            "daemonize": "no",
        }
        if not self.sentinel:
            lines |= {"save": '""', "appendonly": "no", "repl-diskless-sync-delay": 0, "repl-ping-replica-period": 1}
        lines |= {name.replace("_", "-"): value for name, value in self.conf.items()}
        if lines.get("cluster-enabled") == "yes":
            lines["cluster-port"] = free_port()
        text = "".join(f"{name} {value}\n" for name, value in lines.items())
        text += "".join(f"sentinel {rule}\n" for rule in self.sentinel)
        (self.directory / "redis.conf").write_text(text, "utf-8")

    @property
    def url(self) -> str:
        """redis://127.0.0.1:<port>, rediss:// with TLS."""
        return f"redis{'s' * self.tls}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the process that runs, or ran last."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs, be it stopped by pause()."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, again where it was ended, and wait until it has loaded its data and answers."""
        assert not self.alive
        mode = ["--sentinel"] if self.sentinel else []
        command = [self.path, str(self.directory / "redis.conf"), *mode]
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(lambda: not self.alive or self.ask("ping") == b"PONG", f"{self.url} answers")
        if not self.alive:
            raise RuntimeError(f"redis-server ended with {self._process.returncode}:\n{self.log()}")

    def stop(self) -> None:
        """End it by SIGTERM, as a platform does, and wait until it is gone."""
        self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """End it by SIGKILL, and wait until it is gone."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(SECONDS)

    def pause(self) -> None:
        """SIGSTOP: its sockets stay open, and nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A blocking client of this server that gives up soon and repeats nothing. Close it, or use `with`."""
        own: dict[str, Any] = {"password": self.conf.get("requirepass")}
        if self.tls:
            own |= {"ssl": True, "ssl_cert_reqs": "none"}
        once = Retry(NoBackoff(), 0)
        return redis.Redis(
            host="127.0.0.1", port=self.port, socket_timeout=2, socket_connect_timeout=2, retry=once, protocol=2, **own
        )

    def ask(self, *command: object) -> Any:
        """The plain answer to one command (bytes, int, list), on a connection of its own. Raises redis.RedisError."""
        with self.client() as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def log(self) -> str:
        """What it wrote so far."""
        return (self.directory / "log").read_text("utf-8", "replace")
