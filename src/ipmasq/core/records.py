"""The state of an engine as records: for each thing that it remembers a key and a row of plain values (see
`plain`). `restoring` makes an engine of them; each class writes and reads its own part.

What follows from other values is not written: indexes, counts, links, and the accounts of memory. Not part of
the state is what belongs to others: the policy, the host's sockets, the source of a fast path's counters, ports
that were lent and not claimed, and what the listeners of an engine have not taken yet. So the functions here are
called after `events`, `commands` and `outgoing`.

The row of a flow without an inspector *lags* in what each of its packets changes, once they need no decision:
`LAGGING`. Such flows may not be seen here at all, and their packets cost nothing more. `refresh` marks those that
were in use since.

What waits for something that has not come is not written with each packet, since whoever sends it would decide how
much that is: fragments, and segments that are early, which TCP sends again.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import Any

from ipmasq.core.admission import ActiveTrigger
from ipmasq.core.changes import Kind, Record
from ipmasq.core.expectations import Expectation
from ipmasq.core.flow import NAMES, Flow
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.operate import Basis
from ipmasq.core.plain import Plain
from ipmasq.core.reassembly import Datagram

VERSION = 3
"""A new number whenever an older state cannot be read any more."""

FLOW_NAMES = *NAMES, "over", "unconfirmed", "unconfirmed_inspected", "syn", "marks"
"""What the values of a flow's row are: those of the flow, its places in the orders of the manager, and the marks of a fast path."""

INSPECTOR = FLOW_NAMES.index("inspector")

_make = tuple.__new__
"""Makes a NamedTuple of all its fields, in half the time of its own constructor."""

LAGGING = (
    "out_packets", "out_bytes", "out_position", "back_packets", "back_bytes", "back_position", "last_seen",
)  # fmt: skip


def records(manager: FlowManager, now: float) -> Iterator[Record]:
    """Yield the records of everything."""
    mappings, flows = manager.table.mappings, manager.table.all()
    for pool in mappings.numbered:
        yield Record(Kind.POOL, pool.number, mappings.pool_row(pool.number))
    for mapping in mappings:
        yield Record(Kind.MAPPING, mapping.number, mappings.row(mapping.number))
    for flow in flows:
        yield Record(Kind.FLOW, flow.id, flow_row(manager, flow, now))
    for expectation in manager.expectations:
        yield Record(Kind.EXPECTATION, expectation.number, expectation.to_state(now))
    for name, trigger in manager.admission.active_triggers.items():
        yield Record(Kind.TRIGGER, name, trigger.to_state(now))
    for datagram in manager.reassembly:
        yield Record(Kind.DATAGRAM, datagram.number, datagram.to_state(now))
    yield Record(Kind.REST, 0, rest(manager, now))


def changed(manager: FlowManager, now: float) -> list[Record]:
    """Return the records of what has changed since the last call, and forget the changes."""
    changes, table = manager.changes, manager.table
    mappings, flows = table.mappings, table.flows
    found: list[Record] = []
    if changes.others:
        found += _others(manager, now)
    row_of, kind = mappings.row, Kind.MAPPING
    found += [_make(Record, (kind, number, row_of(number))) for number in changes.mappings]
    kind = Kind.FLOW
    for number in changes.flows:
        flow = flows.get(number) or table.flow(number)
        row = None if flow is None else flow_row(manager, flow, now)
        if row is not None and row[INSPECTOR] is not None:
            _leave_out_early(row[INSPECTOR])
        found.append(_make(Record, (kind, number, row)))
    if changes.rest:  # made after the records of flows, with which its tally goes
        found.insert(0, Record(Kind.REST, 0, rest(manager, now)))
    changes.clear()
    return found


def _leave_out_early(inspector: Any) -> None:
    """Leave out the segments that wait for a gap to be filled, of the state of an inspector."""
    for direction in inspector["rewriter"]["directions"] if "rewriter" in inspector else ():
        if direction["stream"] is not None:
            direction["stream"]["waiting"] = []


