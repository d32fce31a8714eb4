"""What Redis pays for one call of the script, by its size, and for each delivery of a publication.

    PYTHONPATH=tests .venv/bin/python -m measure.redis_units

Redis's CPU time is what it says of itself (`INFO cpu`). Every reaction is another person's, all are on one item, and a
call is sent when the one before is answered, as a hub does.
"""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import ExitStack

import redis
import uvloop

from redis_servers import RedisServer, single
from tallycast.kinds import Reaction, parse
from tallycast.store import open_store

SIZES = (1, 5, 25, 125)
REACTIONS = 20_000  # for each size, or as many as MOST_CALLS hold
MOST_CALLS = 4_000
SUBSCRIBERS = (1, 10, 100)
PUBLICATIONS = 4_000


def main() -> None:
    with single() as server, redis.Redis.from_url(server.url) as client:
        uvloop.run(_calls(server, client))
        for number in SUBSCRIBERS:
            _deliveries(server, client, number)


def _cpu_us(client: redis.Redis) -> float:
    cpu = client.info("cpu")
    return (float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])) * 1e6


async def _calls(server: RedisServer, client: redis.Redis) -> None:
    store = open_store(server.url, parse('[like]\nrule = "toggle"\n', "measure"))
    for size in SIZES:
        calls = min(REACTIONS // size, MOST_CALLS)
        before_us = _cpu_us(client)
        for call in range(calls):
            await store.apply([Reaction("item", f"u:{size}:{call}:{n}", "like", 1) for n in range(size)])
        took_us = _cpu_us(client) - before_us
        print(
            f"a call of {size:>3}: {took_us / calls:6.1f} us, {took_us / calls / size:6.2f} us a reaction", flush=True
        )
    await store.close()


def _deliveries(server: RedisServer, client: redis.Redis, number: int) -> None:
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(number):
            subscriber = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            subscriber.sendall(b"SUBSCRIBE channel\r\n")
            subscriber.recv(1024)
            selector.register(subscriber, selectors.EVENT_READ)
        done = threading.Event()

        def read() -> None:
            while not done.is_set():
                for key, _ in selector.select(0.1):
                    key.fileobj.recv(1 << 18)  # type: ignore[union-attr]

        reading = threading.Thread(target=read)
        reading.start()
        before_us = _cpu_us(client)
        for _ in range(PUBLICATIONS):
            client.publish("channel", b"x" * 40)
        took_us = (_cpu_us(client) - before_us) / PUBLICATIONS
        done.set()
        reading.join()
    print(
        f"{number:>3} subscribers: {took_us:6.1f} us a publication, {took_us / number:5.2f} us a delivery", flush=True
    )


if __name__ == "__main__":
    main()
