"""Records as lines: JSON objects, and syslog messages that carry the same objects."""

from __future__ import annotations

import json
import os
import socket
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from ipmasq.translations.records import Record, Translation
from ipmasq.wire.addresses import to_text

PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp"}

FACILITIES = {
    "user": 1, "daemon": 3, "auth": 4, "authpriv": 10,
    **{f"local{number}": 16 + number for number in range(8)},
}  # fmt: skip
"""RFC 5424, 6.2.1."""

INFORMATIONAL = 6
"""The severity of every record (RFC 5424, 6.2.1)."""


class Line(NamedTuple):
    time: str
    """RFC 3339, in UTC, with milliseconds."""
    event: str
    """`mapping_opened`, `mapping_closed`, `flow_opened`, `flow_closed`; `log_started`, `log_stopped`,
    `records_lost`."""
    text: str
    """The JSON object."""


def timestamp(seconds: float) -> str:
    """Return seconds since 1970 as `2026-11-28T13:05:11.420Z`."""
    whole, part = divmod(round(seconds * 1000), 1000)
    return f"{_second(whole)}.{part:03d}Z"


@lru_cache(4)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def line(record: Record, epoch: float) -> Line:
    """Return a record as a line. `epoch` is what to add to the engine's clock to get seconds since 1970.

    Addresses and names of reasons need no escapes, so that the object is not made by `json`, which takes
    four times as long.
    """
    time = timestamp(record.at + epoch)
    translation, ends = record.translation, record.translation.ends
    kind = "mapping" if ends.remote is None else "flow"
    event = f"{kind}_{'opened' if record.opened else 'closed'}"
    more = _more(record, translation, epoch)
    text = (
        f'{{"time": "{time}", "event": "{event}", "protocol": "{protocol(ends.protocol)}", '
        f'"inside": "{to_text(ends.inside.address)}", "inside_port": {ends.inside.port}, '
        f'"public": "{to_text(ends.public.address)}", "public_port": {ends.public.port}{more}}}'
    )
    return Line(time, event, text)


def _more(record: Record, translation: Translation, epoch: float) -> str:
    remote, more = translation.ends.remote, ""
    if remote is not None:
        more = (
            f', "remote": "{to_text(remote.address)}", "remote_port": {remote.port}, '
            f'"flow": {translation.flow}'
        )
    if translation.began != record.at:
        more += f', "opened": "{timestamp(translation.began + epoch)}"'
    return more + (f', "reason": "{record.reason}"' if record.reason else "")


def protocol(number: int) -> str:
    return PROTOCOLS.get(number, str(number))


def about_the_log(event: str, seconds: float, **more: int) -> Line:
    """Return a line about the log itself."""
    time = timestamp(seconds)
    return Line(time, event, json.dumps({"time": time, "event": event, **more}))


def as_json(line: Line) -> bytes:
    return line.text.encode("ascii") + b"\n"


class Syslog:
    """Frames lines as messages of syslog."""

    def __init__(self, facility: str) -> None:
        """`facility` is one of `FACILITIES`."""
        self._priority = FACILITIES[facility] * 8 + INFORMATIONAL
        self._host = socket.gethostname() or "-"
        self._process = os.getpid()

    def message(self, line: Line) -> bytes:
        """Return a message for the network (RFC 5424, 6)."""
        head = f"<{self._priority}>1 {line.time} {self._host} ipmasq {self._process} {line.event} -"
        return f"{head} {line.text}".encode("ascii", "replace")

    def local(self, line: Line) -> bytes:
        """Return a message for the socket of the host's own logger, as syslog(3) has them: it adds the time
        and the host."""
        return f"<{self._priority}>ipmasq[{self._process}]: {line.text}".encode("ascii")