def _others(manager: FlowManager, now: float) -> Iterator[Record]:
    for kind, key in sorted(manager.changes.others, key=lambda each: each[0]):
        if kind == Kind.POOL:
            yield Record(kind, key, manager.table.mappings.pool_row(int(key)))
            continue
        known: Expectation | ActiveTrigger | Datagram | None
        if kind == Kind.EXPECTATION:
            known = manager.expectations.numbered.get(int(key))
        elif kind == Kind.TRIGGER:
            known = manager.admission.active_triggers.get(str(key))
        else:
            known = manager.reassembly.numbered.get(int(key))
        yield Record(kind, key, None if known is None else known.to_state(now))


def mark_all_but_flows(manager: FlowManager) -> None:
    """Mark everything as changed that is neither a flow nor the mapping of one; `mark_flows` marks those."""
    changes = manager.changes
    changes.all_small()
    for pool in manager.table.mappings.numbered:
        changes.other(Kind.POOL, pool.number)
    for expectation in manager.expectations:
        changes.other(Kind.EXPECTATION, expectation.number)
        if expectation.mapping is not None:
            changes.mapping(expectation.mapping.number)
    for name in manager.admission.active_triggers:
        changes.other(Kind.TRIGGER, name)
    for datagram in manager.reassembly:
        changes.other(Kind.DATAGRAM, datagram.number)


def mark_flows(manager: FlowManager, after: int, count: int) -> int:
    """Mark the next `count` flows as changed, with their mappings. `after` is the number of the flow before;
    return the number of the last one, or 0 after the last of all."""
    changes = manager.changes

    def mark(flow: Flow) -> None:
        changes.flow(flow.id)
        for mapping in (flow.mapping, flow.server_mapping):
            if mapping is not None:
                changes.mapping(mapping.number)

    return _sweep(manager, after, count, mark)


def refresh(manager: FlowManager, after: int, count: int, since: float) -> int:
    """Mark those of the next flows as changed whose rows lag: that were seen since a moment. `after` is the number
    of the flow before; return the number of the last one, or 0 after the last of all. At most `count` flows are
    looked at."""

    def mark(flow: Flow) -> None:
        if flow.inspector is None and flow.last_seen >= since:
            manager.changes.flow(flow.id)

    return _sweep(manager, after, count, mark)


def _sweep(manager: FlowManager, after: int, count: int, visit: Callable[[Flow], object]) -> int:
    """Visit the next `count` flows after a number, of those that there were when this began with 0."""
    flows = manager.table.flows
    if not after:
        manager.swept = sorted(flows)
    start = bisect_right(manager.swept, after)
    numbers = manager.swept[start : start + count]
    for number in numbers:
        flow = flows.get(number)
        if flow is not None:
            visit(flow)
    return numbers[-1] if start + count < len(manager.swept) else 0


def flow_row(manager: FlowManager, flow: Flow, now: float) -> tuple[object, ...]:
    """Return a flow as plain values, in the order of `FLOW_NAMES`."""
    number = flow.id
    return flow.to_state(
        now,
        manager.table.ranks.get(number),
        manager.unconfirmed.ranks.get(number),
        manager.unconfirmed_inspected.ranks.get(number),
        manager.reopenings.to_state(number),
        manager.offloading.marks_of(number),
    )


def rest(manager: FlowManager, now: float) -> Plain:
    """Return all that has no record of its own. It may be older than the other records: counters, and what was
    done in the last second."""
    return {
        "version": VERSION,
        "policy": list(Basis.of(manager.policy)),
        "counts": list(manager.counts),
        "lost_events": manager.events.lost,
        "opened": manager.opened,
        "finished": manager.table.finished,
        "added": [manager.unconfirmed.added, manager.unconfirmed_inspected.added],
        "expected": manager.expectations.added,
        "reassembled": manager.reassembly.begun,
        "helpers": [each.to_state() for each in manager.registered.values()],
        "work": manager.work.to_state(now),
        "refusals": manager.refusals.to_state(now),
        "shortage": manager.shortage.to_state(now),
        "identifications": manager.identifications.to_state(),
        "offloaded": manager.offloading.tally.to_state(),
        "lost": manager.admission.port_hold.to_state(now),
    }
