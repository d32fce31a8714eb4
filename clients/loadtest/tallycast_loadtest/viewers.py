"""Those who watch: most as a page in a browser does, some slowly, some not at all, some by Server-Sent Events.

All viewers of an item get the same bytes, so a frame is parsed once a process: after that a read costs one look into a
dictionary and one time that is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Any, Final
from urllib.parse import quote

import orjson

from tallycast_loadtest import schedule
from tallycast_loadtest.guests import Guest, Lobby, Place
from tallycast_loadtest.line import events_request, frame, upgrade
from tallycast_loadtest.oracle import Counts, Faults, Order, stale
from tallycast_loadtest.scenario import Scenario
from tallycast_loadtest.tally import Delivery, Tally

_MOST_TIMES: Final = 64  # of one delivery; where there were more viewers, some share one
_TIMES_A_SECOND: Final = 20_000  # of all deliveries of a second, roughly
_SLOW_BUFFER_BYTES: Final = 4096  # the kernel's, of who reads little: what is not read shall weigh on the hub
_now_ns = time.monotonic_ns


class Shown:
    """An item's counts as a frame shows them, and who got it when: by the version that they had before, in ns."""

    __slots__ = ("again", "arrivals_ns", "counts", "item", "size_bytes", "v")

    def __init__(self, item: str, v: int, counts: Mapping[str, int], size_bytes: int) -> None:
        self.item, self.v, self.counts, self.size_bytes = item, v, counts, size_bytes
        self.arrivals_ns: dict[int, list[int]] = {}
        self.again = 0  # times that it brought nothing new to a viewer


_NOTHING: Final = Shown("", -1, {}, 0)


