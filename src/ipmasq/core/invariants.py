"""The invariants of an engine, which tests verify after every step, and which a state must satisfy."""

from __future__ import annotations

from collections import Counter

from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.tcp_inspector import COST
from ipmasq.wire.addresses import Address


def check(manager: FlowManager) -> None:
    """Raise AssertionError unless every index, count and stream is consistent."""
    manager.table.check()
    manager.expectations.check()
    manager.unconfirmed.check()
    kept: dict[Address, int] = {}
    inspected: dict[Address, int] = {}
    watching = Counter[str]()
    timed = {id(thing) for _, things in manager.timers.pending() for thing in things}
    others = (*manager.expectations, *manager.admission.active_triggers.values())
    assert timed.issuperset(map(id, others))
    for flow in manager.table.flows.values():
        assert not (flow.offloadable and flow.inspector)
        assert id(flow) in timed
        if flow.inspector is not None:
            kept[flow.payer] = kept.get(flow.payer, 0) + flow.inspector.check()
            inspected[flow.payer] = inspected.get(flow.payer, 0) + COST
            watching[flow.inspector.registered.use.name] += flow.inspector.is_inspecting
    for name, helper in manager.registered.items():
        assert helper.watching == watching[name]
    manager.memory.check(kept)
    manager.inspected.check(inspected)
