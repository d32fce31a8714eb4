"""Whole runs against real hubs: the counts hold, whatever viewers and the hub go through, and refusals are one line."""

from __future__ import annotations

import asyncio
import http.server
import multiprocessing
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubs import SECRET, Hub, OwnHub, fast_lane, free_port, running
from loadtest.quiet import Quiet
from tallycast_loadtest import run as run_module
from tallycast_loadtest.hub import BadInput, Unreachable
from tallycast_loadtest.hub import Hub as Asked
from tallycast_loadtest.prepare import Options, prepare
from tallycast_loadtest.processes import Died
from tallycast_loadtest.results import Result
from tallycast_loadtest.run import run
from tallycast_loadtest.scenario import Scenario

SMALL: dict[str, Any] = {
    "viewers": 20,
    "reactors": 10,
    "items": 4,
    "rate_per_s": 40.0,
    "think_s": 0.0,
    "ramp_s": 0.2,
    "duration_s": 1.0,
    "settle_s": 20.0,
}


def options(hub: Hub, *, secret: str | None = SECRET, processes: int = 1, **keys: Any) -> Options:
    return Options(url=hub.http, scenario=Scenario(**{**SMALL, **keys}), processes=processes, secret=secret)


async def made(hub: Hub, view: Quiet | None = None, **keys: Any) -> Result:
    return await run(prepare(options(hub, **keys)), view or Quiet())


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnHub]:
    with running(tmp_path_factory.mktemp("hub")) as hub:
        yield hub


def assert_right(result: Result) -> None:
    assert not result.oracle.wrong, result.oracle.examples
    assert result.oracle.unanswered == 0
    assert result.deliveries.acked == sum(second.offered for second in result.seconds) > 0


async def test_every_count_is_right_with_all_sorts_of_viewers(hub: OwnHub) -> None:
    view = Quiet()
    result = await made(
        hub,
        view,
        processes=2,
        viewers=60,
        items_per_viewer=2,
        sse_share=0.3,
        slow_share=0.2,
        slow_bytes_per_s=50,  # by the end they are far behind
        stuck_share=0.1,
        churn_per_s=0.3,
        storm_at_s=0.8,
        storm_share=0.5,
        duration_s=2.0,
    )
    assert_right(result)
    assert result.oracle.viewers == 54  # all but those who stopped reading
    assert result.errors == {}
    assert result.reconnects > 0
    assert result.latency.recovery is not None
    assert result.latency.recovery.count == result.reconnects
    assert result.latency.connect is not None
    assert result.latency.connect.count >= 60
    assert view.phases == ["connecting", "steady", "settling", "checking"]
    assert any(note.startswith("storm") for note in view.notes)
    assert tuple(view.seconds) == result.seconds
    assert result.generator.processes == 2


async def test_what_viewers_feel_and_what_it_costs_the_hub_is_measured(hub: OwnHub) -> None:
    result = await made(hub, secret=None, items=1, rate_per_s=100.0, duration_s=2.0)  # so that visitors react
    assert_right(result)
    latency, deliveries, cost = result.latency, result.deliveries, result.hub_cost
    assert latency.ack is not None and latency.viewer is not None
    assert latency.ack.count == deliveries.acked
    # Every reaction reached every viewer, alone or with others.
    assert latency.viewer.count == deliveries.acked * 20
    assert deliveries.conflation is not None
    assert deliveries.conflation * deliveries.frames == pytest.approx(latency.viewer.count)
    assert deliveries.conflation > 1
    assert deliveries.bytes > deliveries.frames * 50
    assert cost.cpu_s is not None and cost.cpu_s > 0
    assert cost.rss_bytes_per_viewer is not None
    assert cost.lag_p99_ms is not None
    assert any(second.hub_cpu is not None for second in result.seconds)
    assert all(second.generator_cpu is not None for second in result.seconds)
    assert sum(second.frames for second in result.seconds) == deliveries.frames


async def test_a_restart_of_the_hub_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as hub:

        def restart(_note: str) -> None:
            hub.terminate()
            hub.wait()
            with hub.log_path.open("ab") as log:
                hub.process = subprocess.Popen(
                    fast_lane(hub.port), cwd=hub.directory, env=hub._environ(), stdout=log, stderr=log
                )

        restarting: list[threading.Thread] = []

        def restart_beside(note: str) -> None:
            restarting.append(threading.Thread(target=restart, args=(note,)))
            restarting[0].start()

        view = Quiet(on_note=restart_beside)
        result = await made(hub, view, duration_s=2.0, restart_at_s=0.5, settle_s=60.0)
        restarting[0].join()
    assert view.notes == ["restart the hub now"]
    assert_right(result)
    assert result.oracle.viewers == 20
    assert result.reconnects >= 20
    assert result.latency.recovery is not None


async def test_a_restart_whose_command_fails_ends_the_run(hub: OwnHub) -> None:
    wanted = Options(
        url=hub.http, scenario=Scenario(**{**SMALL, "duration_s": 20.0, "restart_at_s": 0.1}), processes=1,
        secret=SECRET, restart="exit 7",
    )  # fmt: skip
    with pytest.raises(BadInput, match=r"--restart ended with 7"):
        await run(prepare(wanted), Quiet())


