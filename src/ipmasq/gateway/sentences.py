"""Every event as a sentence."""

from __future__ import annotations

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.shortage import name
from ipmasq.core.shortage import sentence as why_refused
from ipmasq.gateway.describe import tell
from ipmasq.wire.addresses import to_text
from ipmasq.wire.visible import visible

GUIDE = "docs/firewalls.md"


def sentence(event: Event) -> str:
    """Return what happened as one visible line for people; names, reasons and payload may come from
    attackers."""
    told = tell(event)
    return visible(_sentence(event)) if told is None else told


def _sentence(event: Event) -> str:
    match event:
        case events.FlowOffloadable():
            return f"flow {event.flow} is offloadable: both directions were seen"
        case events.FlowNotOffloadable():
            return f"flow {event.flow} is no longer offloadable: it closes, or a helper inspects it"
        case events.FlowFinished():
            return f"the connection of flow {event.flow} is over; its public port is free"
        case events.FlowRevived():
            return f"the connection of flow {event.flow} continues after a reset"
        case events.ExpectationEnded():
            return f"expectation at {event.public} was met by flow {event.met_by}"
        case events.ForwardAdded():
            return f"forward {event.name} was added"
        case events.ForwardRemoved():
            return f"forward {event.name} was removed; its live flows continue"
        case events.HelperLoaded():
            again = " again, with its newer code" if event.reloaded else ""
            return f"helper {event.helper} was loaded{again}"
        case events.HelperUnloaded():
            return f"helper {event.helper} was unloaded; the flows that it inspected continue"
        case events.PolicyApplied():
            return f"a changed policy is in force; {event.closed} flows are no longer allowed"
        case events.FirewallObstructed():
            return f"{event.what} ({GUIDE}); {event.remedy}"
        case events.FirewallCleared():
            return "the host's firewall no longer obstructs the gateway"
        case events.LimitNeared():
            return _near(event)
        case events.LimitReached():
            short = why_refused(event.reason, event.host, event.protocol, event.most)
            flows = "a new flow" if event.refusals == 1 else f"{event.refusals:,} new flows"
            return f"{flows} of {to_text(event.host)} refused: {short}"
    raise AssertionError(event)


def _near(event: events.LimitNeared) -> str:
    of = f"{event.used:,} of {event.most:,}"
    protocol = name(event.protocol)
    if event.address is not None:
        return f"{of} {protocol} ports of {to_text(event.address)} are in use"
    if event.host is None:
        return f"{of} flows are in use"
    what = f"{protocol} ports" if event.protocol else "flows"
    return f"host {to_text(event.host)} uses {of} {what}"
