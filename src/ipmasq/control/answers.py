"""Views and events as JSON objects (docs/control.md lists the fields).

Endpoints are objects, addresses text, protocols names where they have one. Times are in seconds: `age`,
`idle` and `expires_in` count from now, so that the gateway's clock need not be known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from math import isfinite
from typing import Any

from ipmasq.control.protocol import Row
from ipmasq.core.events import Event
from ipmasq.core.policy import Forward, Timeouts
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.speaker import Speaker
from ipmasq.core.views import (
    ExpectationView,
    Explanation,
    FlowView,
    HelperView,
    MappingView,
    Shift,
)
from ipmasq.gateway.describe import sentence
from ipmasq.planes.fastpath import Counter
from ipmasq.wire.addresses import Endpoint, to_text
from ipmasq.wire.passwords import without_passwords

PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp"}


def protocol(number: int) -> str:
    """Return `tcp`, `udp`, `icmp`, or the number as text."""
    return PROTOCOLS.get(number, str(number))


def endpoint(endpoint: Endpoint) -> Row:
    return {"address": to_text(endpoint.address), "port": endpoint.port}


def seconds(value: float) -> float | None:
    """Round to milliseconds; None for never."""
    return round(value, 3) if isfinite(value) else None


def flow(view: FlowView, now: float) -> Row:
    """`now`: when the list was begun. A flow of a long one may have been in use since."""
    return {
        "id": view.id,
        "protocol": protocol(view.protocol),
        "opened_by": view.opened_by.name.lower(),
        "inside": endpoint(view.inside),
        "public": endpoint(view.public),
        "remote": endpoint(view.remote),
        "remote_real": endpoint(view.remote_real),
        "state": view.state,
        "origin": view.origin,
        "helper": view.helper,
        "master": view.master,
        "links": view.links,
        "age": seconds(now - view.opened),
        "idle": seconds(max(0.0, now - view.last_seen)),
        "expires_in": seconds(max(0.0, view.expires - now)),
        "packets_out": view.packets_out,
        "bytes_out": view.bytes_out,
        "packets_in": view.packets_in,
        "bytes_in": view.bytes_in,
        "shift_out": _shift(view.shift_out),
        "shift_in": _shift(view.shift_in),
    }


def _shift(shift: Shift) -> Row:
    return {
        "init_seq": shift.init_seq,
        "delta": shift.delta,
        "previous_delta": shift.previous_delta,
    }


def mapping(view: MappingView) -> Row:
    return {
        "protocol": protocol(view.protocol),
        "inside": endpoint(view.inside),
        "public": endpoint(view.public),
        "flows": view.flows,
    }


def forward(forward: Forward) -> Row:
    return {
        "name": forward.name,
        "protocol": protocol(forward.protocol),
        "public": to_text(forward.public) if forward.public else None,
        "ports": str(forward.ports),
        "inside": to_text(forward.inside),
        "inside_ports": str(forward.inside_ports),
    }


def expectation(view: ExpectationView, now: float) -> Row:
    return {
        "flow": view.flow,
        "helper": view.helper,
        "protocol": protocol(view.protocol),
        "announced": endpoint(view.announced),
        "public": endpoint(view.public),
        "peer": to_text(view.peer),
        "expires_in": seconds(max(0.0, view.expires - now)),
    }


def helper(view: HelperView) -> Row:
    return {
        "name": view.name,
        "protocol": protocol(view.protocol),
        "ports": sorted(view.ports),
        "orthogonal": view.orthogonal,
        "on_failure": view.on_failure,
        "flows": view.watching,
        "flows_total": view.bound,
        "lines": view.inspected,
        "rewritten": view.rewritten,
        "expectations": view.expected,
        "expectations_met": view.met,
        "kept_alive": view.kept_alive,
        "failures": view.failed,
        "refusals": view.refused,
    }


def reason(reason: Reason, packets: int) -> Row:
    return {
        "reason": reason.name.lower(),
        "packets": packets,
        "drop": reason.is_drop,
        "description": reason.sentence,
    }


def counter(counter: Counter) -> Row:
    return {
        "reason": counter.name,
        "packets": counter.value,
        "drop": counter.is_drop,
        "description": counter.sentence,
    }


def timeouts(timeouts: Timeouts) -> Row:
    found = {field.name: getattr(timeouts, field.name) for field in fields(timeouts)}
    return {**found, "udp_ports": {str(port): time for port, time in timeouts.udp_ports.items()}}


def explanation(found: Explanation) -> Row:
    return {
        "flow": found.flow,
        "verdict": found.verdict,
        "steps": list(found.steps),
        "helpers": [
            {"helper": each.helper, "bound": each.bound, "reason": each.reason}
            for each in found.helpers
        ],
    }


def name_of(event: type[Event]) -> str:
    """Return `flow_opened` for `FlowOpened`."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", event.__name__).lower()


def event(event: Event, epoch: float) -> Row:
    """Return an event. `epoch` is what to add to the gateway's clock to get seconds since 1970."""
    row: Row = {"event": name_of(type(event)), "time": round(event.at + epoch, 6)}
    for field in fields(event):
        if field.name != "at":
            row[field.name] = _value(field.name, getattr(event, field.name))
    if "until" in row:
        row["until"] = round(row["until"] + epoch, 3)
    row["text"] = sentence(event)
    return row


def lost(count: int) -> Row:
    """Return the row that marks missing events."""
    return {
        "event": "events_lost",
        "count": count,
        "text": f"{count} events were lost: this watcher was too slow",
    }


def _value(name: str, value: Any) -> Any:
    if name == "protocol":
        return protocol(value)
    if isinstance(value, Endpoint):
        return endpoint(value)
    if isinstance(value, bytes):  # lines are latin-1, so that every byte has a character
        is_address = name in ("peer", "host", "address")
        return to_text(value) if is_address else without_passwords(value).decode("latin-1")
    if isinstance(value, (Side, Speaker, Reason)):
        return value.name.lower()
    assert not isinstance(value, (Enum, Sequence)) or isinstance(value, str)
    return value
