"""Decides what the first packet of a flow opens, if anything.

A decision changes nothing, so that the same code answers `explain` for flows that do not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ipmasq.core.active import ActivePolicy
from ipmasq.core.expectations import Expectation, ExpectationTable
from ipmasq.core.host import SocketMatch
from ipmasq.core.mapping import Mapping
from ipmasq.core.origin import Kind, Origin, origin
from ipmasq.core.plain import Fields, Plain
from ipmasq.core.policy import (
    ANY_PROTOCOL,
    Action,
    Behaviour,
    Policy,
    Rule,
    Trigger,
)
from ipmasq.core.port_hold import PortHold
from ipmasq.core.reasons import Reason
from ipmasq.core.side import Side
from ipmasq.core.table import Table
from ipmasq.core.timers import Bucket
from ipmasq.wire import ipv4
from ipmasq.wire.addresses import Address, Endpoint, to_text, within

Note = Callable[[str], object]
"""A function that receives one sentence about each step of a decision."""


_ACTIONS = {action: action.name.lower() for action in Action}


class Decision(NamedTuple):
    """A flow that may be opened. `server` is its real destination."""

    server: Endpoint
    masquerade: bool
    """Whether the client needs a mapping."""
    side: Side
    """The side of the server."""
    origin: Origin
    expectation: Expectation | None = None
    server_mapping: Mapping | None = None
    trigger: Trigger | None = None
    """The trigger that admits the flow, or that the flow activates."""


class ActiveTrigger:
    """A trigger that was activated by a flow."""

    __slots__ = ("due", "host", "trigger", "until")

    def __init__(self, trigger: Trigger, host: Address, until: float) -> None:
        self.trigger = trigger
        self.host = host
        self.until = until
        self.due: Bucket[Any] | None = None

    def to_state(self, now: float) -> Plain:
        """Return it as plain values. The policy has the rest of the trigger, by its name."""
        due = None if self.due is None else self.due.moment - now
        return {"host": self.host, "until": self.until - now, "due": due}


def is_martian(address: Address) -> bool:
    """Return whether this is never the address of one host (RFC 6890): this network, loopback, multicast,
    reserved, broadcast."""
    return address[0] in (0, 127) or address[0] >= 224


def is_inside(policy: Policy, address: Address) -> bool:
    return within(address, policy.inside)


class Admission:
    def __init__(
        self,
        active: ActivePolicy,
        table: Table,
        expectations: ExpectationTable,
        clock: Callable[[], float],
    ) -> None:
        self._active = active
        self.port_hold = PortHold(active, clock)
        self.active_triggers: dict[str, ActiveTrigger] = {}
        """By the name of the trigger."""
        self._table = table
        self._expectations = expectations

    @property
    def policy(self) -> Policy:
        return self._active.policy

    def decide(
        self,
        protocol: int,
        source: Endpoint,
        destination: Endpoint,
        side: Side,
        note: Note = lambda _: None,
    ) -> Decision | Reason:
        """Decide about a first packet from `source` to `destination` that came in on `side`.

        The answers `HOST` and `PASSED` mean that it is forwarded without a flow, any other reason that it is
        dropped.
        """
        for address in (source.address, destination.address):
            if is_martian(address):
                note(f"{to_text(address)} is never routed (loopback, multicast or reserved)")
                return Reason.MARTIAN
        if side is Side.INSIDE:
            return self._from_inside(protocol, source, destination, note)
        return self._from_outside(protocol, source, destination, note)

    def restore(self, name: str, state: Fields, now: float) -> ActiveTrigger | None:
        """Take over an active trigger of a state, unless the policy has it no longer. Raises StateError."""
        host, until = state.address("host"), state.moment("until", now)
        for trigger in self.policy.triggers:
            if trigger.name == name:
                self.active_triggers[name] = ActiveTrigger(trigger, host, until)
        return self.active_triggers.get(name)

    def is_spoofed(self, source: Address, side: Side) -> bool:
        """Return whether no packet from this address can come in on this side (RFC 2827)."""
        policy = self.policy
        if side is Side.INSIDE:
            return not is_inside(policy, source)
        return is_inside(policy, source) or source in policy.public or source in policy.own

    # -- from inside

    def _from_inside(
        self, protocol: int, source: Endpoint, destination: Endpoint, note: Note
    ) -> Decision | Reason:
        policy = self.policy
        if self.is_spoofed(source.address, Side.INSIDE):
            networks = ", ".join(map(str, policy.inside))
            note(f"{to_text(source.address)} is in no inside network ({networks})")
            return Reason.SPOOFED
        if expected := self._expectations.find(protocol, destination, source.address):
            note(f"flow {expected.flow.id} expects it")
            return Decision(
                expected.target,
                masquerade=True,
                side=Side.OUTSIDE,
                origin=_expected_origin(expected),
                expectation=expected,
            )
        elsewhere = policy.shares and not policy.addresses_for(source.address)
        if destination.address in policy.public and not elsewhere:
            return self._hairpin(protocol, source, destination, note)
        if destination.address in policy.own:
            note(f"{to_text(destination.address)} is the gateway host's own address")
            return Reason.HOST
        if is_inside(policy, destination.address):
            note("both ends are inside")
            return Reason.PASSED
        if elsewhere:
            note(f"another member of the group serves {to_text(source.address)}")
            return Reason.ELSEWHERE
        action, name = self.rule(protocol, source, destination, note)
        if action is Action.DROP:
            return Reason.RULE_DROP
        if action is Action.PASS:
            return Reason.PASSED
        trigger = self._triggered(protocol, destination)
        if trigger:
            note(f"it sets off trigger {trigger.name}")
        by = origin(Kind.RULE, name)
        return Decision(destination, True, Side.OUTSIDE, by, trigger=trigger)

    def rule(
        self, protocol: int, source: Endpoint, destination: Endpoint, note: Note = lambda _: None
    ) -> tuple[Action, str]:
        """Return the action of the first rule that matches, and the rule's name for the origin of a flow."""
        for number, rule in enumerate(self.policy.rules, 1):
            if _matches(rule, protocol, source, destination):
                note(f"rule {number} matches ({rule.text or rule.action.name.lower()})")
                return rule.action, f"rule {number}"
            note(f"rule {number} does not match ({rule.text or rule.action.name.lower()})")
        action = self.policy.default_action
        name = _ACTIONS[action]
        note(f"the default action applies: {name}")
        return action, name

    def _triggered(self, protocol: int, destination: Endpoint) -> Trigger | None:
        for trigger in self.policy.triggers:
            if trigger.protocol == protocol and destination.port in trigger.ports:
                return trigger
        return None

    def _hairpin(
        self, protocol: int, source: Endpoint, destination: Endpoint, note: Note
    ) -> Decision | Reason:
        """Decide about a packet from inside to a public address of the gateway (RFC 4787 REQ-9): like one
        from outside, from the public address of the sender (REQ-9a). The address filter is meant for outside
        hosts and for hosts of other inside networks. With it, two hosts of one network that each wait for a
        packet of the other would never reach each other."""
        public = self._table.mappings.public_for(source.address)
        note(
            f"{to_text(destination.address)} is a public address: as from {to_text(public)} outside"
        )
        answer = self._to_public(
            protocol, Endpoint(public, source.port), destination, note, hairpin=source
        )
        if isinstance(answer, Reason):
            return answer
        kind, name, _ = answer.origin
        return answer._replace(masquerade=True, origin=origin(kind, name, True))

    # -- from outside

    def _from_outside(
        self, protocol: int, source: Endpoint, destination: Endpoint, note: Note
    ) -> Decision | Reason:
        policy = self.policy
        if self.is_spoofed(source.address, Side.OUTSIDE):
            whose = "an inside" if is_inside(policy, source.address) else "the gateway's own"
            note(f"{to_text(source.address)} is {whose} address, which nobody outside can have")
            return Reason.SPOOFED
        if destination.address in policy.public:
            return self._to_public(protocol, source, destination, note)
        if destination.address in policy.elsewhere:
            note(f"another member of the group serves {to_text(destination.address)}")
            return Reason.ELSEWHERE
        if destination.address in policy.own:
            note(f"{to_text(destination.address)} is the gateway host's own address")
            return Reason.HOST
        if not is_inside(policy, destination.address):
            note(
                f"{to_text(destination.address)} is neither the gateway's address nor an inside one"
            )
            return Reason.UNSOLICITED
        note("rules are asked as for a packet the other way, from the inside address")
        action, _ = self.rule(protocol, destination, source, note)
        if action is Action.PASS:
            return Reason.PASSED
        note(f"{to_text(destination.address)} is not public: without a pass rule nobody reaches it")
        return Reason.UNSOLICITED

    def _to_public(
        self,
        protocol: int,
        source: Endpoint,
        destination: Endpoint,
        note: Note,
        hairpin: Endpoint | None = None,
    ) -> Decision | Reason:
        """Decide about a packet to a public endpoint, from a source as outside hosts see it. `hairpin` is the
        inside host that it really comes from."""
        expected = self._expectations.find(protocol, destination, source.address)
        # All inside hosts are seen by the same address, but the expectation is for only one of them.
        if expected and expected.opener == (hairpin or source).address:
            note(f"flow {expected.flow.id} expects it")
            return Decision(
                expected.target,
                masquerade=False,
                side=Side.INSIDE,
                origin=_expected_origin(expected),
                expectation=expected,
                server_mapping=expected.mapping,
            )
        for forward in self.policy.forwards:
            if forward.covers(protocol, destination):
                note(f"port forward {forward.name} covers it")
                server = forward.inward(destination.port)
                by = origin(Kind.FORWARD, f"forward {forward.name}")
                return Decision(server, False, Side.INSIDE, by)
        for opening in self.active_triggers.values():
            trigger = opening.trigger
            if trigger.opens_protocol == protocol and destination.port in trigger.opens_ports:
                note(f"trigger {trigger.name} was set off by {to_text(opening.host)}")
                server = Endpoint(opening.host, destination.port)
                by = origin(Kind.TRIGGER, f"trigger {trigger.name}")
                return Decision(server, False, Side.INSIDE, by, trigger=trigger)
        return self._to_mapping(protocol, source, destination, note, hairpin)

    def _to_mapping(
        self,
        protocol: int,
        source: Endpoint,
        destination: Endpoint,
        note: Note,
        hairpin: Endpoint | None,
    ) -> Decision | Reason:
        mapping = self._table.mappings.at(protocol, destination)
        sender = hairpin or source
        if mapping is None:
            if self._is_ours(protocol, destination):
                if self.find_socket(protocol, sender, destination):
                    note("a socket of the gateway host has this port")
                    return Reason.HOST
                note(f"no forward, trigger or flow has {_named(protocol, destination)}")
                return Reason.NO_MAPPING
            note(f"no forward, trigger or flow has {_named(protocol, destination)}")
            return Reason.HOST
        if mapping.shared:
            note("it is shared by flows to other remote endpoints, so nobody knows whose it is")
            return Reason.FILTERED
        filtering = self.port_hold.filtering
        admitted = not mapping.narrow and (
            filtering is Behaviour.ENDPOINT_INDEPENDENT
            # A peer of that address may be any inside host, so for these it says nothing.
            or (hairpin is not None and self._are_neighbours(hairpin, mapping.inside))
            or (
                hairpin is None
                and filtering is Behaviour.ADDRESS_DEPENDENT
                and mapping.has_peer(source.address)
            )
        )
        note(
            f"{mapping.inside} is mapped to it; the {_dashed(filtering)} filter "
            f"{'admits' if admitted else 'does not admit'} {source}"
        )
        if reason := self.port_hold.explain():
            note(reason)
        held = self.find_socket(protocol, sender, destination)
        # A packet that a mapping admits belongs to the mapping, though any user of the host can bind its port
        # (port shadowing). The exception are replies to the host's own sockets, which the kernel's
        # masquerading also recognizes by their five-tuple.
        if held is SocketMatch.CONNECTED or (held and not admitted):
            note("a socket of the gateway host takes it")
            return Reason.HOST
        if not admitted:
            return Reason.FILTERED
        by = origin(Kind.MAPPING, "mapping")
        return Decision(mapping.inside, False, Side.INSIDE, by, server_mapping=mapping)

    def _are_neighbours(self, one: Endpoint, other: Endpoint) -> bool:
        """Return whether both are in one inside network."""
        return any(one.address in each and other.address in each for each in self.policy.inside)

    def find_socket(self, protocol: int, source: Endpoint, destination: Endpoint) -> SocketMatch:
        """Return which socket of the host would receive a packet that belongs to no flow."""
        if protocol not in (ipv4.TCP, ipv4.UDP) or destination.address not in self.policy.own:
            return SocketMatch.NONE
        return self._table.mappings.host.find_socket(protocol, source, destination)

    def _is_ours(self, protocol: int, destination: Endpoint) -> bool:
        port = destination.port
        if destination.address not in self.policy.own:
            return True
        if (
            protocol not in (ipv4.TCP, ipv4.UDP)
            or (protocol, port) in self._table.mappings.host.reserved
        ):
            return False
        return port in self.policy.ports or port in (self.policy.data_ports or ())


def _expected_origin(expectation: Expectation) -> Origin:
    return Origin(Kind.EXPECTATION, f"expectation of flow {expectation.flow.id}")


def _matches(rule: Rule, protocol: int, source: Endpoint, destination: Endpoint) -> bool:
    if rule.protocol not in (ANY_PROTOCOL, protocol):
        return False
    if rule.source and not within(source.address, rule.source):
        return False
    if rule.destination and not within(destination.address, rule.destination):
        return False
    if protocol not in (ipv4.TCP, ipv4.UDP):
        return True
    return any(source.port in ports for ports in rule.source_ports) and any(
        destination.port in ports for ports in rule.destination_ports
    )


def _named(protocol: int, endpoint: Endpoint) -> str:
    """A place where flows come in."""
    return str(endpoint) if protocol in (ipv4.TCP, ipv4.UDP) else to_text(endpoint.address)


def _dashed(behaviour: Behaviour) -> str:
    return behaviour.name.lower().replace("_", "-")
