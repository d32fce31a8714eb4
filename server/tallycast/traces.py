"""OpenTelemetry traces: of requests, of who is let in, of the store's batches.

Where they are not wanted (otel.py) this is not imported, and nothing is wrapped. A batch has one span, however many
reactions are in it. No span holds the name of an item or actor, an address, a query or a token.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, cast

from opentelemetry.context import Context
from opentelemetry.propagate import extract
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, use_span

from tallycast import __version__
from tallycast.errors import CODES, Refused
from tallycast.handshake import Admission, Gate
from tallycast.kinds import Reaction
from tallycast.store.base import Applied, OpenStore, Reading

CLOSE_S = 1.0  # that the end waits for the last spans to be sent
METHODS = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"})


class Tracing:
    """A hub's traces, in a provider of their own: several hubs in one process do not clash.

    `make_exporter` is called once, by start(). Resource, sampler and batches are as the standard OTEL_… variables say.
    """

    def __init__(self, make_exporter: Callable[[], SpanExporter]) -> None:
        self._make_exporter = make_exporter
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._tracer = self._provider.get_tracer("tallycast", __version__)
        self._started = False

    def start(self) -> None:
        """Begin to send. Not before workers are forked: it starts a thread. Starting twice is starting once."""
        if not self._started:
            self._started = True
            self._provider.add_span_processor(BatchSpanProcessor(self._make_exporter()))

    async def close(self) -> None:
        """Send what is left, for up to CLOSE_S: a collector that is away must not hold up the end."""
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def shut_down() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(done.set)

        threading.Thread(target=shut_down, name="tallycast-traces", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await done.wait()

    @contextmanager
    def request(self, method: str, headers: Mapping[bytes, bytes], id: str) -> Iterator[RequestSpan]:
        """A span for an HTTP request, below the caller's own by its `traceparent` (W3C Trace Context)."""
        known = method if method in METHODS else "_OTHER"  # any word is one, and there must be few names of spans
        attributes = {"http.request.method": known, "tallycast.request_id": id}
        span = self._tracer.start_span(known, _parent(headers), SpanKind.SERVER, attributes)
        with _within(span):
            yield RequestSpan(span, known)

    def gate(self, *args: Any, **kwargs: Any) -> Gate:
        """A Gate whose decisions have spans. Takes what Gate takes."""
        return _TracedGate(self._tracer, *args, **kwargs)

    def store(self, store: OpenStore, system: str) -> OpenStore:
        """`store` with a span for each of its batches and reads; `system` is what it is, by OpenTelemetry's names."""
        return cast(OpenStore, _TracedStore(store, self._tracer, system))


class RequestSpan:
    """The span of a request that is being served."""

    def __init__(self, span: Span, method: str) -> None:
        self._span = span
        self._method = method

    def answered(self, route: str, status: int) -> None:
        """The answer begins: a span is named by its route, since a path may name an item."""
        span = self._span
        span.set_attribute("http.response.status_code", status)
        if route:
            span.update_name(f"{self._method} {route}")
            span.set_attribute("http.route", route)
        if status >= 500:
            span.set_status(StatusCode.ERROR)
            span.set_attribute("error.type", str(status))


class _TracedGate(Gate):
    def __init__(self, tracer: Tracer, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._tracer = tracer

    def admit(self, headers: Mapping[bytes, bytes], peer: str) -> Admission:
        span = self._tracer.start_span("admit", _parent(headers), SpanKind.SERVER)
        with _within(span):
            return super().admit(headers, peer)


class _TracedStore:
    """An OpenStore: what is not here goes to the one inside."""

    def __init__(self, inner: OpenStore, tracer: Tracer, system: str) -> None:
        self._inner = inner
        self._tracer = tracer
        self._system = system

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def apply(self, batch: Sequence[Reaction]) -> Applied:
        with self._span("apply", len(batch)) as span:
            applied = await self._inner.apply(batch)
            span.set_attribute("tallycast.items_changed", len(applied.changed))
            return applied

    async def read(self, items: Collection[str], pairs: Collection[tuple[str, str]]) -> Reading:
        with self._span("read", len(items)):
            return await self._inner.read(items, pairs)

    @contextmanager
    def _span(self, operation: str, size: int) -> Iterator[Span]:
        """A span that is nobody's child: what it does is for many requests and sockets at once."""
        attributes: dict[str, str | int] = {
            "db.system.name": self._system,
            "db.operation.name": operation,
            "db.operation.batch.size": size,
        }
        span = self._tracer.start_span(f"store {operation}", Context(), SpanKind.CLIENT, attributes)
        with _within(span):
            yield span


@contextmanager
def _within(span: Span) -> Iterator[None]:
    """The block is what the span is about. What it raises is told by its kind: its words might name somebody."""
    with use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        try:
            yield
        except Exception as error:
            span.set_attribute("error.type", error.code if isinstance(error, Refused) else type(error).__name__)
            if not isinstance(error, Refused) or CODES[error.code].status >= 500:  # else it is the client's doing
                span.set_status(StatusCode.ERROR)
            raise


def _parent(headers: Mapping[bytes, bytes]) -> Context:
    """The caller's context, by the propagators of OTEL_PROPAGATORS."""
    return extract({name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}, Context())
