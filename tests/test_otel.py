"""When there are OpenTelemetry traces: by the standard variables, and one line where they cannot be had."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tallycast.errors import ConfigError
from tallycast.otel import configured

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_SERVICE_NAME": "counts"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_TRACES_EXPORTER": "none"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "True"},
    ],
    ids=str,
)
def test_there_are_no_traces_unless_they_are_asked_for(environ: dict[str, str]) -> None:
    assert configured(environ) is None


@pytest.mark.parametrize(
    "environ",
    [
        ENDPOINT,
        {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"},
        {"OTEL_TRACES_EXPORTER": "otlp"},
        {"OTEL_TRACES_EXPORTER": "console"},
        {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
    ],
    ids=str,
)
def test_an_exporter_or_an_endpoint_asks_for_them(environ: dict[str, str]) -> None:
    assert configured(environ) is not None


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "carrier-pigeon"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is 'carrier-pigeon': expected http/protobuf or grpc",
        ),
        (
            {**ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL is 'grpc', which is not installed:"
            " pip install opentelemetry-exporter-otlp-proto-grpc, or use http/protobuf",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "zipkin"},
            "OTEL_TRACES_EXPORTER is 'zipkin', which is not installed: expected otlp, console or none",
        ),
    ],
)
def test_what_cannot_be_had_is_one_line(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(environ)
    assert str(caught.value) == said


WITHOUT = """
import sys
sys.modules["opentelemetry.sdk"] = None  # as where it is not installed
from tallycast.cli import main
sys.argv = ["tallycast", "serve", "--port", "0", "--store", sys.argv[1]]
main()
"""


def test_a_hub_without_the_extra_does_not_start_where_traces_are_wanted_and_says_what_to_do(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT, f"sqlite:///{tmp_path / 'hub.db'}"],
        env={"PATH": "/usr/bin", **ENDPOINT},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == (
        "tallycast: OTEL_EXPORTER_OTLP_ENDPOINT is set, but OpenTelemetry is not installed:"
        " pip install 'tallycast[otel]', or unset it\n"
    )


def test_a_hub_on_a_file_that_wants_no_traces_imports_neither_them_nor_redis(tmp_path: Path) -> None:
    script = (
        "import sys; from tallycast.app import create_app; from tallycast.settings import Settings;"
        " create_app(Settings(store=sys.argv[1]));"
        " print({'tallycast.traces', 'redis'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script, f"sqlite:///{tmp_path / 'hub.db'}"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "set()\n"
