"""Several connections of one person, in virtual time: who is told of what the person says, and when."""

from __future__ import annotations

import asyncio

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from tallycast.devices import AGAIN_S
from tallycast.errors import Unavailable
from tallycast.frames import payloads
from tallycast.hub import Hub
from tallycast.store.base import Reading, Snapshot
from test_hub import TICK_S, Recorder, make
from virtual import run

Mine = dict[str, int]


class Device(Recorder):
    """A connection, and what its client takes from the messages as docs/protocol.md tells it to."""

    def __init__(self) -> None:
        super().__init__()
        self.v: dict[str, int] = {}
        self.mine: dict[str, Mine] = {}
        self.went_back = False

    def write(self, frame: bytes) -> None:
        super().write(frame)
        for payload in payloads(frame):
            message = orjson.loads(payload)
            if "mine" in message:
                self.told(message["item"], message["v"], message["mine"])

    def told(self, item: str, v: int, mine: Mine) -> None:
        if v >= self.v.get(item, -1):
            self.went_back |= mine.get("clap", 0) < self.mine.get(item, {}).get("clap", 0)
            self.v[item], self.mine[item] = v, mine

    @property
    def with_mine(self) -> list[tuple[int, Mine]]:
        """The version and `mine` of each frame that had it."""
        messages = [orjson.loads(payload) for frame in self.frames for payload in payloads(frame)]
        return [(message["v"], message["mine"]) for message in messages if "mine" in message]


def come(hub: Hub, actor: str | None, *names: str) -> Device:
    device = Device()
    if actor is not None:
        hub.devices.join(actor, device)
    device.items = tuple(hub.item(name) for name in names)
    for item in device.items:
        hub.watch(device, item)
        item.move(Snapshot(item.snapshot.item, 0, {}))  # as if it had been read
    return device


def say(hub: Hub, asker: object, v: int, mine: Mine, *, actor: str = "u:1", item: str = "a") -> None:
    """What intake.py does with a reaction that is durable."""
    if hub.devices.alone.get(actor) is not asker:
        hub.devices.say(actor, item, mine, (asker,))
    hub.note(Snapshot(item, v, mine))
    hub.flush()


def test_the_other_connections_of_a_person_are_told_at_once_and_nobody_else() -> None:
    async def main() -> None:
        hub, shelf = make()
        one, two, three = (come(hub, "u:1", "a") for _ in range(3))
        other, anonymous = come(hub, "u:2", "a"), come(hub, None, "a")
        elsewhere = come(hub, "u:1", "b")
        say(hub, one, 1, {"like": 1})
        assert two.with_mine == three.with_mine == [(1, {"like": 1})]
        assert one.with_mine == other.with_mine == anonymous.with_mine == []
        assert len(one.frames) == len(other.frames) == len(anonymous.frames) == 1, "the counts"
        assert elsewhere.frames == [], "it does not watch the item"
        assert shelf.announced == [], "no other hub has connections of this person"

    run(main())


def test_a_reaction_that_came_without_a_connection_is_told_to_the_only_one() -> None:
    async def main() -> None:
        hub, shelf = make()
        only = come(hub, "u:1", "a")
        say(hub, object(), 1, {"like": 1})
        assert only.with_mine == [(1, {"like": 1})]
        say(hub, object(), 2, {"like": 1}, actor="u:2")
        assert shelf.announced == [("u:2", "a")], "who has no connection here may have one elsewhere"

    run(main())


def test_the_only_connection_costs_no_look_and_no_memory_beyond_one_entry() -> None:
    async def main() -> None:
        hub, shelf = make()
        only = come(hub, "u:1", "a")
        say(hub, only, 1, {"like": 1})
        assert only.with_mine == []
        assert shelf.attended == {"u:1": hub.devices}
        second = come(hub, "u:1", "a")
        hub.devices.leave("u:1", second)
        assert hub.devices.alone == {"u:1": only}, "alone again"
        hub.devices.leave("u:1", only)
        assert hub.devices.alone == {}
        assert shelf.attended == {}

    run(main())


def test_at_most_one_frame_more_a_tick_and_it_has_the_newest() -> None:
    async def main() -> None:
        hub, _ = make()
        one, two = come(hub, "u:1", "a"), come(hub, "u:1", "a")
        for v in range(1, 101):  # one a ms, for two ticks; each second one moves no count
            say(hub, one, v - v % 2, {"clap": v})
            await asyncio.sleep(0.001)
        await asyncio.sleep(1)
        assert len(two.with_mine) <= 4
        assert two.with_mine[-1] == (100, {"clap": 100})
        assert len(two.frames) <= 8
        assert one.with_mine == []

    run(main())


