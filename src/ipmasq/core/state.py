"""The state of an engine as plain values (see `plain`), and an engine from such values.

This is the one place for the whole; each class writes and reads its own part. What follows from other values
is not written: indexes, counts, and the accounts of memory. A timer is written with its moment, because this
decides when a flow is examined again, and in which order.

Not part of it is what belongs to others: the policy, the host's sockets, the source of a fast path's counters,
ports that were lent and not claimed, and what the listeners of an engine have not taken yet. So
`Engine.to_state` is called after `events`, `commands` and `outgoing`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TypeAlias

from ipmasq.core import operate
from ipmasq.core.admission import ActiveTrigger
from ipmasq.core.datagram_inspector import DatagramInspector
from ipmasq.core.expectations import Expectation
from ipmasq.core.flow import Flow
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.inspector import Inspector
from ipmasq.core.operate import Basis
from ipmasq.core.plain import Fields, Plain, Scalar, StateError
from ipmasq.core.reasons import Reason
from ipmasq.core.reassembly import Datagram
from ipmasq.core.registered import Registered
from ipmasq.core.tcp_inspector import COST, TcpInspector
from ipmasq.core.timers import SOON
from ipmasq.core.unconfirmed import Unconfirmed
from ipmasq.wire import ipv4

VERSION = 1
"""A new number whenever an older state cannot be read any more."""

Timed: TypeAlias = Flow | Expectation | ActiveTrigger | Datagram | Inspector

TRIGGER = "trigger"


def to_state(manager: FlowManager, now: float) -> Plain:
    """Return everything that an engine remembers as plain values."""
    return {
        "version": VERSION,
        "policy": list(Basis.of(manager.policy)),
        "counts": list(manager.counts),
        "lost_events": manager.events.lost,
        "opened": manager.opened,
        "helpers": [each.to_state() for each in manager.registered.values()],
        "table": manager.table.to_state(now),
        "expectations": manager.expectations.to_state(now),
        "triggers": [each.to_state(now) for each in manager.admission.active_triggers.values()],
        "datagrams": manager.reassembly.to_state(now),
        "timers": list(_timers(manager, now)),
        "unconfirmed": manager.unconfirmed.to_state(),
        "unconfirmed_inspected": manager.unconfirmed_inspected.to_state(),
        "reopenings": manager.reopenings.to_state(),
        "work": manager.work.to_state(now),
        "refusals": manager.refusals.to_state(now),
        "shortage": manager.shortage.to_state(now),
        "identifications": manager.identifications.to_state(),
    }


def restore(manager: FlowManager, values: object) -> None:
    """Fill a new engine, whose policy is set, from a state. Raises StateError; then the engine is of no use."""
    state, now = Fields(values, "state"), manager.now
    if state.integer("version") != VERSION:
        raise state.error("version", f"expected {VERSION}, not {state.raw('version')}")
    _restore_helpers(manager, state)
    manager.table.restore(state.fields("table"), now)
    _restore_inspectors(manager, state.fields("table"))
    manager.expectations.restore(state.rows("expectations"), now)
    manager.admission.restore(state.rows("triggers"), now)
    datagrams = manager.reassembly.restore(state.rows("datagrams"), now)
    _restore_timers(manager, state, datagrams)
    _restore_unconfirmed(manager, manager.unconfirmed, state, "unconfirmed")
    _restore_unconfirmed(manager, manager.unconfirmed_inspected, state, "unconfirmed_inspected")
    manager.reopenings.restore(state.rows("reopenings"))
    manager.work.restore(state.fields("work"), now)
    manager.refusals.restore(state.fields("refusals"), now)
    manager.shortage.restore(state.fields("shortage"), now)
    manager.identifications.restore(state.fields("identifications"))
    _restore_counts(manager, state)
    try:
        manager.check()
    except AssertionError as error:
        raise StateError(f"state: its values contradict each other ({error})") from error
    _resume(manager, Basis(*map(state.fields("policy").text, range(3))))


def _resume(manager: FlowManager, before: Basis) -> None:
    """Begin to work under the present policy; `before` is that of the state."""
    names = {use.name for use in manager.policy.helpers}
    for flow in list(manager.table.flows.values()):
        inspector = flow.inspector
        if inspector is None or not (inspector.is_inspecting and inspector.lacks_helper):
            continue
        if inspector.registered.use.name in names:  # else it is unloaded below
            manager.release(flow, Reason.HELPER_RESTARTED)
            manager.bind(flow, flow.ends)
    if before == Basis.of(manager.policy):
        operate.apply_helpers(manager, manager.now)
    else:
        operate.conform(manager, before)


# -- the parts that need the whole


def _restore_counts(manager: FlowManager, state: Fields) -> None:
    counts = state.integers("counts")
    manager.counts[: len(counts)] = counts[: len(manager.counts)]
    manager.events.lost = state.integer("lost_events")
    manager.opened = state.integer("opened", max(manager.table.flows, default=0))


def _restore_helpers(manager: FlowManager, state: Fields) -> None:
    """Enter the helpers of a state with their counters. One that the policy no longer has, or has with other
    settings, is unloaded or loaded later (`apply_helpers`)."""
    uses = {use.name: use for use in manager.policy.helpers}
    manager.registered.restore(
        Registered.from_state(each, uses.get(each.text("name"))) for each in state.rows("helpers")
    )


def _restore_inspectors(manager: FlowManager, table: Fields) -> None:
    for each, flow in zip(table.rows("flows"), manager.table.flows.values(), strict=True):
        inspector = each.fields_or_none("inspector")
        if inspector is not None:
            kind = TcpInspector if flow.protocol == ipv4.TCP else DatagramInspector
            flow.inspector = kind.from_state(
                manager.announcements, manager, flow, manager.registered, inspector, manager.now
            )
            manager.inspected.change(flow.payer, COST)


def _restore_unconfirmed(
    manager: FlowManager, unconfirmed: Unconfirmed, state: Fields, key: str
) -> None:
    for number in state.integers(key):
        if number not in manager.table.flows:
            raise state.error(key, f"there is no flow {number}")
        unconfirmed.add(manager.table.flows[number])


# -- timers


def _reference(thing: Timed) -> tuple[Scalar, ...]:
    """Return how the state refers to a thing that has a timer."""
    if isinstance(thing, Flow):
        return (thing.id,)
    if isinstance(thing, Expectation):
        return "expectation", thing.key
    if isinstance(thing, ActiveTrigger):
        return TRIGGER, thing.trigger.name
    if isinstance(thing, Datagram):
        return "datagram", *thing.key
    return "inspector", thing.flow_id


def _timers(manager: FlowManager, now: float) -> Iterator[list[object]]:
    """Yield the seconds until each moment at which something is to be examined, and references to that. The timer
    of a datagram that is complete is still set."""
    for moment, things in manager.timers.pending():
        alive = [t for t in things if not isinstance(t, Datagram) or t in manager.reassembly]
        if alive:
            yield [moment - now, [list(_reference(thing)) for thing in alive]]


def _restore_timers(manager: FlowManager, state: Fields, datagrams: list[Datagram]) -> None:
    things: dict[Hashable, Timed] = {
        _reference(thing): thing for thing in _timed(manager, datagrams)
    }
    for bucket in state.rows("timers"):
        moment = manager.now + bucket.seconds(0)
        for each in bucket.rows(1):
            reference = tuple(map(each.scalar, range(len(each))))
            thing = things.get(reference)
            if thing is not None:
                unit = (
                    1 if isinstance(thing, Flow | Expectation | ActiveTrigger | Datagram) else SOON
                )
                manager.timers.set(thing, moment, unit)
            elif each.scalar(0) != TRIGGER:  # the policy may have it no longer
                raise StateError(f"{each.location}: there is nothing like {reference}")


def _timed(manager: FlowManager, datagrams: list[Datagram]) -> Iterator[Timed]:
    for flow in manager.table.flows.values():
        yield flow
        if flow.inspector is not None:
            yield flow.inspector
    yield from manager.expectations
    yield from manager.admission.active_triggers.values()
    yield from datagrams
