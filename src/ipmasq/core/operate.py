"""What the operator changes in a running engine. No flow ends that is still allowed."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ipmasq.core import events
from ipmasq.core.admission import is_inside
from ipmasq.core.flow import Flow
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.policy import Action, Forward, HelperUse, Policy
from ipmasq.core.reasons import Reason
from ipmasq.core.shortage import apply_limits
from ipmasq.core.side import Side


def apply(manager: FlowManager, policy: Policy, now: float) -> int:
    """Replace the policy by `policy`. Return the number of flows that it no longer allows, which are closed."""
    manager.now = now
    before = Basis.of(manager.policy)
    manager.follow(policy)
    apply_limits(manager.table)
    return conform(manager, before)


class Basis(NamedTuple):
    """What live flows depend on in a policy: as text, since it is only compared with that of another one."""

    flows: str
    mappings: str
    timeouts: str

    @classmethod
    def of(cls, policy: Policy) -> Basis:
        return cls(
            repr(
                (policy.inside, policy.public, policy.shares, policy.rules, policy.default_action)
            ),
            repr(policy.mapping),
            repr(policy.timeouts),
        )


def conform(manager: FlowManager, before: Basis) -> int:
    """Make everything that is alive conform to the policy in force; `before` is that of the earlier one. Return
    the number of flows that were closed."""
    policy, now, after = manager.policy, manager.now, Basis.of(manager.policy)
    closed = 0
    for flow in manager.table.all():
        reason = _objection(manager, flow)
        if reason is not None:
            manager.end(flow, reason)
            closed += 1
    for expectation in manager.expectations:
        if expectation.mapping and expectation.mapping.public.address not in policy.public:
            manager.announcements.end(expectation, Reason.ADDRESS_GONE)
    mappings = manager.table.mappings
    for mapping in mappings:
        # New flows of an inside endpoint get another mapping if this one would not be made any more.
        if after.mappings != before.mappings or not mappings.is_paired(mapping):
            mappings.retire(mapping)
    apply_helpers(manager, now)
    manager.changes.all_small()
    if after.timeouts != before.timeouts:
        for flow in manager.table.all():
            manager.set_timer(flow)
    manager.emit(events.PolicyApplied(now, closed))
    return closed


def _objection(manager: FlowManager, flow: Flow) -> Reason | None:
    policy = manager.policy
    inside, public, remote, _ = flow.endpoints
    if public.address not in policy.public:
        return Reason.ADDRESS_GONE
    if not is_inside(policy, inside.address):
        return Reason.POLICY
    if flow.sides == (Side.INSIDE, Side.OUTSIDE) and flow.master is None:
        action, _ = manager.admission.rule(flow.protocol, inside, remote)
        return None if action is Action.MASQUERADE else Reason.POLICY
    return None


def apply_helpers(manager: FlowManager, now: float) -> None:
    """Load the helpers of the policy that are not loaded, and unload the others."""
    uses = {use.name: use for use in manager.policy.helpers}
    for name in [name for name in manager.registered if name not in uses]:
        unload_helper(manager, name, now)
    for name, use in uses.items():
        if name not in manager.registered or manager.registered[name].use != use:
            load_helper(manager, use, now)


def add_forward(manager: FlowManager, forward: Forward, now: float) -> None:
    """Add a forward. Raises ValueError if the name is taken or another forward overlaps."""
    for other in manager.policy.forwards:
        if other.name == forward.name:
            raise ValueError(f"there is a forward {forward.name} already")
        if overlap(forward, other):
            both = f"forward {forward.name} ({forward.ports}) overlaps forward {other.name}"
            raise ValueError(f"{both} ({other.ports})")
    _set_forwards(manager, (*manager.policy.forwards, forward))
    manager.emit(events.ForwardAdded(now, forward.name))


def overlap(one: Forward, other: Forward) -> bool:
    """Return whether both publish a server at the same public endpoint."""
    return (
        one.protocol == other.protocol
        and (one.public == other.public or None in (one.public, other.public))
        and one.ports.low <= other.ports.high
        and other.ports.low <= one.ports.high
    )


def remove_forward(manager: FlowManager, name: str, now: float) -> None:
    """Remove a forward. Raises KeyError."""
    rest = tuple(forward for forward in manager.policy.forwards if forward.name != name)
    if len(rest) == len(manager.policy.forwards):
        raise KeyError(name)
    _set_forwards(manager, rest)
    manager.emit(events.ForwardRemoved(now, name))


def _set_forwards(manager: FlowManager, forwards: tuple[Forward, ...]) -> None:
    manager.active.policy = replace(manager.policy, forwards=forwards)


def close(manager: FlowManager, number: int, now: float) -> bool:
    manager.now = now
    flow = manager.table.flow(number)
    if flow is None:
        return False
    manager.end(flow, Reason.OPERATOR)
    return True


def load_helper(manager: FlowManager, use: HelperUse, now: float) -> None:
    manager.now = now
    manager.changes.all_small()
    manager.emit(events.HelperLoaded(now, use.name, use.name in manager.registered))
    registered = manager.registered.add(use)
    for flow in manager.table.all():
        inspector = flow.inspector
        if inspector is not None and inspector.is_inspecting:
            if inspector.registered is registered:
                manager.renew(flow, inspector)
        elif flow.id not in manager.table.flows:
            continue  # it was evicted for one of those before it
        elif flow.master is None and not flow.origin.is_expected:
            manager.bind(flow, flow.ends)


def unload_helper(manager: FlowManager, name: str, now: float) -> None:
    """Unload a helper. Raises KeyError."""
    manager.now = now
    registered = manager.registered.remove(name)
    registered.is_loaded = False
    manager.changes.all_small()
    for flow in manager.table.all():
        if flow.inspector is not None and flow.inspector.registered is registered:
            manager.announcements.end_all(flow, Reason.HELPER_UNLOADED)
            manager.release(flow, Reason.HELPER_UNLOADED)
    manager.emit(events.HelperUnloaded(now, name))
