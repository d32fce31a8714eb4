"""How many counts frames a second a core of the load generator reads: the kernel's work and its own apart.

    PYTHONPATH=tests .venv/bin/python -m measure.load_reader --viewers 2000 --frames 1

A process of its own feeds viewers as fast as it can, `--frames` of them in one write, as a hub does with viewers of
several items. The kernel's part is what any reader pays; with one frame a read it is most of it.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import multiprocessing
import pstats
import resource
import socket
import time
from multiprocessing.connection import Connection

import uvloop

from tallycast_loadtest.guests import Place
from tallycast_loadtest.line import Target
from tallycast_loadtest.scenario import Scenario
from tallycast_loadtest.tally import Tally
from tallycast_loadtest.viewers import Audience

WELCOME = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
V = 1_763_750_000_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=2000, help="at most 8000")
    parser.add_argument("--frames", type=int, default=1, help="in one write, at most 50")
    parser.add_argument("--seconds", type=int, default=5, help="at most 30")
    parser.add_argument("--profile", action="store_true", help="show where the reader's own time goes")
    options = parser.parse_args()
    viewers, frames, seconds = min(options.viewers, 8000), min(options.frames, 50), min(options.seconds, 30)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    feeding = context.Process(target=_feed, args=(theirs, viewers, frames, seconds + 2), daemon=True)
    feeding.start()
    try:
        uvloop.run(_read(ours.recv(), ours, viewers, frames, seconds, profile=options.profile))
    finally:
        feeding.kill()


def _counts(item: int, v: int) -> bytes:
    text = b'{"ev":"counts","item":"load:0:%d","v":%d,"counts":{"like":123456,"clap":1234,"share":99}}' % (item, v)
    return bytes((0x81, len(text))) + text


def _snapshot(items: int) -> bytes:
    entries = b",".join(b'{"item":"load:0:%d","v":%d,"counts":{}}' % (item, V - 1) for item in range(items))
    text = b'{"ev":"snapshot","ref":1,"items":[%b]}' % entries
    size = bytes((len(text),)) if len(text) < 126 else b"\x7e" + len(text).to_bytes(2, "big")
    return b"\x81" + size + text


def _feed(pipe: Connection, viewers: int, frames: int, seconds: int) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server:
        pipe.send(server.getsockname())
        peers = []
        for _ in range(viewers):
            peer, _ = server.accept()
            peer.recv(4096)
            peer.sendall(WELCOME)
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peers.append(peer)
        for peer in peers:
            peer.recv(4096)
            peer.sendall(_snapshot(frames))
            peer.setblocking(False)
        pipe.recv()
        end_s, v = time.monotonic() + seconds, V
        rest: dict[socket.socket, bytes] = {}  # of writes that did not fit: a frame must not be cut
        while time.monotonic() < end_s:
            v += 1
            data = b"".join(_counts(item, v) for item in range(frames))
            for peer in peers:
                wanted = rest.pop(peer, data)
                try:
                    sent = peer.send(wanted)
                except BlockingIOError:
                    sent = 0
                except ConnectionError:
                    return  # the reader has seen enough
                if sent < len(wanted) and (sent or wanted is not data):
                    rest[peer] = wanted[sent:]


async def _read(
    address: tuple[str, int], pipe: Connection, viewers: int, frames: int, seconds: int, *, profile: bool
) -> None:
    place = Place(Target(socket.AF_INET, address, "127.0.0.1", ""), None)
    scenario = Scenario(viewers=viewers, reactors=0, rate_per_s=0, items=frames, items_per_viewer=frames, ramp_s=0)
    audience = Audience(scenario, [f"load:0:{n}" for n in range(frames)], place, None, Tally(), part=0, parts=1)
    audience.start(time.monotonic())
    while audience.live < viewers:
        await asyncio.sleep(0.05)
    audience.take()
    pipe.send(None)
    await asyncio.sleep(1)
    audience.take()
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    before, begin_s, read, size_bytes = resource.getrusage(resource.RUSAGE_SELF), time.monotonic(), 0, 0
    for _ in range(seconds):
        await asyncio.sleep(1)
        read_now, bytes_now, _ = audience.take()
        read, size_bytes = read + read_now, size_bytes + bytes_now
    after, took_s = resource.getrusage(resource.RUSAGE_SELF), time.monotonic() - begin_s
    profiler.disable()
    audience.close()
    user_s, system_s = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    print(
        f"{viewers} viewers, {frames} frames a write: {read / took_s:,.0f} frames/s,"
        f" {size_bytes / took_s / 1e6:.1f} MB/s with {(user_s + system_s) / took_s:.0%} of a core"
    )
    print(
        f"{read / (user_s + system_s):,.0f} frames/s a core; a frame costs {user_s / read * 1e6:.2f} us of own work and"
        f" {system_s / read * 1e6:.2f} us of the kernel's"
    )
    if profile:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(12)


if __name__ == "__main__":
    main()
