"""log.py: what a line of the log looks like and what never stands in one."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from tallycast.log import JsonFormatter, configure


@pytest.fixture(autouse=True)
def _put_the_log_back() -> Iterator[None]:
    """configure changes the process's own log: leave it as it was found."""
    root = logging.getLogger()
    uvicorn = [logging.getLogger(name) for name in ("uvicorn", "uvicorn.error", "uvicorn.access")]
    handlers, level = root.handlers[:], root.level
    before = [(logger.handlers[:], logger.propagate, logger.level) for logger in uvicorn]
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for logger, (its_handlers, propagate, its_level) in zip(uvicorn, before, strict=True):
        logger.handlers[:], logger.propagate = its_handlers, propagate
        logger.setLevel(its_level)


def fail(message: str) -> None:
    try:
        raise RuntimeError("the cause")
    except RuntimeError:
        logging.getLogger("tallycast.hub").exception(message)


def test_a_line_of_text_has_its_time_level_logger_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    configure("text", "info")
    logging.getLogger("tallycast.hub").info("%d viewers", 3)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z INFO tallycast\.hub: 3 viewers\n", capsys.readouterr().err
    )


def test_a_line_of_json_has_its_time_level_logger_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "info")
    logging.getLogger("tallycast.hub").warning("%d viewers of “post:1”\n", 3)
    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record.pop("time"))
    assert record == {"level": "warning", "logger": "tallycast.hub", "message": "3 viewers of “post:1”\n"}


def test_an_exception_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json", "info")
    fail("a defect")
    (line,) = capsys.readouterr().err.splitlines()
    record = json.loads(line)
    assert record["message"] == "a defect"
    assert record["exception"].startswith("Traceback") and record["exception"].endswith("RuntimeError: the cause")


def test_an_exception_follows_its_line_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure("text", "info")
    fail("a defect")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("ERROR tallycast.hub: a defect")
    assert lines[1].startswith("Traceback") and lines[-1] == "RuntimeError: the cause"


def test_a_message_cannot_forge_a_line_or_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    configure("text", "info")
    logging.getLogger("tallycast").info("path %s", "/\r\n2026 INFO all is well\x1b[2J\u2028\x9b")
    written = capsys.readouterr().err
    assert written.endswith("path /\\r\\n2026 INFO all is well\\x1b[2J\\u2028\\x9b\n")
    assert len(written.splitlines()) == 1


def test_json_takes_what_is_no_unicode() -> None:
    # Not through a logger: pytest would keep the record, and xdist could not send it on.
    record = logging.makeLogRecord({"msg": "path %s", "args": ("\udcff",)})
    assert json.loads(JsonFormatter().format(record))["message"] == "path \\udcff"


@pytest.mark.parametrize(
    ("level", "written"),
    [("debug", 5), ("info", 4), ("warning", 3), ("error", 2), ("critical", 1)],
)
def test_records_below_the_level_are_not_written(capsys: pytest.CaptureFixture[str], level: str, written: int) -> None:
    configure("text", level)
    for severity in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logging.getLogger("tallycast").log(severity, "said")
    assert len(capsys.readouterr().err.splitlines()) == written


def test_configured_again_it_writes_each_record_once_and_in_the_new_form(capsys: pytest.CaptureFixture[str]) -> None:
    other = logging.NullHandler()
    logging.getLogger().addHandler(other)
    configure("text", "info")
    configure("json", "info")
    logging.getLogger("tallycast").info("said")
    assert json.loads(capsys.readouterr().err)["message"] == "said"
    assert other in logging.getLogger().handlers


@pytest.mark.parametrize("name", ["uvicorn", "uvicorn.error", "uvicorn.access"])
def test_uvicorns_records_come_in_the_same_form(capsys: pytest.CaptureFixture[str], name: str) -> None:
    logger = logging.getLogger(name)
    logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.propagate = False
    configure("json", "info")
    logger.info("said")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["logger"] == name


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_query_string_of_a_request_is_written(capsys: pytest.CaptureFixture[str], form: str) -> None:
    configure("json" if form == "json" else "text", "info")
    # the two shapes in which uvicorn names a path
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "127.0.0.1:5000", "GET", "/v1/events?token=eyJhbGci", "1.1", 200
    )
    logging.getLogger("uvicorn.error").info(
        '%s - "WebSocket %s" [accepted]', "127.0.0.1:5000", "/v1/live?token=eyJhbGci"
    )
    written = capsys.readouterr().err
    assert "eyJhbGci" not in written and "token" not in written
    assert "/v1/events" in written and "/v1/live" in written


def test_a_question_in_a_message_of_ours_stays(capsys: pytest.CaptureFixture[str]) -> None:
    configure("text", "info")
    logging.getLogger("tallycast").info("%s", "/srv/counts?.db")
    logging.getLogger("uvicorn.error").info("what now? %(port)s", {"port": 1})
    written = capsys.readouterr().err
    assert "/srv/counts?.db" in written and "what now? 1" in written
