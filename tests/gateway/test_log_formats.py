"""Which format a stream gets, and what its lines look like."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest

from ipmasq.gateway.log_formats import (
    AUTO,
    FORMATS,
    JSON,
    TEXT,
    JournalFormatter,
    JsonFormatter,
    TextFormatter,
    formatter,
)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[TextIO]:
    with (tmp_path / "log").open("w") as stream:
        yield stream


def journal(stream: TextIO) -> dict[str, str]:
    """The environment in which systemd says that the stream is its journal."""
    found = os.fstat(stream.fileno())
    return {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}


def record(level: int, text: str, error: Exception | None = None) -> logging.LogRecord:
    raised = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("ipmasq", level, __file__, 1, text, (), raised)


def test_people_read_text_on_a_terminal():
    controller, terminal = pty.openpty()
    with os.fdopen(controller, "rb"), os.fdopen(terminal, "w") as stream:
        assert type(formatter(AUTO, stream, {})) is TextFormatter
        assert type(formatter(JSON, stream, {})) is JsonFormatter


def test_programs_read_json_in_files_and_pipes(file: TextIO):
    assert type(formatter(AUTO, file, {})) is JsonFormatter
    assert type(formatter(TEXT, file, {})) is TextFormatter


def test_the_journal_gets_text_unless_json_is_asked_for(file: TextIO):
    for wanted in (AUTO, TEXT):
        assert type(formatter(wanted, file, journal(file))) is JournalFormatter
    assert type(formatter(JSON, file, journal(file))) is JsonFormatter


def test_a_stream_that_was_redirected_away_from_the_journal_is_not_the_journal(
    file: TextIO, tmp_path: Path
):
    """A service whose standard error is a file inherits the variable all the same."""
    with (tmp_path / "other").open("w") as other:
        assert type(formatter(AUTO, file, journal(other))) is JsonFormatter


def test_a_stream_without_a_descriptor_is_for_programs():
    assert type(formatter(AUTO, io.StringIO(), {"JOURNAL_STREAM": "1:1"})) is JsonFormatter


@pytest.mark.parametrize(
    ("level", "priority"),
    [(logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (50, 2)],
)
def test_each_line_for_the_journal_begins_with_its_priority_and_no_time(level: int, priority: int):
    assert JournalFormatter().format(record(level, "it happened")) == f"<{priority}>it happened"


def test_every_line_of_a_traceback_has_the_priority(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG, "ipmasq")
    lines = JournalFormatter().format(record(40, "it failed", ValueError("no"))).splitlines()
    assert len(lines) > 1
    assert all(line.startswith("<3>") for line in lines)


def test_text_has_the_local_time_and_the_level():
    line = TextFormatter().format(record(30, "it happened"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d WARNING it happened", line)


def test_json_names_the_event():
    said = record(30, "it happened")
    said.event = "LimitNeared"
    assert json.loads(JsonFormatter().format(said)).keys() == {"time", "level", "event", "message"}


def test_the_formats_are_those_of_the_configuration():
    from ipmasq.config.model import LogTable

    assert [LogTable(format=each).format for each in FORMATS] == list(FORMATS)  # type: ignore[arg-type]
