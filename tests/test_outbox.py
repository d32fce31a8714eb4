"""Sending over plain ASGI: in order, never more than a little waits, and an end to those that take nothing."""

from __future__ import annotations

import asyncio

import pytest

from tallycast.outbox import HIGH_WATER_BYTES, Outbox


class Listener:
    """A conversation that remembers what happened to its channel."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def message(self, data: bytes) -> None:
        raise NotImplementedError

    def pause(self) -> None:
        self.events.append("pause")

    def resume(self) -> None:
        self.events.append("resume")

    def gone(self) -> None:
        self.events.append("gone")

    def bye(self, retry_after_s: float) -> None:
        raise NotImplementedError


class Client:
    """Where an outbox sends to; takes what comes while `reads` is set."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, data: bytes) -> None:
        await self.reads.wait()
        self.got.append(data)


def make(patience_s: float = 0) -> tuple[Outbox, Client, Listener, asyncio.Task[None]]:
    client, listener = Client(), Listener()
    outbox = Outbox(client.send, patience_s=patience_s)
    outbox.conversation = listener
    return outbox, client, listener, asyncio.create_task(outbox.run())


async def turns(number: int = 20) -> None:
    """Let everybody do what they can do now."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_what_is_written_is_sent_in_order_and_then_the_end() -> None:
    outbox, client, listener, run = make()
    outbox.write(b"1")
    await turns()
    outbox.write(b"2")
    outbox.write(b"3")
    outbox.close(1012, "restart")
    outbox.close(1000, "again")
    outbox.write(b"too late")
    await asyncio.wait_for(run, 1)
    assert client.got == [b"1", b"2", b"3"]
    assert outbox.closed == (1012, "restart")
    assert listener.events == ["gone"]


async def test_a_client_that_does_not_read_pauses_the_conversation_and_is_not_listened_to() -> None:
    outbox, client, listener, run = make()
    client.reads.clear()
    outbox.write(b"x")
    await turns()
    outbox.write(b"y" * HIGH_WATER_BYTES)
    assert listener.events == []
    outbox.write(b"z")
    assert listener.events == ["pause"]
    room = asyncio.create_task(outbox.room())
    await turns()
    assert not room.done()
    client.reads.set()
    await asyncio.wait_for(room, 1)
    assert listener.events == ["pause", "resume"]
    assert b"".join(client.got) == b"x" + b"y" * HIGH_WATER_BYTES + b"z"
    outbox.close(1000, "")
    await asyncio.wait_for(run, 1)


async def test_who_waits_for_room_is_let_go_at_the_end() -> None:
    outbox, client, _, run = make()
    client.reads.clear()
    outbox.write(b"z" * (HIGH_WATER_BYTES + 1))
    room = asyncio.create_task(outbox.room())
    await turns()
    outbox.close(1000, "")
    await asyncio.wait_for(room, 1)
    client.reads.set()
    await asyncio.wait_for(run, 1)


async def test_a_client_that_takes_nothing_at_all_is_given_up() -> None:
    outbox, client, _, run = make(patience_s=0.01)
    client.reads.clear()
    outbox.write(b"x")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run, 5)


async def test_who_is_held_is_not_listened_to_until_it_is_released_and_reads_too() -> None:
    outbox, client, _, run = make()
    outbox.hold()
    room = asyncio.create_task(outbox.room())
    await turns()
    assert not room.done()
    client.reads.clear()
    outbox.answer(b"z" * (HIGH_WATER_BYTES + 1))
    outbox.release()
    await turns()
    assert not room.done(), "answers pile up"
    outbox.hold()
    client.reads.set()
    await turns()
    assert not room.done(), "it is held again"
    outbox.release()
    await asyncio.wait_for(room, 1)
    outbox.hold()
    room = asyncio.create_task(outbox.room())
    await turns()
    assert not room.done()
    outbox.close(1000, "")
    await asyncio.wait_for(room, 1)
    await asyncio.wait_for(run, 1)
