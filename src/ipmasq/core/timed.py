"""What has a timer, and in which order things are examined that are due at the same moment."""

from __future__ import annotations

from typing import TypeAlias

from ipmasq.core.admission import ActiveTrigger
from ipmasq.core.expectations import Expectation
from ipmasq.core.flow import Flow
from ipmasq.core.inspector import Inspector
from ipmasq.core.reassembly import Datagram

Timed: TypeAlias = Flow | Expectation | ActiveTrigger | Datagram | Inspector


def order(thing: Timed) -> tuple[int, int | str]:
    """Return the place of a thing: the oldest of each kind comes first. It does not depend on when its timer was
    set, so that it is the same in an engine that was restored."""
    if isinstance(thing, Flow):
        return 0, thing.id
    if isinstance(thing, ActiveTrigger):
        return 1, thing.trigger.name
    if isinstance(thing, Expectation):
        return 2, thing.number
    return (3, thing.number) if isinstance(thing, Datagram) else (4, thing.flow_id)