def test_values_that_change_without_the_counts_are_told_within_a_tick() -> None:
    async def main() -> None:
        hub, _ = make()
        one, two = come(hub, "u:1", "a"), come(hub, "u:1", "a")
        say(hub, one, 5, {"like": 1})
        say(hub, one, 5, {})  # another took theirs back in the same batch as this one set it
        await asyncio.sleep(2 * TICK_S)
        assert two.mine == {"a": {}}

    run(main())


def test_who_reacted_meanwhile_is_not_told_again_and_never_something_older() -> None:
    async def main() -> None:
        hub, _ = make()
        one, two = come(hub, "u:1", "a"), come(hub, "u:1", "a")
        say(hub, one, 1, {"like": 1})
        say(hub, one, 2, {"like": 0})  # waits for the tick
        say(hub, two, 3, {"dislike": 1})
        await asyncio.sleep(2 * TICK_S)
        assert two.with_mine == [(1, {"like": 1})], "the ack said the rest"
        assert one.with_mine == [(3, {"dislike": 1})]

    run(main())


def test_who_does_not_read_holds_no_queue_and_is_told_what_stands_when_it_reads_again() -> None:
    async def main() -> None:
        hub, shelf = make()
        one, two = come(hub, "u:1", "a", "b"), come(hub, "u:1", "a", "b")
        hub.pause(two)
        for v in range(1, 50):
            say(hub, one, v, {"clap": v})
            await asyncio.sleep(TICK_S)
        assert two.frames == []
        assert not hub.devices.waiting, "nothing is kept for it but what it missed"
        shelf.mine["a", "u:1"] = {"clap": 49}
        shelf.snapshots["a"] = Snapshot("a", 49, {"clap": 49})
        hub.resume(two)
        await asyncio.sleep(3 * TICK_S)
        assert two.mine == {"a": {"clap": 49}}
        assert shelf.asked == [({"a"}, {("a", "u:1")})], "of the item that it missed alone"

    run(main())


def test_the_only_connections_own_reaction_is_not_followed_by_what_a_request_said_before() -> None:
    async def main() -> None:
        hub, _ = make()
        only = come(hub, "u:1", "a")
        say(hub, object(), 1, {"like": 1})
        say(hub, object(), 2, {})  # waits for the tick
        say(hub, only, 3, {"love": 1})
        await asyncio.sleep(2 * TICK_S)
        assert only.with_mine == [(1, {"like": 1})], "the ack said the rest"
        assert hub.devices.alone == {"u:1": only}, "all is told"

    run(main())


def test_another_token_on_a_connection_makes_it_another_persons() -> None:
    async def main() -> None:
        hub, _ = make()
        one, two = come(hub, "u:1", "a"), come(hub, "u:1", "a")
        say(hub, one, 1, {"like": 1})
        say(hub, one, 2, {})  # waits for the tick
        hub.devices.leave("u:1", two)
        hub.devices.join("u:2", two)
        await asyncio.sleep(2 * TICK_S)
        assert two.with_mine == [(1, {"like": 1})], "what is the other one's is not told"

    run(main())


def test_what_is_said_at_another_hub_is_read_and_told_and_what_is_said_here_announced() -> None:
    async def main() -> None:
        hub, shelf = make()
        only = come(hub, "u:1", "a", "b")
        hub.devices.elsewhere("u:1")
        shelf.mine["b", "u:1"] = {"love": 1}
        hub.devices.said("u:1", "b")
        await asyncio.sleep(2 * TICK_S)
        assert only.mine == {"b": {"love": 1}}
        assert shelf.asked == [({"b"}, {("b", "u:1")})]
        say(hub, only, 1, {"like": 1})
        assert shelf.announced == [("u:1", "a")]
        hub.devices.said("u:1", "c")
        hub.devices.said("u:3", None)
        await asyncio.sleep(2 * TICK_S)
        assert len(shelf.asked) == 1, "nobody here watches that"
        hub.devices.said("u:1", None)
        await asyncio.sleep(2 * TICK_S)
        assert only.mine == {"a": {"like": 1}, "b": {"love": 1}}

    run(main())


def test_a_reading_that_fails_is_done_again_and_a_doubtful_reaction_read() -> None:
    async def main() -> None:
        hub, shelf = make()
        one, two = come(hub, "u:1", "a"), come(hub, "u:1", "a")
        shelf.broken = True
        for _ in range(10):
            hub.devices.doubtful("u:1", "a")
        await asyncio.sleep(3.5 * AGAIN_S)
        assert len(shelf.asked) == 3, "one reading at a time, however often it was asked for"
        shelf.broken = False
        await asyncio.sleep(AGAIN_S + TICK_S)
        assert one.mine == two.mine == {"a": {"like": 1}}
        asked = len(shelf.asked)
        await asyncio.sleep(5 * AGAIN_S)
        assert len(shelf.asked) == asked, "and no more"

    run(main())


