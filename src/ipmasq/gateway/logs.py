"""The log: what an operator wants to find later. Everything else is for `watch`."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Sequence

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.gateway.sentences import sentence

log = logging.getLogger("ipmasq")

LEVELS: dict[type, int] = {
    events.HelperFailed: logging.ERROR,
    events.PacketFailed: logging.ERROR,
    events.Refused: logging.WARNING,
    events.HelperLoaded: logging.INFO,
    events.HelperUnloaded: logging.INFO,
    events.ForwardAdded: logging.INFO,
    events.ForwardRemoved: logging.INFO,
    events.PolicyApplied: logging.INFO,
    events.KeptAlive: logging.INFO,
    events.Expected: logging.INFO,
}
"""Of the events that are notable; those of each single flow are debugging."""


def write(happened: Sequence[Event]) -> None:
    """A listener of the gateway's."""
    for event in happened:
        level = LEVELS.get(type(event), logging.DEBUG)
        if log.isEnabledFor(level):
            log.log(level, "%s", sentence(event), extra={"event": type(event).__name__})


class Json(logging.Formatter):
    """One object per line: time (seconds since 1970), level, event if it is one, message."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", None),
            "message": record.getMessage(),
        }
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in said.items() if value is not None})


def begin(level: int = logging.INFO, as_json: bool = False) -> None:
    """Log to the standard error output."""
    handler = logging.StreamHandler()
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S")
    plain.converter = time.localtime
    handler.setFormatter(Json() if as_json else plain)
    log.handlers = [handler]
    log.setLevel(level)
    log.propagate = False
