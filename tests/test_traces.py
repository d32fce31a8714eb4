"""OpenTelemetry: which spans there are, what they say and never say, and that none costs anything unless asked for."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from asgi import HOST, Inside
from hubs import SECRET, OwnHub, eventually
from raw import connected
from tallycast.app import create_app
from tallycast.errors import Unavailable
from tallycast.handshake import Gate
from tallycast.settings import Settings
from tallycast.store.sqlite import SqliteStore
from tallycast.traces import Tracing

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"


class Traced(NamedTuple):
    """A hub inside the test's process and the spans that it has ended."""

    hub: Inside
    exporter: InMemorySpanExporter
    tracing: Tracing

    async def ended(self) -> dict[str, ReadableSpan]:
        """The spans that have ended, by name, the last of each. No more are sent from now on."""
        await self.tracing.close()
        return {span.name: span for span in self.exporter.get_finished_spans()}


@pytest.fixture
async def traced(tmp_path: Path) -> AsyncIterator[Traced]:
    exporter = InMemorySpanExporter()
    tracing = Tracing(lambda: exporter)
    settings = Settings(store=f"sqlite:///{tmp_path / 'hub.db'}", secret=(SECRET,), reactions_per_second=0)
    app = create_app(settings, tracing)
    service = app.state.service
    service.start()
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{HOST}") as web:
        yield Traced(Inside(app, service, web), exporter, tracing)
    await service.drain()
    await service.close()


async def test_a_request_has_a_span_named_by_its_route_below_the_callers(traced: Traced) -> None:
    answer = await traced.hub.web.get(
        "/v1/items/secret%3Aitem/badge.svg?kind=like", headers={"traceparent": TRACEPARENT}
    )
    assert answer.status_code == 200
    span = (await traced.ended())["GET /v1/items/{item:path}/badge.svg"]
    assert span.kind is SpanKind.SERVER and span.context is not None and span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert span.attributes is not None
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/v1/items/{item:path}/badge.svg",
        "tallycast.request_id": answer.headers["x-request-id"],
    }


async def test_a_batch_has_one_span_however_many_reactions_are_in_it(traced: Traced) -> None:
    for item in ("a", "b", "c"):
        await traced.hub.react(item)
    spans = await traced.ended()
    span = spans["store apply"]
    assert span.kind is SpanKind.CLIENT and span.parent is None
    assert dict(span.attributes or {}) == {
        "db.system.name": "sqlite",
        "db.operation.name": "apply",
        "db.operation.batch.size": 1,
        "tallycast.items_changed": 1,
    }
    assert "POST /v1/reactions" in spans and len(traced.exporter.get_finished_spans()) == 6


async def test_what_the_store_refuses_is_an_error_of_the_batch_and_of_the_request(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise Unavailable("the disk of secret:item is full")

    monkeypatch.setattr(SqliteStore, "read", fail)
    assert (await traced.hub.web.get("/v1/counts?item=secret:item")).status_code == 503
    spans = await traced.ended()
    for name, error in (("store read", "unavailable"), ("GET /v1/counts", "503")):
        span = spans[name]
        assert span.status.status_code is StatusCode.ERROR
        assert (span.attributes or {})["error.type"] == error
        assert "secret" not in span.to_json()


async def test_a_defect_is_told_by_its_kind_alone(traced: Traced, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise ZeroDivisionError("secret:item")

    monkeypatch.setattr(traced.hub.service.hub, "read", fail)
    assert (await traced.hub.web.get("/v1/counts?item=secret:item")).status_code == 500
    span = (await traced.ended())["GET /v1/counts"]
    assert span.status.status_code is StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "ZeroDivisionError"
    assert "secret" not in span.to_json()


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
async def test_probes_have_no_span(traced: Traced, path: str) -> None:
    await traced.hub.web.get(path)
    assert await traced.ended() == {}


async def test_no_query_and_no_unknown_method_is_in_a_span(traced: Traced) -> None:
    await traced.hub.web.get("/v1/config?token=secret-%FF")
    await traced.hub.web.request("SECRET", "/v1/config")
    spans = await traced.ended()
    assert set(spans) == {"GET /v1/config", "_OTHER /v1/config"}
    assert "secret" not in "".join(span.to_json() for span in spans.values()).lower()


async def test_nothing_is_wrapped_where_no_traces_are_wanted(tmp_path: Path) -> None:
    app = create_app(Settings(store=f"sqlite:///{tmp_path / 'hub.db'}", secret=(SECRET,)))
    service = app.state.service
    assert service.tracing is None
    assert type(service.gate) is Gate and type(service.store) is SqliteStore
    await service.close()


# What a whole hub sends to a collector


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP on the loopback."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Take)
        self.sent: list[SentSpan] = []
        self.services: set[str] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Take(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        assert self.path == "/v1/traces"
        request = ExportTraceServiceRequest()
        request.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
        for resource in request.resource_spans:
            self.server.services |= {
                a.value.string_value for a in resource.resource.attributes if a.key == "service.name"
            }
            for scope in resource.scope_spans:
                self.server.sent += scope.spans
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield collector
    finally:
        collector.shutdown()
        collector.server_close()
        thread.join()


@contextmanager
def exporting(directory: Path, monkeypatch: pytest.MonkeyPatch, **environ: str) -> Iterator[OwnHub]:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    hub = OwnHub(directory)
    try:
        yield hub
    finally:
        hub.kill()


async def test_a_hub_sends_its_spans_to_the_collector_that_the_standard_variables_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        collecting() as collector,
        exporting(
            tmp_path, monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_SERVICE_NAME="counts-of-the-test"
        ) as hub,
    ):
        async with connected(hub) as raw:
            assert (await raw.shake(hub, traceparent=TRACEPARENT)).status == 101
        async with connected(hub) as raw:
            assert (await raw.shake(hub, origin="https://evil.example")).status == 403
        headers = {"Authorization": f"Bearer {hub.token('u:secret')}"}
        async with httpx.AsyncClient() as web:
            answer = await web.post(
                f"{hub.http}/v1/reactions", json={"item": "secret:1", "kind": "like", "value": 1}, headers=headers
            )
        assert answer.status_code == 200
        hub.terminate()
        assert hub.wait() == 0  # the last spans are sent on the way out
        assert collector.services == {"counts-of-the-test"}
        by_name: dict[str, list[SentSpan]] = {}
        for span in collector.sent:
            by_name.setdefault(span.name, []).append(span)
        assert set(by_name) == {"admit", "POST /v1/reactions", "store apply"}
        good, refused = by_name["admit"]
        assert (good.trace_id.hex(), good.parent_span_id.hex()) == (TRACE, PARENT)
        assert {a.key: a.value.string_value for a in refused.attributes} == {"error.type": "forbidden"}
        assert "secret" not in str(collector.sent) and "127.0.0.1" not in str(collector.sent)


async def test_a_collector_that_is_away_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as gone:
        url = gone.url
    with exporting(tmp_path, monkeypatch, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_BSP_SCHEDULE_DELAY="50") as hub:
        for _ in range(3):
            assert hub.status("/v1/config") == 200
        await eventually(lambda: "refused" in hub.log().lower())
        assert hub.status("/readyz") == 200
        hub.terminate()
        assert hub.wait() == 0
