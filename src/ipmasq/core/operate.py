"""What the operator does to a running engine. Nothing here drops a flow that may stay."""

from __future__ import annotations

from dataclasses import replace

from ipmasq.core import events
from ipmasq.core.admission import is_inside
from ipmasq.core.flow import Flow
from ipmasq.core.helping import Attachment, Registered
from ipmasq.core.life import Life
from ipmasq.core.policy import Action, Forward, HelperUse, Policy
from ipmasq.core.side import Side
from ipmasq.core.why import Why


def apply(life: Life, policy: Policy, now: float) -> int:
    """Go on under `policy`; how many flows it no longer allows, which are closed."""
    life.now = now
    before = life.policy
    life.policy = life.table.policy = life.admission.policy = policy
    limits = policy.limits
    life.reassembly.most = limits.fragmented_datagrams
    life.memory.total = limits.stream_memory
    life.memory.per_host = limits.stream_memory_per_host
    life.work.total, life.work.per_host = limits.lines, limits.lines_per_host
    life.refusals.follow(policy)
    closed = 0
    for flow in list(life.table.flows.values()):
        why = _objection(life, flow)
        if why is not None:
            life.end(flow, why)
            closed += 1
    for expectation in life.promises:
        if expectation.mapping and expectation.mapping.public.address not in policy.public:
            life.end_promise(expectation, Why.ADDRESS_GONE)
    if policy.mapping is not before.mapping or policy.public != before.public:
        for mapping in life.table.mappings():
            life.table.retire(mapping)
    _apply_helpers(life, {use.name: use for use in policy.helpers}, now)
    if policy.timeouts != before.timeouts:
        for flow in life.table.flows.values():
            life.set_timer(flow)
    life.tell(events.PolicyApplied(now, closed))
    return closed


def _objection(life: Life, flow: Flow) -> Why | None:
    policy = life.policy
    inside, public, remote = life.faces(flow)
    if public.address not in policy.public:
        return Why.ADDRESS_GONE
    if not is_inside(policy, inside.address):
        return Why.POLICY
    if flow.sides == (Side.INSIDE, Side.OUTSIDE) and flow.master is None:
        action, _ = life.admission.rule(flow.protocol, inside, remote)
        return None if action is Action.MASQUERADE else Why.POLICY
    return None


def _apply_helpers(life: Life, uses: dict[str, HelperUse], now: float) -> None:
    for name in [name for name in life.registered if name not in uses]:
        unload_helper(life, name, now)
    for name, use in uses.items():
        if name not in life.registered or life.registered[name].use != use:
            load_helper(life, use, now)


def add_forward(life: Life, forward: Forward, now: float) -> None:
    """Raises ValueError if the name is taken or another forward overlaps."""
    for other in life.policy.forwards:
        if other.name == forward.name:
            raise ValueError(f"there is a forward {forward.name} already")
        if _overlap(forward, other):
            raise ValueError(f"it overlaps forward {other.name} ({other.ports})")
    _set_forwards(life, (*life.policy.forwards, forward))
    life.tell(events.ForwardAdded(now, forward.name))


def _overlap(one: Forward, other: Forward) -> bool:
    return (
        one.protocol == other.protocol
        and (one.public == other.public or None in (one.public, other.public))
        and one.ports.low <= other.ports.high
        and other.ports.low <= one.ports.high
    )


def remove_forward(life: Life, name: str, now: float) -> None:
    """Raises KeyError."""
    rest = tuple(forward for forward in life.policy.forwards if forward.name != name)
    if len(rest) == len(life.policy.forwards):
        raise KeyError(name)
    _set_forwards(life, rest)
    life.tell(events.ForwardRemoved(now, name))


def _set_forwards(life: Life, forwards: tuple[Forward, ...]) -> None:
    policy = replace(life.policy, forwards=forwards)
    life.policy = life.table.policy = life.admission.policy = policy


def close(life: Life, number: int, now: float) -> bool:
    life.now = now
    flow = life.table.flows.get(number)
    if flow is None:
        return False
    life.end(flow, Why.OPERATOR)
    return True


def load_helper(life: Life, use: HelperUse, now: float) -> None:
    life.now = now
    registered = life.registered.get(use.name)
    life.tell(events.HelperLoaded(now, use.name, registered is not None))
    if registered is None:
        registered = life.registered[use.name] = Registered(use)
    else:
        registered.use = use
    for flow in list(life.table.flows.values()):
        attachment = flow.helper
        if isinstance(attachment, Attachment) and attachment.watching:
            if attachment.registered is registered:
                life.renew(attachment)
        elif flow.master is None and not flow.origin.is_promised:
            life.bind(flow)


def unload_helper(life: Life, name: str, now: float) -> None:
    """Raises KeyError."""
    life.now = now
    registered = life.registered.pop(name)
    for flow in list(life.table.flows.values()):
        if isinstance(flow.helper, Attachment) and flow.helper.registered is registered:
            for expectation in life.promises.of(flow):
                life.end_promise(expectation, Why.HELPER_UNLOADED)
            life.release(flow, Why.HELPER_UNLOADED)
    life.tell(events.HelperUnloaded(now, name))
