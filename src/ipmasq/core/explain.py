"""Explains which helper and which rule a flow has, and why."""

from __future__ import annotations

from ipmasq.core import snapshots
from ipmasq.core.admission import Decision
from ipmasq.core.ends import End
from ipmasq.core.flow import Flow
from ipmasq.core.flow_manager import FlowManager
from ipmasq.core.helping import verdicts
from ipmasq.core.keys import pack
from ipmasq.core.opening import evictable_for_port, known_at
from ipmasq.core.reasons import Reason
from ipmasq.core.shortage import PROTOCOLS, limit_of, name, sentence
from ipmasq.core.side import Side
from ipmasq.core.views import Explanation, HelperVerdict, Passage
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Endpoint, to_text


def explain(
    manager: FlowManager,
    protocol: int,
    source: Endpoint,
    destination: Endpoint,
    side: Side,
    now: float,
) -> Explanation:
    """Explain the live flow that `source` -> `destination` belongs to, or the one that it would open."""
    half = manager.table.find(side, protocol, pack(source, destination))
    if half is not None:
        return _live(manager, half.flow)
    manager.now = now
    steps: list[str] = ["no live flow has this packet"]
    answer = manager.admission.decide(protocol, source, destination, side, steps.append)
    if isinstance(answer, Decision) and protocol not in PROTOCOLS:
        steps.append(f"{name(protocol)} cannot be masqueraded")
        answer = Reason.UNSUPPORTED
    if isinstance(answer, Reason):
        found = _to_host(answer, protocol, source, destination, side)
        return Explanation(None, _onward(answer, steps[-1]), tuple(steps), (), found)
    steps += _own_time(manager, protocol, answer.server)
    return Explanation(
        None,
        _verdict(manager, protocol, source, destination, answer),
        tuple(steps),
        _helpers(manager, protocol, source, destination, answer),
        Passage(
            protocol,
            (side, answer.side),
            source,
            destination,
            answer.server,
            answer.expectation is not None,
        ),
    )


def _onward(reason: Reason, deciding: str) -> str:
    """Return what happens without a flow. `deciding` is the last step of the decision."""
    if reason is Reason.HOST:
        return f"would go to the gateway host itself: {deciding}"
    if reason is Reason.PASSED:
        return f"would be routed with its own addresses: {deciding}"
    return f"would be dropped ({reason.name.lower()}): {deciding}"


def _to_host(
    answer: Reason, protocol: int, source: Endpoint, destination: Endpoint, side: Side
) -> Passage | None:
    """Return how pings of inside hosts to a public address reach the host, which the engine sees first."""
    if (answer, protocol, side) != (Reason.HOST, ipv4.ICMP, Side.INSIDE):
        return None
    return Passage(protocol, (side, None), source, destination, destination, False)


def _verdict(
    manager: FlowManager, protocol: int, source: Endpoint, destination: Endpoint, decision: Decision
) -> str:
    if refusal := _refusal(manager, protocol, source, destination, decision):
        return f"would be refused: {refusal}"
    text = f"would be opened by {decision.origin}: to {_end(protocol, decision.server)}"
    if decision.server != destination:
        text += f" (seen as {_end(protocol, destination)})"
    if not decision.masquerade:
        return text
    mapping = manager.table.mappings.of(protocol, source, destination)
    if mapping:
        own = _end(protocol, source)
        return f"{text}, from {_end(protocol, mapping.public)}, which {own} has already"
    if not manager.policy.public:
        return f"{text}, but there is no public address now"
    kind = "an identifier" if protocol == ipv4.ICMP else "a port"
    address = to_text(manager.table.mappings.public_for(source.address))
    return f"{text}, from {address} and {kind} of {manager.policy.ports}"


def _end(protocol: int, end: Endpoint) -> str:
    """Return an end of a flow; for ICMP its address alone."""
    return to_text(end.address) if protocol == ipv4.ICMP else str(end)


def _own_time(manager: FlowManager, protocol: int, server: Endpoint) -> list[str]:
    """Say whether flows to this port of a server have an idle time of their own."""
    timeouts = manager.policy.timeouts
    if protocol != ipv4.UDP or server.port not in timeouts.udp_ports:
        return []
    seconds = timeouts.udp_ports[server.port]
    return [f"UDP to port {server.port} is forgotten after {seconds:g} s without a packet"]


def _refusal(
    manager: FlowManager, protocol: int, source: Endpoint, destination: Endpoint, decision: Decision
) -> str | None:
    """Return, as a sentence, which limit would refuse a flow that may be opened otherwise."""
    table, from_inside = manager.table, decision.masquerade
    host = source.address if from_inside else decision.server.address
    reason = table.lacks_room(host)
    if reason is not None and manager.evictable(reason, host):
        reason = None
    if reason is None and from_inside and manager.policy.public:
        server = decision.side, decision.server
        reason = table.mappings.lacks_port(
            protocol, source, destination, known_at(decision), server
        )
        if reason is not None and evictable_for_port(manager, reason, protocol, host):
            reason = None
    return None if reason is None else sentence(reason, host, protocol, limit_of(table, reason))


def _helpers(
    manager: FlowManager, protocol: int, source: Endpoint, destination: Endpoint, decision: Decision
) -> tuple[HelperVerdict, ...]:
    if decision.expectation:
        reason = "an expected flow is not inspected itself"
        return tuple(HelperVerdict(name, False, reason) for name in manager.registered)
    translated = Endpoint(b"", 0) if decision.masquerade else source
    client, server = End(source, translated), End(decision.server, destination)
    return tuple(verdicts(manager.registered, protocol, client, server))


def _live(manager: FlowManager, flow: Flow) -> Explanation:
    inside, public, remote, remote_real = flow.endpoints
    steps = [f"flow {flow.id} has it, opened from {flow.opened_by.name.lower()} by {flow.origin}"]
    if flow.master is not None:
        steps.append(f"it is a data flow of flow {flow.master}")
    if flow.links:
        kept = "a data flow keeps" if flow.links == 1 else f"{flow.links} data flows keep"
        steps.append(f"{kept} it alive")
    steps += _own_time(manager, flow.protocol, flow.server.real)
    steps.append("offloadable" if flow.offloadable else f"state {snapshots.state(flow)}")
    verdict = f"{inside} <-> {public}, with {remote}"
    if remote_real != remote:
        verdict += f", which is {remote_real}"
    passage = Passage(
        flow.protocol,
        (flow.original.side, flow.reply.side),
        flow.client.real,
        flow.server.translated,
        flow.server.real,
        flow.origin.is_expected,
    )
    return Explanation(flow.id, verdict, tuple(steps), _live_helpers(manager, flow), passage)


def _live_helpers(manager: FlowManager, flow: Flow) -> tuple[HelperVerdict, ...]:
    if flow.origin.is_expected:
        reason = "an expected flow is not inspected"
        return tuple(HelperVerdict(name, False, reason) for name in manager.registered)
    found = tuple(verdicts(manager.registered, flow.protocol, flow.client, flow.server))
    inspector = flow.inspector
    if inspector is not None and inspector.is_inspecting:
        return found
    reason = (
        "it looked, but has stopped"
        if inspector is not None
        else "it was not loaded when the flow was opened"
    )
    return tuple(HelperVerdict(v.helper, False, reason) if v.bound else v for v in found)