class Audience(Lobby):
    """The viewers of one process. `token` is what all of them show, where the hub wants one."""

    def __init__(
        self,
        scenario: Scenario,
        items: Sequence[str],
        place: Place,
        token: str | None,
        tally: Tally,
        *,
        part: int,
        parts: int,
    ) -> None:
        super().__init__(place, tally, Random(f"{scenario.seed} viewers {part}"), tally.connect, tally.recovery)
        self.token = token
        self.order = Order()
        self.known: dict[bytes, Shown] = {}
        self._scenario = scenario
        self._churn = schedule.churn(scenario, part, parts)
        self._roles = schedule.roles(scenario)
        self._resting = True  # whether slow viewers take their time
        choose = schedule.Items(scenario)
        self._viewers = {
            number: self._make(number, [items[item] for item in choose.of_viewer(number)])
            for number in range(part, scenario.viewers, parts)
        }

    def _make(self, number: int, items: list[str]) -> Viewer:
        slow, sse = number in self._roles.slow, number in self._roles.sse
        kind = (SlowEventsViewer if sse else SlowViewer) if slow else (EventsViewer if sse else Viewer)
        viewer = kind(self, number, items)
        if slow or number in self._roles.stuck:
            viewer.receive_bytes = _SLOW_BUFFER_BYTES
        return viewer

    def start(self, start_s: float) -> None:
        """Let them come, each at its time; `start_s` is the run's start on the loop's clock."""
        for number, viewer in self._viewers.items():
            viewer.come(start_s + schedule.connect_s(self._scenario, number))

    def begin(self, begin_s: float) -> None:
        """The reactions begin: from now on viewers come and go, and what is to go wrong goes wrong."""
        for number in self._roles.stuck & self._viewers.keys():
            self._viewers[number].stop_reading()
        if self._scenario.storm_at_s:
            self.loop.call_at(begin_s + self._scenario.storm_at_s, self._storm)
        self._replace_next(begin_s)

    def _storm(self) -> None:
        for number in self._roles.storm & self._viewers.keys():
            if self._viewers[number].live:
                self._viewers[number].lose()

    def _replace_next(self, begin_s: float) -> None:
        for at_s, number in self._churn:
            self.loop.call_at(begin_s + at_s, self._replace, begin_s, self._viewers[number])
            return

    def _replace(self, begin_s: float, viewer: Viewer) -> None:
        if viewer.live:
            viewer.replace()
        self._replace_next(begin_s)

    def parsed(self, message: dict[str, Any], frame: bytes) -> Shown:
        """A counts frame that no viewer of this process has had within the last second."""
        shown = Shown(message["item"], message["v"], message["counts"], len(frame))
        self.order.frame(shown.item, shown.v, shown.counts)
        self.known[frame] = shown
        return shown

    def snapshot(self, message: dict[str, Any]) -> list[Shown]:
        """The items of a snapshot."""
        items = [Shown(each["item"], each["v"], each["counts"], 0) for each in message["items"]]
        for shown in items:
            self.order.frame(shown.item, shown.v, shown.counts)
        return items

    def take(self) -> tuple[int, int, list[Delivery]]:
        """Frames, their bytes, and the deliveries, since the last time."""
        frames = size_bytes = 0
        groups: list[tuple[Shown, int, list[int]]] = []
        for key, shown in list(self.known.items()):
            if not shown.arrivals_ns and not shown.again:
                del self.known[key]  # nobody has had it for a second
                continue
            read = shown.again + sum(map(len, shown.arrivals_ns.values()))
            frames += read
            size_bytes += read * shown.size_bytes
            groups += ((shown, before, times_ns) for before, times_ns in shown.arrivals_ns.items())
            shown.arrivals_ns, shown.again = {}, 0
        most = max(4, min(_MOST_TIMES, _TIMES_A_SECOND // max(1, len(groups))))
        return frames, size_bytes, [_delivery(shown, before, times_ns, most) for shown, before, times_ns in groups]

    def catch_up(self) -> None:
        """Nothing new is to come: slow viewers read at once what is on its way, to be held to the last of it."""
        self._resting = False
        for number in self._roles.slow & self._viewers.keys():
            if self._viewers[number].live:
                _read_on(self._viewers[number].transport)

    def rest(self, viewer: Viewer, read_bytes: int) -> None:
        """Let a slow viewer read on when it has had time for what it read."""
        if self._resting and not viewer.transport.is_closing():
            viewer.transport.pause_reading()
            self.loop.call_later(read_bytes / self._scenario.slow_bytes_per_s, _read_on, viewer.transport)

    def stale(self, truth: Mapping[str, Counts]) -> tuple[int, Faults]:
        """How many viewers can be held to the hub's counts, and those who show something else."""
        held = [viewer for viewer in self._viewers.values() if viewer.live]
        return len(held), stale(((str(viewer.number), viewer.last()) for viewer in held), truth)


def _read_on(transport: asyncio.Transport) -> None:
    if not transport.is_closing():
        transport.resume_reading()


def _delivery(shown: Shown, before: int, times_ns: list[int], most: int) -> Delivery:
    size = -(-len(times_ns) // most)
    ends = [*range(size, len(times_ns), size), len(times_ns)]
    return Delivery(
        shown.item,
        before,
        shown.v,
        tuple(times_ns[end - 1] // 1000 for end in ends),
        tuple(end - begin for begin, end in zip((0, *ends), ends, strict=False)),
    )


class Viewer(Guest):
    """One viewer on a socket."""

    __slots__ = ("_audience", "_carried_v", "_known", "_snapshots_v", "items", "receive_bytes", "seen")

    def __init__(self, audience: Audience, number: int, items: list[str]) -> None:
        super().__init__(audience, number)
        self._audience, self._known, self.items = audience, audience.known, items
        self.receive_bytes = 0
        self.seen = dict.fromkeys(items, _NOTHING)
        self._snapshots_v: dict[str, int] = {}
        self._carried_v: dict[str, int] = {}  # from the connection before

    def last(self) -> dict[str, Counts]:
        """What it shows of its items now."""
        return {item: Counts(max(shown.v, 0), shown.counts) for item, shown in self.seen.items()}

    def request(self) -> bytes:
        return upgrade(self._audience.place.target, self._audience.token, self._audience.place.origin)

    def opened(self, transport: asyncio.Transport) -> None:
        super().opened(transport)
        self._carried_v = {item: shown.v for item, shown in self.seen.items()}
        self._snapshots_v = {}
        transport.write(frame(orjson.dumps({"op": "subscribe", "ref": 1, "items": self.items})))

    def data_received(self, data: bytes) -> None:
        # Most reads are one frame. The end of one never equals a whole frame: no text begins with 0x81.
        shown = self._known.get(data)
        if shown is not None:
            self.show(shown)
        else:
            super().data_received(data)

    def took(self, frame_: bytes) -> None:
        shown = self._known.get(frame_)
        if shown is None:
            super().took(frame_)
        else:
            self.show(shown)

    def show(self, shown: Shown) -> None:
        """A counts frame came."""
        try:
            before = self.seen[shown.item].v
        except KeyError:
            self._audience.tally.error("not_subscribed", f"a frame of item {shown.item} came unasked")
            return
        if shown.v > before:
            self.seen[shown.item] = shown
            try:
                shown.arrivals_ns[before].append(_now_ns())
            except KeyError:
                shown.arrivals_ns[before] = [_now_ns()]
        else:
            shown.again += 1
            # Frames are ordered among each other; a snapshot may overtake one.
            if shown.v < before and self._snapshots_v.get(shown.item) != before:
                self._audience.order.fell(str(self.number), shown.item, before, shown.v)

    def heard(self, text: bytes, frame: bytes) -> None:
        message = orjson.loads(text)
        match message["ev"]:
            case "counts":
                self.show(self._audience.parsed(message, frame))
            case "snapshot":
                self.begin_with(self._audience.snapshot(message))
                self.seated()
            case _:
                self.told(message)

    def told(self, message: dict[str, Any]) -> None:
        """The hub said something that is no number."""
        if message["ev"] == "bye":
            self.bye(message)
        elif message["ev"] == "error":
            self._audience.tally.error(message["code"], message["message"])

    def begin_with(self, items: Iterable[Shown]) -> None:
        """The items as they were when the connection was subscribed to them."""
        for shown in items:
            carried_v = self._carried_v.pop(shown.item, -1)
            self._snapshots_v[shown.item] = shown.v
            if shown.v >= self.seen[shown.item].v:
                self.seen[shown.item] = shown
            elif shown.v < carried_v:
                self._audience.order.fell(str(self.number), shown.item, carried_v, shown.v)

    def replace(self) -> None:
        """Leave, and come again as somebody new."""
        self.unseat()
        self.lose()
        self._retry_after_s = 0.0
        self.seen = dict.fromkeys(self.items, _NOTHING)
        self.due_s = time.monotonic()

    def stop_reading(self) -> None:
        """Read nothing any more. The hub may cut it off, which it will not notice."""
        if self.live:
            self.unseat()
            self.transport.pause_reading()


class EventsViewer(Viewer):
    """A reader of an event stream."""

    __slots__ = ("_chunk", "_unseen")
    events = True

    def request(self) -> bytes:
        query = "&".join(f"item={quote(item, safe='')}" for item in self.items)
        return events_request(self._audience.place.target, query, self._audience.token, self._audience.place.origin)

    def opened(self, transport: asyncio.Transport) -> None:
        Guest.opened(self, transport)
        self._carried_v = {item: shown.v for item, shown in self.seen.items()}
        self._snapshots_v = {}
        self._chunk = b""
        self._unseen = set(self.items)

    def data_received(self, data: bytes) -> None:
        chunk = self._chunk + data
        at = 0
        while (line_end := chunk.find(b"\r\n", at)) >= 0:  # chunked: the size in hex, the chunk, and a line's end
            size = int(chunk[at:line_end].partition(b";")[0], 16)
            if not size:
                self.transport.close()
                return
            if len(chunk) < line_end + size + 4:
                break
            self._rest += chunk[line_end + 2 : line_end + 2 + size]
            at = line_end + size + 4
        self._chunk = chunk[at:]
        *events, self._rest = self._rest.split(b"\n\n")
        for event in events:
            _, found, text = event.partition(b"\ndata: ")
            if found:
                self._event(text)

    def _event(self, text: bytes) -> None:
        shown = self._known.get(text)
        if shown is None:
            message = orjson.loads(text)
            if message["ev"] != "counts":
                self.told(message)
                return
            shown = self._audience.parsed(message, text)
        if shown.item not in self._unseen:
            self.show(shown)
            return
        self._unseen.discard(shown.item)
        self.begin_with((shown,))
        if not self._unseen:
            self.seated()


class SlowViewer(Viewer):
    """A viewer on a socket who reads slowly."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._audience.rest(self, len(data))


class SlowEventsViewer(EventsViewer):
    """A reader of an event stream who reads slowly."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._audience.rest(self, len(data))
