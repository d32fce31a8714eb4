"""`tallycast serve`: the app under uvicorn with the fast lane, and its end on SIGTERM."""

from __future__ import annotations

import gc
import logging
import resource
import signal
import socket

import uvicorn

from tallycast import log
from tallycast.app import create_app
from tallycast.doorstep import Doorstep
from tallycast.errors import ConfigError
from tallycast.service import Service
from tallycast.settings import Settings

SEND_BUFFER_BYTES = 64 * 1024  # what the kernel holds for one viewer: no long queue of old numbers
UNSENT_BYTES = 16 * 1024  # …of which not yet on the network
UNACKED_MS = 20_000  # after which the kernel gives a peer up that acknowledges nothing
BACKLOG = 8192
RESERVED_FILES = 128  # for the store, the log, and connections that are not viewers
ROUNDS_OF_GC = (50_000, 20, 50)

logger = logging.getLogger("tallycast.server")


class Server(uvicorn.Server):
    """uvicorn's server, whose shutdown lets the hub say goodbye first."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        await self.service.drain()
        await super().shutdown(sockets)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises ConfigError."""
    log.configure(settings.log_format, settings.log_level)
    most_files = raise_file_limit()
    app = create_app(settings)
    service: Service = app.state.service
    gate = service.gate
    gate.most_open = min(gate.most_open or most_files, max(most_files - RESERVED_FILES, 1))
    sockets = listen(settings.host, settings.port)
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
    port = sockets[0].getsockname()[1]
    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    logger.info("Tallycast serves http://%s:%d — open it in two browser windows", shown, port)
    Server(config, service).run(sockets)


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets bound to `host`, one an address. Raises ConfigError. What is set here every accepted one inherits."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        sockets = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = socket.socket(family, kind, protocol)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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
