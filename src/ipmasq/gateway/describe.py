"""Describes events and packets for people."""

from __future__ import annotations

from ipmasq.core import events
from ipmasq.core.events import Event
from ipmasq.core.shortage import name as protocol
from ipmasq.core.shortage import sentence as why_refused
from ipmasq.core.side import Side
from ipmasq.wire.addresses import to_text
from ipmasq.wire.passwords import without_passwords
from ipmasq.wire.visible import visible

GUIDE = "docs/firewalls.md"

ROLES = {
    "active": "active",
    "fenced": "fenced: it forwards nothing, since it may have lost its role",
    "waiting": "to be active, and waits for the lease of its group",
    "standby": "a standby",
}
"""What a role of `RoleChanged` means."""


def sentence(event: Event) -> str:
    """Return what happened as one visible line for people; names, reasons and payload may come from
    attackers."""
    found = remark(event)
    return visible(_sentence(event)) if found is None else found


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
    return _about_state(event)


def _about_state(event: Event) -> str:
    """Return a sentence about what outlives the process."""
    match event:
        case events.RoleChanged():
            trouble = f": {event.trouble}" if event.trouble else ""
            which = f" for share {event.share}" if event.share else ""
            role = ROLES.get(event.role, event.role)
            return f"this gateway is {role}{which} (generation {event.generation}){trouble}"
        case events.StateRestored():
            flows = "1 flow" if event.flows == 1 else f"{event.flows:,} flows"
            return f"the state of an earlier process was restored: {flows}; it had written {event.age:.1f} s before"
        case events.StateRefused():
            return f"the state of an earlier process was refused: {event.reason}; the gateway begins without it"
        case events.StoreFailed():
            return f"the store of the state cannot be used: {event.trouble}; the gateway goes on without it"
        case events.StoreRecovered():
            return "the store can be used again, and gets everything once more"
        case events.RecordsRefused():
            forged = "; is the key of all members the same?" * ("forged" in event.reasons)
            records = "1 record" if event.count == 1 else f"{event.count:,} records"
            return f"{records} in the store refused ({event.reasons}){forged}"
    raise AssertionError(event)


def _near(event: events.LimitNeared) -> str:
    of = f"{event.used:,} of {event.most:,}"
    called = protocol(event.protocol)
    if event.address is not None:
        return f"{of} {called} ports of {to_text(event.address)} are in use"
    if event.host is None:
        return f"{of} flows are in use"
    what = f"{called} ports" if event.protocol else "flows"
    return f"host {to_text(event.host)} uses {of} {what}"


def remark(event: Event) -> str | None:
    """Return one visible line, or None if the event does not concern the present packet."""
    found = _remark(event)
    return None if found is None else visible(found)


def _remark(event: Event) -> str | None:
    match event:
        case events.FlowOpened():
            hairpin = f", which is {event.remote_real}" * (event.remote_real != event.remote)
            linked = f", linked to flow {event.master}" if event.master is not None else ""
            return (
                f"opened flow {event.flow} by {event.origin}{linked}: {event.inside} "
                f"seen as {event.public}, with {event.remote}{hairpin}"
            )
        case events.FlowClosed():
            return f"flow {event.flow} ended: {event.reason.sentence}"
        case events.HelperBound():
            return f"helper {event.helper} inspects flow {event.flow}, by {event.by} {event.port}"
        case events.HelperReleased():
            return f"helper {event.helper} released flow {event.flow}: {event.reason.sentence}"
        case events.HelperFailed():
            return f"helper {event.helper} failed on {show(event.line)}: {event.error}"
        case events.Expected():
            return _expected(event)
        case events.ExpectationEnded(met_by=None):
            return f"expectation at {event.public} ended: {event.reason.sentence}"
        case events.ExpectationMissed():
            return missed(event)
        case events.Rewritten():
            return f"helper {event.helper} rewrote {show(event.before)} -> {show(event.after)}"
        case events.Refused():
            return f"helper {event.helper} did not act on {show(event.line)}: {event.reason}"
        case events.FlowEncrypted():
            return f"flow {event.flow} is encrypted from here on: {consequence(event.opened_by)}"
        case events.KeptAlive():
            flows = "a linked flow" if event.links == 1 else f"{event.links} linked flows"
            return f"flow {event.flow} is kept alive by {flows}"
        case events.SettingRestored():
            return _restored(event)
        case events.PacketFailed():
            return (
                f"{event.packet_failures} packet(s) from {event.side.name.lower()} could not be handled: "
                f"{event.error}; the latest began with {event.data.hex()}"
            )
    return None


def missed(event: events.ExpectationMissed) -> str:
    """Return that a connection came from another address than the expected one, as a sentence."""
    return (
        f"a connection from {event.source} to {event.public} was dropped: "
        f"helper {event.helper} expects it from {to_text(event.peer)} only"
    )


def _expected(event: events.Expected) -> str:
    """What was announced is said only if it is another endpoint than the public one."""
    announced = f", for {event.announced}" if event.announced != event.public else ""
    return (
        f"helper {event.helper} expects {protocol(event.protocol)} from "
        f"{to_text(event.peer)} to {event.public}{announced}"
    )


def _restored(event: events.SettingRestored) -> str:
    if not event.wanted:
        done = f"cannot be restored: {event.trouble}" if event.trouble else "is restored"
        return f"{event.name} was removed, and {done}"
    if not event.trouble:
        return f"{event.name} was set to {event.found}, and is {event.wanted} again"
    return (
        f"{event.name} is {event.found} and must be {event.wanted}, "
        f"but cannot be set: {event.trouble}"
    )


def consequence(opened_by: Side) -> str:
    """Say which transfers of an encrypted control flow work, by the side of its client."""
    if opened_by is Side.INSIDE:
        return "no helper can read it; passive transfers still work, active ones do not"
    return (
        "no helper can read it; only passive transfers work, by a range of ports that a forward publishes and"
        " the server announces with the public address"
    )


def show(line: bytes) -> str:
    """Return a line as it is typed, without its terminator and without a password."""
    return '"' + visible(without_passwords(line).rstrip(b"\r\n").decode("latin-1")) + '"'
