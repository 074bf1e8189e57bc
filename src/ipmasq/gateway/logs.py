"""The log: what an operator wants to find later. Everything else is for `ipmasq watch`.

Whatever a line consists of (payload, names, reasons, errors), it is one line and is never interpreted by a
terminal. Lines of one kind are written a few times and then summed up.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.gateway.describe import sentence
from ipmasq.gateway.log_formats import AUTO, formatter
from ipmasq.gateway.throttle import WINDOW, Sum, Throttle
from ipmasq.wire.addresses import Address, to_text
from ipmasq.wire.lines import lines

log = logging.getLogger("ipmasq")

LEVELS: dict[type, int] = {
    events.Refused: logging.WARNING,
    events.ExpectationMissed: logging.WARNING,
    events.FlowEncrypted: logging.INFO,
    events.HelperLoaded: logging.INFO,
    events.HelperUnloaded: logging.INFO,
    events.ForwardAdded: logging.INFO,
    events.ForwardRemoved: logging.INFO,
    events.KeptAlive: logging.INFO,
    events.SettingRestored: logging.WARNING,
    events.FirewallObstructed: logging.WARNING,
    events.FirewallCleared: logging.INFO,
    events.RoleChanged: logging.INFO,
    events.StateRestored: logging.INFO,
    events.StateRefused: logging.WARNING,
    events.StoreFailed: logging.WARNING,
    events.StoreRecovered: logging.INFO,
    events.RecordsRefused: logging.WARNING,
    events.LimitNeared: logging.WARNING,
    events.LimitReached: logging.WARNING,
}
"""Levels of notable events; those about a single flow are for debugging, failures are errors."""

HostOf = Callable[[int], Address | None]
"""Returns the inside host of a live flow."""


class Writer:
    """A listener of the gateway that writes events as lines."""

    def __init__(self, host_of: HostOf) -> None:
        self._host_of = host_of
        self._hosts: dict[int, Address] = {}
        """Inside hosts by the number of an inspected flow; other flows are not logged."""

    def __call__(self, happened: Sequence[Event]) -> None:
        opened: dict[int, Address] = {}
        closed = []
        for event in happened:
            match event:
                case events.FlowOpened():
                    opened[event.flow] = event.inside.address
                case events.HelperBound():
                    host = opened.get(event.flow) or self._host_of(event.flow)
                    if host is not None:
                        self._hosts[event.flow] = host
                case events.FlowClosed():
                    closed.append(event.flow)
            self._write(event)
        for flow in closed:
            self._hosts.pop(flow, None)

    def _write(self, event: Event) -> None:
        level = level_of(type(event))
        if log.isEnabledFor(level):
            host = getattr(event, "host", None) or self._hosts.get(getattr(event, "flow", -1))
            said = {"event": type(event).__name__, "kind": _kind(event), "host": host}
            text = sentence(event)
            if isinstance(event, events.FirewallObstructed):
                said["lines"] = lines(text)
            log.log(level, "%s", text, extra=said)


def level_of(event: type) -> int:
    failed = event.__name__.endswith("Failed")
    return LEVELS.get(event, logging.ERROR if failed else logging.DEBUG)


def _kind(event: Event) -> Hashable:
    """Return the kind of a line. It depends neither on the flow nor on the payload, since anybody can produce
    many of those."""
    names = ("helper", "reason", "name", "side", "rules", "what", "limit")
    parts = (getattr(event, name, None) for name in names)
    return type(event).__name__, *parts


class LineLimiter(logging.Filter):
    """Lets the first few lines per minute pass of each kind and host. Debug output is complete.

    A record has its `kind` and `host`, or else its message is the kind. There can be very many hosts, with real
    and with forged addresses, so that lines about hosts are limited apart from all others.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._about_hosts, self._about_none = Throttle(), Throttle()

    @property
    def left_out(self) -> int:
        """Lines that were not written."""
        return self._about_hosts.left_out + self._about_none.left_out

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.INFO or hasattr(record, "left_out"):
            return True
        self.look()
        text = record.getMessage()
        host = getattr(record, "host", None)
        throttle = self._about_none if host is None else self._about_hosts
        kind = record.levelno, getattr(record, "kind", text), host
        return throttle.admits(kind, text, self._clock())

    def look(self) -> None:
        """Sum up lines that were left out; called about once a second."""
        for throttle in (self._about_hosts, self._about_none):
            for each in throttle.closed(self._clock()):
                _write_sum(each)


def _write_sum(found: Sum) -> None:
    level, _, host = found.kind if isinstance(found.kind, tuple) else (logging.WARNING, None, None)
    like = "like it" if found.kind is not None else "of many kinds"
    about = f" about {to_text(host)}" if host else ""
    text = f"{found.left_out:,} more {like}{about} in the last {WINDOW:.0f} s: {found.example}"
    log.log(level, "%s", text, extra={"left_out": found.left_out})


limiter = LineLimiter()
"""The filter of this process."""


def begin(level: int = logging.INFO, wanted: str = AUTO) -> None:
    """Log to standard error, in one of `log_formats.FORMATS`."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(wanted, handler.stream))
    handler.addFilter(limiter)
    log.handlers = [handler]
    log.setLevel(level)
    log.propagate = False