async def test_a_hub_that_wants_tokens_gets_them_from_all(tmp_path: Path) -> None:
    with running(tmp_path, viewing="token") as hub:
        with pytest.raises(BadInput, match=r"--secret-file"):
            prepare(options(hub, secret=None))
        # So many items that what the processes tell each other is larger than a pipe's buffer.
        result = await made(hub, sse_share=0.5, items=10_000)
    assert_right(result)
    assert result.oracle.items == 10_000
    assert result.errors == {}


async def test_limits_of_the_hub_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "_CONNECT_S", 1.5)
    limits = {"items_per_viewer": 1, "connections_per_ip": 15, "visitors_per_minute": 5, "reactions_per_second": 1}
    with running(tmp_path, **limits) as hub:
        with pytest.raises(BadInput, match=r"raise TALLYCAST_ITEMS_PER_VIEWER"):
            await made(hub, items_per_viewer=2, viewers=4)
        with pytest.raises(BadInput, match=r"TALLYCAST_CONNECTIONS_PER_IP"):
            await made(hub)
        with pytest.raises(BadInput, match=r"gave out 5 of 10 visitors.*TALLYCAST_VISITORS_PER_MINUTE"):
            prepare(options(hub, secret=None))
        result = await made(hub, viewers=4, reactors=2, rate_per_s=100.0)
    assert not result.oracle.wrong, result.oracle.examples  # what was refused is not counted
    assert result.errors["rate_limited"] > 0
    assert any("TALLYCAST_REACTIONS_PER_SECOND" in line for line in result.why)


def test_a_wrong_secret_is_found_before_the_run(hub: OwnHub) -> None:
    with pytest.raises(BadInput, match=r"refuses tokens under this secret: --secret-file"):
        prepare(options(hub, secret="another secret that is long enough 0123"))


def test_a_kind_that_the_hub_does_not_have_is_named(hub: OwnHub) -> None:
    with pytest.raises(BadInput, match=r"has no kind 'wow': it has like, .*--set kinds="):
        prepare(options(hub, kinds={"wow": 1.0}))


def test_what_is_no_hub_is_said_to_be_none() -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<h1>Hello</h1>")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            with pytest.raises(BadInput, match=r"no Tallycast hub: GET /v1/config"):
                prepare(options(Hub(server.server_port)))
        finally:
            server.shutdown()
            thread.join()


def test_what_speaks_no_http_is_said_to_be_no_hub() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            peer, _ = server.accept()
            with peer:
                peer.sendall(b"+OK POP3 ready\r\n")
                peer.recv(4096)

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(BadInput, match=r"does not speak HTTP"):
            prepare(options(Hub(server.getsockname()[1])))
        thread.join()


def test_a_port_where_nobody_listens_is_no_hub_to_be_reached() -> None:
    with pytest.raises(Unreachable, match=r"no hub can be reached at"):
        prepare(options(Hub(free_port())))


@pytest.mark.parametrize("url", ["http://93.184.216.34", "wss://8.8.8.8/v1/live", "http://[2606:4700::1111]:8000"])
def test_a_public_address_needs_a_word(url: str) -> None:
    with pytest.raises(BadInput, match=r"public address.*--yes-i-own-this"):
        Asked(url).target(public=False)
    assert Asked(url).target(public=True).address


@pytest.mark.parametrize("url", ["http://127.0.0.1:8000", "ws://127.0.0.1:8000/v1/live", "http://10.1.2.3/hub/"])
def test_any_address_of_a_private_hub_will_do(url: str) -> None:
    asked = Asked(url)
    assert asked.target(public=False).path == ("/hub" if "hub" in url else "")


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000", "ftp://127.0.0.1", "http://127.0.0.1:99999", "http://u:p@h/"])
def test_a_wrong_url_is_one_line(url: str) -> None:
    with pytest.raises(BadInput, match=r"^a hub's URL "):
        Asked(url)


async def test_a_process_that_dies_voids_the_run(hub: OwnHub) -> None:
    def kill(name: str) -> None:
        if name == "steady":
            victim = next(each for each in multiprocessing.active_children() if each.name == "tallycast-load-1")
            victim.kill()

    with pytest.raises(Died, match=r"process [0-9]+ of the generator ended with -9"):
        await made(hub, Quiet(on_phase=kill), processes=2, duration_s=30.0)
    assert multiprocessing.active_children() == []


async def test_a_hub_that_dies_ends_the_run_with_a_line(tmp_path: Path) -> None:
    with running(tmp_path) as hub:
        kill = asyncio.get_running_loop().run_in_executor
        view = Quiet(on_phase=lambda name: kill(None, hub.kill) if name == "steady" else None)
        with pytest.raises(Unreachable, match=r"no hub can be reached at"):
            await made(hub, view, settle_s=0.5)
