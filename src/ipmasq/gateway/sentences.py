"""Every event in one sentence."""

from __future__ import annotations

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.gateway.story import tell
from ipmasq.wire.visible import visible

GUIDE = "docs/firewalls.md"


def sentence(event: Event) -> str:
    """What happened, for people, as one visible line: names, reasons and payload come from elsewhere."""
    told = tell(event)
    return visible(_sentence(event)) if told is None else told


def _sentence(event: Event) -> str:
    match event:
        case events.FlowSettled():
            return f"flow {event.flow} settled: both directions were seen"
        case events.FlowUnsettled():
            return f"flow {event.flow} is unsettled: it closes, or a helper watches it"
        case events.ExpectationEnded():
            return f"expectation at {event.public} was met by flow {event.met_by}"
        case events.ForwardAdded():
            return f"forward {event.name} was added"
        case events.ForwardRemoved():
            return f"forward {event.name} was removed; its live flows stay"
        case events.HelperLoaded():
            again = " again, with its newer code" if event.reloaded else ""
            return f"helper {event.helper} was loaded{again}"
        case events.HelperUnloaded():
            return f"helper {event.helper} was unloaded; the flows that it watched go on"
        case events.PolicyApplied():
            return f"a changed policy is in force; {event.closed} flows are no longer allowed"
        case events.FirewallObstructed():
            return f"{event.what}; {event.remedy} ({GUIDE})"
        case events.FirewallCleared():
            return "the host's firewall is no longer in the gateway's way"
    raise AssertionError(event)
