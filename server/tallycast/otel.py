"""Whether OpenTelemetry traces are wanted, by the standard variables, and can be had, by the extra `otel`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from tallycast.errors import ConfigError

if TYPE_CHECKING:
    from tallycast.traces import Tracing

EXPORTER = "OTEL_TRACES_EXPORTER"
ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
INSTALL = "pip install 'tallycast[otel]'"
# Names of entry points by the protocol's; both packages are OpenTelemetry's, and the first is in the extra.
_OTLP = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


def configured(environ: Mapping[str, str]) -> Tracing | None:
    """Traces as the OTEL_… variables in `environ` ask for them, not begun yet; None where they do not.

    Raises ConfigError where they cannot be had. As everywhere with OpenTelemetry, an empty variable counts as unset.
    """
    wanted_by = next((name for name in (EXPORTER, *ENDPOINTS) if environ.get(name)), None)
    exporter = environ.get(EXPORTER) or "otlp"
    if wanted_by is None or exporter == "none" or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    chosen_by, chosen = EXPORTER, exporter
    entry, advice = exporter, "expected otlp, console or none"
    if exporter == "otlp":
        chosen_by = next((name for name in PROTOCOLS if environ.get(name)), PROTOCOLS[-1])
        chosen = environ.get(chosen_by) or "http/protobuf"
        if chosen not in _OTLP:
            raise ConfigError(f"{chosen_by} is {chosen[:100]!r}: expected http/protobuf or grpc")
        entry, advice = _OTLP[chosen], "pip install opentelemetry-exporter-otlp-proto-grpc, or use http/protobuf"
    try:
        from tallycast.traces import Tracing
    except ModuleNotFoundError:
        raise ConfigError(f"{wanted_by} is set, but OpenTelemetry is not installed: {INSTALL}, or unset it") from None
    found = entry_points(group="opentelemetry_traces_exporter", name=entry)
    if not found:
        raise ConfigError(f"{chosen_by} is {chosen[:100]!r}, which is not installed: {advice}")
    return Tracing(next(iter(found)).load())