ITEMS = ("a", "b")
ACTORS = ("u:1", "u:2")
STEPS = st.one_of(
    st.tuples(st.just("react"), st.integers(0, 3), st.sampled_from(ITEMS), st.booleans()),
    st.tuples(st.just("request"), st.sampled_from(ACTORS), st.sampled_from(ITEMS), st.booleans()),
    st.tuples(st.just("reauth"), st.integers(0, 3)),
    st.tuples(st.just("elsewhere"), st.sampled_from(ACTORS), st.sampled_from(ITEMS), st.booleans()),
    st.tuples(st.just("snapshot"), st.integers(0, 3), st.sampled_from(ITEMS)),
    st.tuples(st.just("pause"), st.integers(0, 3)),
    st.tuples(st.just("resume"), st.integers(0, 3)),
    st.tuples(st.sampled_from(("shut", "open", "break", "mend"))),
    st.tuples(st.just("wait"), st.sampled_from((0.001, TICK_S, AGAIN_S))),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=40))
def test_whatever_comes_in_whatever_order_every_connection_ends_at_what_the_store_has(
    steps: list[tuple[object, ...]],
) -> None:
    """Reactions here and elsewhere that move the counts or not, snapshots, pauses, a slow and a failing store."""

    async def main() -> None:
        hub, shelf = make()
        owners = ["u:1", "u:1", "u:1", "u:2"]
        devices = [come(hub, owner, *ITEMS) for owner in owners]
        truth = shelf.mine
        truth.update({(item, actor): {} for item in ITEMS for actor in ACTORS})
        shelf.snapshots = {item: Snapshot(item, 0, {}) for item in ITEMS}
        said = 0
        for device in devices:
            device.mine = {item: {} for item in ITEMS}

        def change(actor: str, item: str, moves: bool) -> None:
            nonlocal said
            said += 1
            truth[item, actor] = {"clap": said}
            if moves:
                shelf.snapshots[item] = Snapshot(item, shelf.snapshots[item].v + 1, {"clap": said})

        def snapshot(at: int, item: str) -> None:
            def done(result: Reading | Unavailable) -> None:
                if isinstance(result, Unavailable):  # the client subscribes again
                    asyncio.get_running_loop().call_later(AGAIN_S, snapshot, at, item)
                    return
                devices[at].told(item, hub.item(item).snapshot.v, result.mine[item, owners[at]])

            hub.read_then([item], owners[at], done)

        for step in steps:
            match step:
                case "react", int(at), str(item), bool(moves):
                    change(owners[at], item, moves)
                    devices[at].told(item, shelf.snapshots[item].v, truth[item, owners[at]])
                    say(hub, devices[at], shelf.snapshots[item].v, truth[item, owners[at]], actor=owners[at], item=item)
                case "request", str(actor), str(item), bool(moves):
                    change(actor, item, moves)
                    say(hub, object(), shelf.snapshots[item].v, truth[item, actor], actor=actor, item=item)
                case "reauth", int(at):
                    hub.devices.leave(owners[at], devices[at])
                    hub.devices.join(owners[at], devices[at])
                    for item in ITEMS:
                        snapshot(at, item)
                case "elsewhere", str(actor), str(item), bool(moves):
                    change(actor, item, moves)
                    hub.devices.elsewhere(actor)
                    asyncio.get_running_loop().call_later(2 * TICK_S, hub.devices.said, actor, item)
                case "snapshot", int(at), str(item):
                    snapshot(at, item)
                case "pause", int(at):
                    hub.pause(devices[at])
                case "resume", int(at):
                    hub.resume(devices[at])
                case ("shut",):
                    shelf.open.clear()
                case ("open",):
                    shelf.open.set()
                case ("break" | "mend" as word,):
                    shelf.broken = word == "break"
                case "wait", float(seconds):
                    await asyncio.sleep(seconds)
        shelf.broken = False
        shelf.open.set()
        await asyncio.sleep(2 * AGAIN_S)
        for device in devices:
            if device.stale is not None:
                hub.resume(device)
        await asyncio.sleep(4 * AGAIN_S)
        for owner, device in zip(owners, devices, strict=True):
            assert device.mine == {item: truth[item, owner] for item in ITEMS}
            assert not device.went_back, "something older came after something newer"

    run(main())
