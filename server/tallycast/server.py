"""`tallycast serve`: the app under uvicorn with the fast lane, in one process or several, and its end on SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Sequence

import uvicorn
from starlette.applications import Starlette

from tallycast import log
from tallycast.app import create_app
from tallycast.doorstep import Doorstep
from tallycast.errors import ConfigError
from tallycast.service import Service
from tallycast.settings import Settings
from tallycast.workers import Work, Workers

SEND_BUFFER_BYTES = 64 * 1024  # what the kernel holds for one viewer: no long queue of old numbers
UNSENT_BYTES = 16 * 1024  # …of which not yet on the network
UNACKED_MS = 20_000  # after which the kernel gives a peer up that acknowledges nothing
BACKLOG = 8192
RESERVED_FILES = 128  # for the store, the log, and connections that are not viewers
ROUNDS_OF_GC = (50_000, 20, 50)
AFTER_DRAIN_S = 2.0  # until a worker that should have drained is killed

logger = logging.getLogger("tallycast.server")


class Server(uvicorn.Server):
    """uvicorn's server, whose shutdown lets the hub say goodbye first."""

    def __init__(self, config: uvicorn.Config, service: Service, work: Work | None) -> None:
        super().__init__(config)
        self.service = service
        self.work = work

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self.work is not None:
            asyncio.get_running_loop().add_reader(self.work.orphaned, self._orphaned)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # uvicorn listens to it by now
        await super().startup(sockets)

    def _orphaned(self) -> None:
        assert self.work is not None
        asyncio.get_running_loop().remove_reader(self.work.orphaned)
        logger.error("the parent process is gone: worker %d ends", self.work.number)
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await self.service.drain()
        await super().shutdown(sockets)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError, and SystemExit where workers failed on their way out."""
    log.configure(settings.log_format, settings.log_level)
    if settings.workers > 1:
        _run_workers(settings)
        return
    app = create_app(settings)
    listeners = listen(settings.host, settings.port)
    _announce(settings, listeners[0].getsockname()[1])
    _serve(app, listeners)


def _run_workers(settings: Settings) -> None:
    given = f"TALLYCAST_WORKERS (--workers) is {settings.workers}"
    if settings.store.startswith("sqlite:"):
        raise ConfigError(f"{given}, but the embedded store serves one process: workers share a redis:// store")
    if sys.platform != "linux":
        raise ConfigError(f"{given}, but only Linux spreads one port's connections over processes: start one")
    create_app(settings)  # what is wrong is told here, once; each worker makes its own
    # Sockets that share a port would share it with another hub's as well: see that nobody has it.
    port = settings.port
    for probe in listen(settings.host, port):
        port = port or probe.getsockname()[1]
        probe.close()
    workers = Workers(
        settings.workers,
        lambda: listen(settings.host, port, shared=True),
        lambda work: _serve(create_app(settings), work.listeners, work),
        patience_s=settings.drain_s + AFTER_DRAIN_S,
    )
    _announce(settings, port)
    code = workers.run()
    if code:
        sys.exit(code)


def _announce(settings: Settings, port: int) -> None:
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    logger.info("Tallycast serves http://%s:%d — open it in two browser windows", shown, port)


def _serve(app: Starlette, listeners: Sequence[socket.socket], work: Work | None = None) -> None:
    service: Service = app.state.service
    if work is not None:
        service.metrics.worker = str(work.number)
    gate = service.gate
    most_files = raise_file_limit()
    gate.most_open = min(gate.most_open or most_files, max(most_files - RESERVED_FILES, 1))
    config = uvicorn.Config(
        app,
        http=Doorstep,
        ws="none",  # Doorstep has its own
        loop="uvloop",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # addresses.py reads them, where limits need an address
        backlog=BACKLOG,
        timeout_graceful_shutdown=1,  # for HTTP requests; viewers have gone before
    )
    # Connections are many, live long and hold no cycles: the default of 700 allocations a collection would go through
    # all of them again and again.
    gc.set_threshold(*ROUNDS_OF_GC)
    # uvicorn raises the signal again once it is done, for those around it; here it has done all that was to do.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    Server(config, service, work).run(list(listeners))


def listen(host: str, port: int, *, shared: bool = False) -> list[socket.socket]:
    """Sockets bound to `host`, one an address. Raises ConfigError. What is set here every accepted one inherits.

    `shared` ones let others that are `shared` be bound to the same port; the kernel spreads connections over them.
    """
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        sockets = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = socket.socket(family, kind, protocol)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
            for option, value in (("TCP_NOTSENT_LOWAT", UNSENT_BYTES), ("TCP_USER_TIMEOUT", UNACKED_MS)):
                if hasattr(socket, option):  # Linux has both, others one or none
                    listener.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
            listener.setblocking(False)
            listener.bind(address)
            sockets.append(listener)
        return sockets
    except OSError as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error.strerror or error}") from None


def raise_file_limit() -> int:
    """Allow as many open files, and so connections, as the system lets this process have; how many that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
        except (OSError, ValueError):  # macOS says "unlimited" and means 10240
            pass
    return soft if soft != resource.RLIM_INFINITY else 1_000_000
