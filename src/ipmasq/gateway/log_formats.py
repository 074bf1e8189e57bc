"""How a line of the log is written: as text, as text for the systemd journal, or as JSON.

Whatever a line consists of, it is one line and has visible characters only. A traceback, which is for debugging,
has several, and so has text with commands that people copy from a terminal.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping
from typing import TextIO

from ipmasq.wire.visible import visible

AUTO, TEXT, JSON = FORMATS = "auto", "text", "json"

PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.NOTSET, 7),
)
"""Levels, and the priorities of syslog(3) from them on."""


def formatter(
    wanted: str, stream: TextIO, environment: Mapping[str, str] = os.environ
) -> logging.Formatter:
    """Return a formatter for a stream. AUTO is text where people read it, on a terminal or in the journal, and
    JSON everywhere else, where programs do. Text for the journal has priorities in place of times."""
    if wanted == JSON or (
        wanted == AUTO and not (stream.isatty() or is_journal(stream, environment))
    ):
        return JsonFormatter()
    return JournalFormatter() if is_journal(stream, environment) else TextFormatter()


def is_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Return whether systemd has connected the stream to its journal (JOURNAL_STREAM, systemd.exec(5))."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # it is closed, or no file at all
        return False
    return environment.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def priority(level: int) -> int:
    """Return the priority of syslog(3), from 7 (debug) to 2 (critical)."""
    return next(number for least, number in PRIORITIES if level >= least)


class TextFormatter(logging.Formatter):
    """One line of text, or those that the record brings as `lines`; a traceback follows only when debugging."""

    def __init__(
        self,
        layout: str = "%(asctime)s %(levelname)-7s %(message)s",
        times: str = "%Y-%m-%dT%H:%M:%S",
    ) -> None:
        super().__init__(layout, times)
        self.converter = time.localtime

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        written = []
        for line in getattr(record, "lines", [record.message]):
            record.message = line
            written.append(visible(super().formatMessage(record)))
        return "\n".join(written)

    def formatException(self, error: object) -> str:  # noqa: N802
        if not logging.getLogger("ipmasq").isEnabledFor(logging.DEBUG):
            return ""
        text = super().formatException(error)  # type: ignore[arg-type]
        return "\n".join(map(visible, text.split("\n")))


class JournalFormatter(TextFormatter):
    """Text whose lines begin with their priority, `<4>` (sd-daemon(3)). The journal itself knows the time and
    the process."""

    def __init__(self) -> None:
        super().__init__("%(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return one line also for a record with several, since each line is an entry of its own there."""
        return visible(record.message)

    def format(self, record: logging.LogRecord) -> str:
        mark = f"<{priority(record.levelno)}>"
        return "\n".join(mark + line for line in super().format(record).split("\n"))


class JsonFormatter(logging.Formatter):
    """One object per line: time (seconds since 1970), level, event if there is one, message."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", None),
            "left_out": getattr(record, "left_out", None),
            "message": visible(record.getMessage()),
        }
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in said.items() if value is not None})
