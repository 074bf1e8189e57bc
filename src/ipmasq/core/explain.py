"""Why this flow has, or has not, this helper and this rule."""

from __future__ import annotations

from ipmasq.core import see
from ipmasq.core.admission import Decision
from ipmasq.core.flow import End, Flow, pack
from ipmasq.core.helping import Attachment, verdicts
from ipmasq.core.life import Life, known_at
from ipmasq.core.shortage import most_of, sentence
from ipmasq.core.side import Side
from ipmasq.core.views import Explanation, HelperVerdict
from ipmasq.core.why import Why
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Endpoint


def explain(
    life: Life, protocol: int, source: Endpoint, destination: Endpoint, side: Side, now: float
) -> Explanation:
    """Of the live flow that `source` -> `destination` belongs to, or of the one that it would open."""
    half = life.table.find(side, protocol, pack(source, destination))
    if half is not None:
        return _live(life, half.flow)
    life.now = now
    steps: list[str] = ["no live flow has this packet"]
    answer = life.admission.decide(protocol, source, destination, side, steps.append)
    if isinstance(answer, Why):
        return Explanation(None, answer.sentence, tuple(steps), ())
    return Explanation(
        None,
        _verdict(life, protocol, source, destination, answer),
        tuple(steps),
        _helpers(life, protocol, source, destination, answer),
    )


def _verdict(
    life: Life, protocol: int, source: Endpoint, destination: Endpoint, decision: Decision
) -> str:
    if refusal := _refusal(life, protocol, source, destination, decision):
        return f"would be refused: {refusal}"
    text = f"would be opened by {decision.origin}: to {decision.server}"
    if decision.server != destination:
        text += f" (seen as {destination})"
    if not decision.masquerade:
        return text
    mapping = life.table.mapping_of(protocol, source, destination)
    if mapping:
        return f"{text}, from {mapping.public}, which {source} has already"
    if not life.policy.public:
        return f"{text}, but there is no public address now"
    address = Endpoint(life.table.public_for(source.address), 0)
    return f"{text}, from {str(address).rsplit(':', 1)[0]} and a port of {life.policy.ports}"


def _refusal(
    life: Life, protocol: int, source: Endpoint, destination: Endpoint, decision: Decision
) -> str | None:
    """What would be short, as a sentence, now that it may be opened at all."""
    table, from_inside = life.table, decision.masquerade
    host = source.address if from_inside else decision.server.address
    why = table.lacks_room(host)
    if why is not None and not from_inside and life.unconfirmed.oldest(host, life.ask):
        why = None  # that one would give way
    if why is None and from_inside and life.policy.public:
        why = table.lacks_port(protocol, source, destination, known_at(decision))
    return None if why is None else sentence(why, host, protocol, most_of(table, why))


def _helpers(
    life: Life, protocol: int, source: Endpoint, destination: Endpoint, decision: Decision
) -> tuple[HelperVerdict, ...]:
    if decision.expectation:
        reason = "a flow that was promised is not watched itself"
        return tuple(HelperVerdict(name, False, reason) for name in life.registered)
    seen = Endpoint(b"", 0) if decision.masquerade else source
    client, server = End(source, seen), End(decision.server, destination)
    return tuple(verdicts(life.registered, protocol, client, server))


def _live(life: Life, flow: Flow) -> Explanation:
    inside, public, remote = life.faces(flow)
    steps = [f"flow {flow.id} has it, opened from {flow.opened_by.name.lower()} by {flow.origin}"]
    if flow.master:
        steps.append(f"it is a data flow of flow {flow.master.id}")
    if flow.links:
        steps.append(f"{flow.links} data flow(s) keep it alive")
    steps.append("settled" if flow.settled else f"state {see.state(flow)}")
    verdict = f"{inside} <-> {public}, with {remote}"
    return Explanation(flow.id, verdict, tuple(steps), _live_helpers(life, flow))


def _live_helpers(life: Life, flow: Flow) -> tuple[HelperVerdict, ...]:
    if flow.origin.startswith("expectation") or flow.protocol != ipv4.TCP:
        reason = "a flow that was promised, or of this protocol, is not watched"
        return tuple(HelperVerdict(name, False, reason) for name in life.registered)
    found = tuple(verdicts(life.registered, flow.protocol, flow.client, flow.server))
    attachment = flow.helper
    watching = isinstance(attachment, Attachment) and attachment.watching
    if watching:
        return found
    reason = (
        "it looked, but has stopped"
        if flow.helper
        else "it was not loaded when the flow was opened"
    )
    return tuple(HelperVerdict(v.helper, False, reason) if v.bound else v for v in found)
